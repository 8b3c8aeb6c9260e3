"""Tells what an export file says: as lines for a person, as JSON for a program; streamed, however many keys."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.intervals import INTERVAL_S, iso_utc
from forewarn_protocol.keys import DiagnosisKey


def as_lines(path: Path, export: ExportFile) -> Iterator[str]:
    """Give the lines for a person: header, counts, then each key."""
    header = export.header
    signers = ", ".join(f"{info.key_id} {info.key_version}".strip() for info in header.signature_infos)
    yield f"file      {path}"
    yield f"span      {iso_utc(header.start_s)} to {iso_utc(header.end_s)}"
    yield f"region    {header.region or 'none'}"
    yield f"batch     {header.batch_num} of {header.batch_size}"
    yield f"signed by {signers or 'nobody'}"
    yield f"keys      {export.key_count}, and {export.revised_key_count} revised"
    for word, keys in (("key", export.keys()), ("revised", export.revised_keys())):
        for key in keys:
            fields = _fields(key)
            start = iso_utc(key.tek.rolling_start * INTERVAL_S)
            yield (
                f"{word:<9} {fields['key']} from {start} for {fields['rolling_period']} intervals, "
                f"type {_or_none(fields['report_type'])}, onset {_or_none(fields['days_since_onset'])}, "
                f"risk {fields['transmission_risk']}"
            )


def as_json(export: ExportFile) -> Iterator[str]:
    """Give one JSON object in pieces: half a million keys never stand in memory together."""
    header = export.header
    told = {
        "header": {
            "start": header.start_s,
            "end": header.end_s,
            "region": header.region,
            "batch_num": header.batch_num,
            "batch_size": header.batch_size,
            "signature_infos": [
                {"key_id": info.key_id, "key_version": info.key_version, "algorithm": info.algorithm}
                for info in header.signature_infos
            ],
        },
        "key_count": export.key_count,
        "revised_key_count": export.revised_key_count,
    }
    yield json.dumps(told).removesuffix("}")
    yield from _json_list("keys", export.keys())
    yield from _json_list("revised_keys", export.revised_keys())
    yield "}\n"


def _json_list(name: str, keys: Iterable[DiagnosisKey]) -> Iterator[str]:
    yield f', "{name}": ['
    for position, key in enumerate(keys):
        yield (", " if position else "") + json.dumps(_fields(key))
    yield "]"


def _fields(key: DiagnosisKey) -> dict[str, Any]:
    return {
        "key": key.tek.key.hex(),
        "rolling_start": key.tek.rolling_start,
        "rolling_period": key.tek.rolling_period,
        "report_type": None if key.report_type is None else int(key.report_type),
        "days_since_onset": key.days_since_onset,
        "transmission_risk": key.transmission_risk,
    }


def _or_none(value: int | None) -> str:
    return "none" if value is None else str(value)
