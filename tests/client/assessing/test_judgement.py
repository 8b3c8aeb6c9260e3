import tracemalloc
from collections.abc import Callable

import pytest

from forewarn_client.assessing import judgement
from forewarn_client.assessing.judgement import Judged
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.diary.vault import day_number
from forewarn_client.matches import Heard, sealed
from forewarn_protocol.configuration import DeviceConfiguration, ExportKey
from forewarn_protocol.exports.signing import public_key_to_base64
from forewarn_protocol.intervals import day_at
from tests.client.conftest import NOON_S
from tests.client.honest_server import DAY_S, p256
from tests.client.meetings import confirmed, heard, key_of_day

YESTERDAY_S = NOON_S - DAY_S
PEOPLE = 12
CONFIGURATION = DeviceConfiguration(
    sequence=1,
    issued=0,
    expires=1,
    region="vn",
    health_authority_id="vn",
    export_keys=(ExportKey(key_id="vn", key_version="v1", public_key=public_key_to_base64(p256(2).public_key())),),
)


@pytest.fixture
async def beside_many(device: Device) -> Device:
    """A device with the matches of twelve people, four hours with each, every sample of every window."""
    day = day_at(YESTERDAY_S)
    await device.diary.record(ScanWindow.of([heard(key_of_day(YESTERDAY_S, 0), YESTERDAY_S)]))  # makes the day's key
    for number in range(PEOPLE):
        tek = key_of_day(YESTERDAY_S, number)
        times = (YESTERDAY_S + window * 240 + sample * 0.25 for window in range(60) for sample in range(16))
        part = Heard(confirmed(tek), tuple(heard(tek, time_s) for time_s in times))
        await device.database.write(
            lambda connection, part: (
                connection.execute(
                    "INSERT INTO matches (day, sealed) VALUES (?, ?)",
                    (day_number(day), sealed(device.vault.day(connection, day), part)),
                ).rowcount
            ),
            part,
        )
    return device


async def judged(device: Device) -> tuple[Judged, int]:
    """Judge, and return what it comes to and the bytes that Python had at the peak."""
    tracemalloc.start()
    try:
        found = await device.database.read(judgement.judge, device.vault, CONFIGURATION, 0.0)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_judging_holds_the_sightings_of_a_few_keys_at_a_time(
    beside_many: Device, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    """Positive control: all of them at once come to the same verdict, and take many times as much."""
    monkeypatch.setattr(judgement, "SIGHTINGS_AT_ONCE", 1)
    few, little = await judged(beside_many)
    monkeypatch.setattr(judgement, "SIGHTINGS_AT_ONCE", 10**9)
    whole, much = await judged(beside_many)
    assert few == whole
    assert [verdict.alert for verdict in few.verdicts] == [True]
    figure(f"matches of {PEOPLE} people judged: {little / 1e6:.1f} MB at the peak; with all in memory {much / 1e6:.1f}")
    assert little < much / 2
