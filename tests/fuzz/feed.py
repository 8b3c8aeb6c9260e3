"""The signed feeds after their signature: index (both forms), configuration, advice."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from forewarn_protocol.advice import parse_advice
from forewarn_protocol.configuration import DeviceConfiguration, parse_configuration
from forewarn_protocol.errors import BadFeed
from forewarn_protocol.exports.index import Index, parse_index_text
from forewarn_protocol.feeds import Feed
from tests.fuzz.target import Target
from tests.protocol.test_advice import ADVICE
from tests.protocol.test_configuration import CONFIGURATION
from tests.protocol.test_export_index import ENTRY
from tests.protocol.test_export_index import body as index_body

_PARSERS: tuple[Callable[[bytes], Feed], ...] = (Index.parse, parse_configuration, parse_advice)


def check(data: bytes) -> None:
    for parse in _PARSERS:
        try:
            feed = parse(data)
        except BadFeed as error:
            assert "\n" not in error.message
            continue
        assert parse(feed.encode()) == feed
        assert feed.expires > feed.issued
        if isinstance(feed, Index):
            _stays_in_its_folder(tuple(entry.path for entry in feed.files))
            assert parse_index_text(feed.text()) == tuple(entry.path for entry in feed.files)
        if isinstance(feed, DeviceConfiguration):
            assert all(key.curve.name == "secp256r1" for key in feed.public_keys())
    try:
        _stays_in_its_folder(parse_index_text(data.decode(errors="replace")))
    except BadFeed:
        return


def _stays_in_its_folder(paths: tuple[str, ...]) -> None:
    for path in paths:
        assert path.isascii()
        assert path.isprintable()
        assert not set(path) & set("\\:%?# ")
        assert not any(part in {"", ".", ".."} for part in path.split("/"))


def seeds() -> Mapping[str, bytes]:
    risk: dict[str, Any] = {**json.loads(CONFIGURATION.encode()), "tolerance_intervals": 3, "minimum_distinct_rpis": 2}
    risk["median_tx_dbm"] = {"none": -20, "low": -20, "medium": -21, "high": -24}
    return {
        "index": index_body(ENTRY, {**ENTRY, "path": "folder/b.zip"}),
        "index-text": b"1620000000-00001.zip\nfolder/b.zip\n",
        "configuration": CONFIGURATION.encode(),
        "configuration-with-medians": json.dumps(risk).encode(),
        "advice": ADVICE.encode(),
    }


_WORDS = (
    *(b'"sequence"', b'"issued"', b'"expires"', b'"files"', b'"path"', b'"sha256"', b'"bytes"', b'"keys"', b'"region"'),
    *(b'"export_keys"', b'"public_key"', b'"risk"', b'"texts"', b'"call"', b'"url"', b'"https://"', b"null", b"NaN"),
    *(b"1e999", b"../", b"%2e", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b"[[[[[[[[", b'{"a":'),
)
TARGET = Target(check, seeds, _WORDS, 4_096, is_json=True)
