"""The offline commands on the data of other implementations: official identifiers, German cases, 24,131 keys."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from forewarn_client.cli import app
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.keys import DiagnosisKey, TemporaryExposureKey
from forewarn_protocol.matching import SightingIndex, match
from forewarn_protocol.sightings import Sighting
from forewarn_shell.command_line import run
from tests.client.test_offline import lines
from tests.protocol.hearings import hearing
from tests.protocol.test_export_vectors import GERMANY, GERMANY_262

pytestmark = pytest.mark.shared

HOW_MANY = 10_000


def test_derive_speaks_all_144_official_identifiers(vectors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official = json.loads((vectors / "gaen_crypto_v1_2.json").read_text())
    start = str(official["interval_number_of_generated_key"])
    options = ["--tek", official["tek"], "--start", start, "--metadata", official["ble_metadata"], "--json"]
    assert run(app, "forewarn-client", ["derive", *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rpik"], answer["aemk"]) == (official["rpik"], official["aemk"])
    expected = [(row["interval_number"], row["rpi"], row["aem"]) for row in official["advertised"]]
    assert len(expected) == 144
    assert [(row["interval"], row["rpi"], row["aem"]) for row in answer["identifiers"]] == expected


def test_all_german_risk_cases_come_out_as_germany_expects(vectors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = vectors / "risk_windows_cwa.json"
    assert run(app, "forewarn-client", ["risk", "--profile", "cwa", "--windows", str(file), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    cases = json.loads(file.read_text())["testCases"]
    assert len(answers) == len(cases) == 15
    for case, answer in zip(cases, answers, strict=True):
        wanted = {name: value for name, value in case.items() if name.startswith("exp") and name != "exposureWindows"}
        assert len(wanted) == 7
        assert {name: answer[name] for name in wanted} == wanted, case["description"]
        assert answer["ok"] is True


@pytest.fixture(scope="module")
def published(vectors: Path) -> list[TemporaryExposureKey]:
    with (vectors / "exports" / GERMANY).open("rb") as file:
        export = ExportFile.open_zip(file)
        return [key.tek for key in export.keys()]  # noqa: SIM118 - an export is no mapping


def drawn(keys: Sequence[TemporaryExposureKey], draw: random.Random) -> Iterator[tuple[str, Sighting]]:
    """Draw sightings of each sort that the rules must tell apart, and name the sort; noise without end comes last."""
    for offset in range(144):  # every offset of a period, each with a replay at the guard's edge and just past it
        tek = draw.choice(keys)
        interval = tek.rolling_start + offset
        at = interval * 600 + draw.randrange(600)
        for after, sort in ((0, "timely"), (1200, "at the guard's edge"), (1201, "replayed"), (5000, "replayed")):
            yield sort, hearing(at + after, draw.randint(-99, -40), draw.choice([None, 150, 299]), tek, interval)
    for _ in range(300):
        tek = draw.choice(keys)
        interval = tek.rolling_start + draw.randrange(144)
        clock_off = draw.choice([-1, 1]) * draw.choice([11, 12, 13, 14, 200])
        at = (interval + clock_off) * 600 + draw.randrange(600)
        yield "near in time" if abs(clock_off) <= 12 else "late or early", hearing(at, tek=tek, interval=interval)
    for _ in range(200):
        tek = draw.choice(keys)
        last_of_day = (tek.rolling_start + 143) // 144 * 144 - 1
        yield "across midnight", hearing((last_of_day + 1) * 600 + draw.randrange(3000), tek=tek, interval=last_of_day)
    for _ in range(200):
        tek, tx_dbm = draw.choice(keys), draw.choice([-128, -51, -50, 20, 21, 127])
        sort = "plausible" if -50 <= tx_dbm <= 20 else "implausible"
        at = (tek.rolling_start + draw.randrange(144)) * 600
        yield sort, hearing(at, tek=tek, tx_dbm=tx_dbm)
        if sort == "implausible":  # must not open the guard of the true one that comes too late after it
            yield "after an implausible one", hearing(at + 1500, tek=tek, interval=at // 600)
    first = min(tek.rolling_start for tek in keys)
    while True:
        stranger = TemporaryExposureKey(draw.randbytes(16), draw.choice(keys).rolling_start)
        yield "noise", hearing((first + draw.randrange(2000)) * 600 + draw.random(), tek=stranger)


@pytest.fixture(scope="module")
def heard(published: list[TemporaryExposureKey]) -> list[Sighting]:
    draw = random.Random(20)
    source = drawn(published, draw)
    named = [next(source) for _ in range(HOW_MANY)]
    assert min(Counter(sort for sort, _ in named).values()) >= 60
    sightings = [sighting for _, sighting in named]
    draw.shuffle(sightings)
    return sightings


def oracle(keys: Sequence[TemporaryExposureKey], sightings: Sequence[Sighting]) -> dict[bytes, set[int]]:
    """Match by the rules read once more: other key derivation, every identifier of every key, no index of times.

    Returns the positions of the matched sightings by key.
    """
    positions: dict[bytes, list[int]] = {}
    for position in sorted(range(len(sightings)), key=lambda at: sightings[at].time_s):
        positions.setdefault(sightings[position].payload.rpi, []).append(position)
    found: dict[bytes, set[int]] = {}
    for tek in keys:
        rpik = HKDF(SHA256(), 16, None, b"EN-RPIK").derive(tek.key)
        intervals = range(tek.rolling_start, tek.rolling_start + tek.rolling_period)
        blocks = b"".join(b"EN-RPI\0\0\0\0\0\0" + interval.to_bytes(4, "little") for interval in intervals)
        spoken = Cipher(algorithms.AES(rpik), modes.ECB()).encryptor().update(blocks)  # noqa: S305 - as the protocol says
        for number, interval in enumerate(intervals):
            rpi = spoken[16 * number : 16 * number + 16]
            if rpi not in positions:
                continue
            aemk = HKDF(SHA256(), 16, None, b"EN-AEMK").derive(tek.key)
            kept: list[int] = []
            for position in positions[rpi]:
                sighting = sightings[position]
                metadata = Cipher(algorithms.AES(aemk), modes.CTR(rpi)).decryptor().update(sighting.payload.aem)
                tx_dbm = metadata[1] - 256 if metadata[1] > 127 else metadata[1]
                in_time = interval - 12 <= sighting.time_s // 600 <= interval + 12
                if in_time and -50 <= tx_dbm <= 20:
                    kept.append(position)
            kept = [position for position in kept if sightings[position].time_s <= sightings[kept[0]].time_s + 1200]
            if kept:
                found.setdefault(tek.key, set()).update(kept)
    return found


@pytest.fixture(scope="module")
def expected(published: list[TemporaryExposureKey], heard: list[Sighting]) -> dict[bytes, set[int]]:
    found = oracle(published, heard)
    assert len(found) > 500
    return found


def test_exactly_the_right_keys_and_sightings_match(
    published: list[TemporaryExposureKey], heard: list[Sighting], expected: dict[bytes, set[int]]
) -> None:
    position = {id(sighting): at for at, sighting in enumerate(heard)}
    matches = match([DiagnosisKey(tek) for tek in published], SightingIndex(heard))
    assert {
        found.key.tek.key: {position[id(each.sighting)] for each in found.sightings} for found in matches
    } == expected


def test_without_its_rules_matching_finds_more(
    published: list[TemporaryExposureKey], heard: list[Sighting], expected: dict[bytes, set[int]]
) -> None:
    """Positive control: late and replayed sightings are there, and each rule is what keeps them out."""
    keys, index = [DiagnosisKey(tek) for tek in published], SightingIndex(heard)
    right = sum(map(len, expected.values()))
    unguarded = sum(len(found.sightings) for found in match(keys, index, replay_guard_s=1e9))
    tolerant = sum(len(found.sightings) for found in match(keys, index, tolerance_intervals=10**6))
    assert unguarded > right + 150
    assert tolerant > right + 100


# ru_maxrss would do, but on Linux it starts at the size of whoever made the process: here, of pytest.
_CHILD = """
import sys
from forewarn_client.__main__ import main
try:
    main()
finally:
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(status["VmHWM"].split()[0], file=sys.stderr)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_the_command_finds_the_same_in_less_than_200_mb(
    vectors: Path,
    tmp_path: Path,
    heard: list[Sighting],
    expected: dict[bytes, set[int]],
    figure: Callable[[str], None],
) -> None:
    sightings = tmp_path / "sightings.jsonl"
    sightings.write_text(lines(heard))
    export = vectors / "exports" / GERMANY
    command = ["match", "--sightings", sightings, "--export", export, "--public-key", GERMANY_262, "--json"]
    child = subprocess.run(  # noqa: S603 - our own command on our own files
        [sys.executable, "-c", _CHILD, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.returncode == 0, child.stderr
    answer = json.loads(child.stdout)
    assert answer["keys_checked"] == 24_131
    assert sorted(answer["matched_keys"]) == sorted(key.hex() for key in expected)
    assert answer["matched_sightings"] == sum(map(len, expected.values()))
    peak_mb = int(child.stderr.split()[-1]) / 1024
    figure(f"match of {len(heard)} sightings with 24,131 published keys: {peak_mb:.0f} MB at the peak (bar 200 MB)")
    assert 20 < peak_mb < 200
