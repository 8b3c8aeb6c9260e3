import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date
from io import BytesIO
from math import inf

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from forewarn_client import matches
from forewarn_client.assessing import comparing, spool
from forewarn_client.assessing.comparing import compare
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.listening import hear
from forewarn_client.matches import Heard
from forewarn_protocol.errors import BadExport
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKeyExport
from forewarn_protocol.exports.header import MAGIC, ExportHeader
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import ExportSigner
from forewarn_protocol.exports.writing import write_export
from forewarn_protocol.intervals import TOLERANCE_INTERVALS
from forewarn_protocol.keys import DiagnosisKey, ReportType
from forewarn_protocol.matching import Anomaly, SightingIndex, match
from forewarn_simulations.bench.crowd_radio import CrowdRadio, neighbour_key
from forewarn_simulations.clocks import VirtualClock
from tests.client.conftest import NOON_S
from tests.client.meetings import confirmed, heard, key_of_day

TODAY = date(2025, 6, 16)
"""The day of the fixtures' clock."""
CROWD = 60
Result = tuple[list[Heard], Counter[Anomaly]]


@pytest.fixture
async def in_a_crowd(device: Device, clock: VirtualClock) -> Device:
    """A device that has heard sixty neighbours in twenty windows: about twenty thousand sightings."""
    radio = CrowdRadio(CROWD, clock)
    for _ in range(20):
        await device.diary.record(await hear(radio, clock, 4, 240, 4000))
        await clock.run_for(240)
    return device


def export_of(fresh: list[DiagnosisKey], revised: list[DiagnosisKey]) -> ExportFile:
    file = BytesIO()
    signer = ExportSigner(generate_private_key(SECP256R1()), "vn", "v1")
    in_order = (sorted(keys, key=lambda key: key.tek.key) for keys in (fresh, revised))
    write_export(file, ExportHeader(1_750_000_000, 1_750_003_600, "vn"), *in_order, [signer])
    return ExportFile.open_zip(file)


def of_neighbours(*numbers: int, kind: ReportType | None = None) -> list[DiagnosisKey]:
    return [DiagnosisKey(neighbour_key(number, TODAY), report_type=kind) for number in numbers]


def many() -> ExportFile:
    """200 keys that nobody spoke, so that those met lie in different steps; 0 comes fresh and revised."""
    return export_of(of_neighbours(0, 1, 7, *range(100, 300)), of_neighbours(0, 9, 301, kind=ReportType.SELF_REPORT))


async def with_the_whole_diary(device: Device, export: ExportFile) -> Result:
    """What `compare` must come to: every sighting in memory, each key looked up among them."""
    index, strange = SightingIndex(await device.diary.sightings(TODAY)), Counter[Anomaly]()
    return [
        Heard.of(found, export.header, revised=revised)
        for keys, revised in ((export.keys(), False), (export.revised_keys(), True))
        for found in match(keys, index, replay_guard_s=inf, tolerance_intervals=TOLERANCE_INTERVALS, anomalies=strange)
    ], strange


async def compared(device: Device, export: ExportFile) -> Result:
    """Compare, keep what was found, and read it back."""
    found = BytesIO()
    strange = await device.database.read(compare, device.vault, export, TODAY, found)
    await device.database.write(matches.keep, spool.rows(found), TODAY)
    return await device.database.read(matches.remembered, device.vault), strange


def joined(found: list[Heard]) -> dict[tuple[DiagnosisKey, bool], set[object]]:
    parts: dict[tuple[DiagnosisKey, bool], set[object]] = {}
    for part in found:
        parts.setdefault((part.key, part.revised), set()).update(part.sightings)
    return parts


async def test_two_walks_find_what_the_whole_diary_holds(in_a_crowd: Device) -> None:
    found, strange = await compared(in_a_crowd, many())
    assert (found, strange) == await with_the_whole_diary(in_a_crowd, many())
    assert [each.revised for each in found] == [False, False, False, True, True]
    assert all(len(each.sightings) > 300 for each in found)


@pytest.mark.parametrize(("limit", "at_once"), [("IDENTIFIERS_AT_ONCE", 50), ("KEYS_AT_ONCE", 1)])
async def test_in_however_small_steps_the_same_is_found(
    in_a_crowd: Device, monkeypatch: pytest.MonkeyPatch, limit: str, at_once: int
) -> None:
    monkeypatch.setattr(comparing, limit, at_once)
    assert await compared(in_a_crowd, many()) == await with_the_whole_diary(in_a_crowd, many())


async def test_what_was_heard_often_comes_in_parts_and_is_the_same(
    in_a_crowd: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "SIGHTINGS_AT_ONCE", 100)
    found, strange = await compared(in_a_crowd, many())
    whole, as_strange = await with_the_whole_diary(in_a_crowd, many())
    assert len(found) > 2 * len(whole)
    assert (joined(found), strange) == (joined(whole), as_strange)


async def test_of_a_key_that_comes_twice_the_later_report_counts(in_a_crowd: Device) -> None:
    first, second = of_neighbours(3, kind=ReportType.SELF_REPORT) + of_neighbours(3, kind=ReportType.CONFIRMED_TEST)
    ((found,), _) = await compared(in_a_crowd, export_of([first, second], []))
    assert found.key == second


async def test_a_part_is_sealed_with_the_day_of_its_scan_windows(device: Device) -> None:
    """A window that was opened before midnight and closed after it is forgotten with the day on which it was opened."""
    midnight_s = NOON_S - 12 * 3600
    evening, morning = key_of_day(midnight_s - 1, 1), key_of_day(midnight_s, 2)
    await device.diary.record(ScanWindow.of([heard(evening, midnight_s - 2), heard(morning, midnight_s + 1)]))
    found = BytesIO()
    export = export_of([confirmed(evening), confirmed(morning)], [])
    await device.database.read(compare, device.vault, export, date(2025, 6, 1), found)
    assert {day for day, _ in spool.rows(found)} == {date(2025, 6, 15)}
    await device.database.write(matches.keep, spool.rows(found), date(2025, 6, 1))
    assert {part.key.tek for part in await device.database.read(matches.remembered, device.vault)} == {evening, morning}


@pytest.mark.parametrize("neighbours", [0, 3])
async def test_a_key_that_is_none_refuses_the_file_though_nobody_was_heard(
    device: Device, clock: VirtualClock, neighbours: int
) -> None:
    await device.diary.record(await hear(CrowdRadio(neighbours, clock), clock, 4, 240, 4000))
    message = TemporaryExposureKeyExport(start_timestamp=1, end_timestamp=2, region="vn")
    message.keys.add(key_data=b"short", rolling_start_interval_number=0)
    export = ExportFile.open_bare(BytesIO(MAGIC + message.SerializeToString()))
    with pytest.raises(BadExport, match="key 0 of the export is none"):
        await device.database.read(compare, device.vault, export, TODAY, BytesIO())


async def peak_of(act: Callable[[Device, ExportFile], Awaitable[Result]], device: Device) -> int:
    export = export_of(of_neighbours(0, *range(100, 200)), [])
    tracemalloc.start()
    try:
        await act(device, export)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_memory_grows_neither_with_what_was_heard_nor_with_what_matched(
    in_a_crowd: Device, figure: Callable[[str], None]
) -> None:
    """Positive control: the same question to the whole diary takes many times as much."""
    little, much = await peak_of(compared, in_a_crowd), await peak_of(with_the_whole_diary, in_a_crowd)
    figure(
        f"a file compared with 20,000 sightings: {little / 1e6:.1f} MB at the peak; with all in memory {much / 1e6:.1f}"
    )
    assert little < much / 4
