"""The commands that need no daemon and no server: match, derive and risk, on files and keys given by hand."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from forewarn_client.match_report import MatchReport, match_files, read_rules
from forewarn_client.risk_cases import MAX_CASES_BYTES, run_cases
from forewarn_protocol.errors import BadKey, BadSettings
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.identifiers import AEM_BYTES, crypt_metadata, identifier_key, identifiers, metadata_key
from forewarn_protocol.intervals import INTERVALS_PER_DAY, Interval
from forewarn_protocol.keys import KEY_BYTES, DiagnosisKey, TemporaryExposureKey
from forewarn_protocol.risk.cwa import RiskLevel
from forewarn_shell.command_line import EXIT_DONE, EXIT_NO
from forewarn_shell.files import read_bounded

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
_PROGRESS_STEP: Final = 1000


class Profile(StrEnum):
    """A calculation that `risk` can run."""

    CWA = "cwa"


_CALCULATIONS: Final = {Profile.CWA: run_cases}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


def _file(name: str, sentence: str) -> Any:
    return typer.Option(name, help=sentence, metavar="FILE", exists=True, dir_okay=False, readable=True)


def match(
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="EXPORT", help="More exports.", exists=True, dir_okay=False, show_default=False),
    ] = None,
    *,
    sightings: Annotated[Path, _file("--sightings", "JSON lines: rpi, aem, rssi, time, since_last_scan (optional).")],
    export: Annotated[list[Path], _file("--export", "An export's zip; or export.bin, with --allow-unsigned.")],
    public_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="B64", help="Who may have signed: base64 of a DER SubjectPublicKeyInfo.", show_default=False
        ),
    ] = None,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Don't look at signatures.")] = False,
    configuration: Annotated[
        Path | None, _file("--configuration", "A region's configuration, or its risk part.")
    ] = None,
    require_match: Annotated[bool, typer.Option("--require-match", help="Exit 1 if no key matches.")] = False,
    as_json: AsJson = False,
) -> int:
    """Match sightings with published keys, offline.

    Every export must be signed by one of the public keys, else nothing is matched and the exit code is 1.
    """
    if bool(public_key) == allow_unsigned:
        raise BadSettings(
            "say who signs with --public-key, or --allow-unsigned to match without looking: one of the two"
        )
    keys = None if allow_unsigned else [public_key_from_base64(text) for text in public_key or []]
    report = match_files(sightings, [*export, *(more or [])], keys, read_rules(configuration), _with_progress)
    _print(report.as_json() if as_json else _match_in_words(report))
    return EXIT_NO if require_match and not report.matches else EXIT_DONE


def derive(
    *,
    tek: Annotated[str, typer.Option(metavar="HEX", help="A Temporary Exposure Key: 32 hexadecimal digits.")],
    start: Annotated[int, typer.Option(metavar="N", help="Its first ENIntervalNumber.")],
    period: Annotated[
        int, typer.Option(metavar="N", help="How many intervals it is spoken: 1 to 144.")
    ] = INTERVALS_PER_DAY,
    metadata: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Four bytes to encrypt beside each identifier.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Derive what a key speaks: its identifiers and encrypted metadata."""
    key = TemporaryExposureKey(_bytes("--tek", tek, KEY_BYTES), Interval(start), period)
    plain = None if metadata is None else _bytes("--metadata", metadata, AEM_BYTES)
    spoken = [
        {
            "interval": key.rolling_start + offset,
            "rpi": rpi.hex(),
            "aem": None if plain is None else crypt_metadata(key.key, rpi, plain).hex(),
        }
        for offset, rpi in enumerate(identifiers(key.key, key.rolling_start, key.rolling_period))
    ]
    rpik, aemk = identifier_key(key.key).hex(), metadata_key(key.key).hex()
    if as_json:
        _print({"rpik": rpik, "aemk": aemk, "identifiers": spoken})
        return
    rows = (f"{row['interval']:>10}  {row['rpi']}  {row['aem'] or ''}".rstrip() for row in spoken)
    _print("\n".join([f"RPIK  {rpik}", f"AEMK  {aemk}", "", f"{'interval':>10}  {'identifier':32}  metadata", *rows]))


def risk(
    *,
    profile: Annotated[Profile, typer.Option(help="Which calculation: cwa is Germany's.")],
    windows: Annotated[Path, _file("--windows", "Cases: a configuration, exposure windows, expected results.")],
    as_json: AsJson = False,
) -> None:
    """Run cases of exposure windows through a country's risk calculation."""
    cases = _CALCULATIONS[profile](read_bounded(windows, MAX_CASES_BYTES))
    _print(cases if as_json else _cases_in_words(cases))


def _bytes(option: str, text: str, length: int) -> bytes:
    # No message repeats the text: it may be a secret key with one digit too many.
    if not _HEX.match(text) or len(text) != 2 * length:
        raise BadKey(f"{option} must be {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def _with_progress(keys: Iterable[DiagnosisKey], count: int) -> Iterator[DiagnosisKey]:
    hidden = sys.stderr is None or not sys.stderr.isatty()  # None: started with stderr closed
    with typer.progressbar(
        keys, length=count, label="Matching keys", file=sys.stderr, hidden=hidden, update_min_steps=_PROGRESS_STEP
    ) as bar:
        yield from bar


def _match_in_words(report: MatchReport) -> str:
    keys = len(report.matches)
    lines = [
        f"{report.keys_checked:,} published keys checked: {keys or 'none'} matched"
        + (f", with {report.matched_sightings:,} sightings." if keys else ".")
    ]
    if report.windows:
        lines += ["", "day         minutes  typical  minimum  report type                   infectiousness"]
    for window in report.windows:
        report_type, infectiousness = (
            member.name.replace("_", " ").lower() for member in (window.report_type, window.infectiousness)
        )
        lines.append(
            f"{window.day}  {window.seconds / 60:7.0f}  {window.typical_db:4.0f} dB  {window.minimum_db:4.0f} dB"
            f"  {report_type:28}  {infectiousness}"
        )
    if report.summaries:
        lines += ["", "day         weighted minutes  in the longest window"]
    lines += [
        f"{summary.day}  {summary.sum_s / 60:16.1f}  {summary.maximum_s / 60:21.1f}" for summary in report.summaries
    ]
    return "\n".join(lines)


def _cases_in_words(cases: list[dict[str, Any]]) -> str:
    lines = []
    for case in cases:
        agrees = "ok" if case["ok"] else "differs"
        level = RiskLevel(case["expTotalRiskLevel"]).name.lower()
        # The text of a file must not move a terminal's cursor.
        description = "".join(c if c.isprintable() else "?" for c in case["description"])
        lines.append(f"{agrees:7}  {level:4}  {description}")
    right = sum(case["ok"] for case in cases)
    return "\n".join([*lines, f"{right} of {len(cases)} cases came out as the file expects"])


def _print(what: Any) -> None:
    typer.echo(what if isinstance(what, str) else json.dumps(what, allow_nan=False))
