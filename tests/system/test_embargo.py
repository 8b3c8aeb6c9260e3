"""No file ever holds a key that could still be spoken and believed, whatever the clock and a crash do in between."""

import asyncio
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn_protocol.intervals import INTERVAL_S
from forewarn_protocol.verification import TestType
from forewarn_server.exports import batches
from forewarn_server.exports.sealing import sealing_rules
from forewarn_server.hours import HOUR_S
from forewarn_server.publish import service
from forewarn_server.setting_up import initialise
from forewarn_server.store.engine import Database
from tests.server.reporting_phone import b64, day_key
from tests.system.reporting_town import Town

EMBARGO_S = 2 * HOUR_S


class Step(NamedTuple):
    """The clock moves, also back; then a report comes, or a seal claims keys and is killed before it writes them."""

    moves_s: int
    began_before: int
    period: int
    is_killed: bool


STEPS = st.lists(
    st.builds(Step, st.integers(-6 * HOUR_S, 8 * HOUR_S), st.integers(0, 200), st.integers(1, 144), st.booleans()),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("embargo") / "data"
    initialise(data, "vn")
    return data


def too_early(fresh: Path, steps: Sequence[Step]) -> list[str]:
    """Let a server live through the steps, and say of which keys the file came too early."""
    data = shutil.copytree(fresh, fresh.parent / secrets.token_hex(4))

    async def live() -> Town:
        # A mix of one: only the embargo holds a key back.
        async with Town.open(data, seed=1, padded_keys=3, minimum_reports_per_file=1) as town:
            for step in steps:
                town.clock.now_s += step.moves_s
                if step.is_killed:
                    rules = sealing_rules(town.context.settings)
                    await batches.claim(town.context.exposure, rules, town.context.now_s())
                else:
                    key = day_key(int(town.clock.now_s) // INTERVAL_S - step.began_before, step.period)
                    ends[key["key"]] = (key["rollingStartNumber"] + key["rollingPeriod"]) * INTERVAL_S
                    await town.publish([key], TestType.CONFIRMED)
                await town.collect()
            for _ in range(13):
                town.clock.now_s += 6 * HOUR_S
                await town.collect()
            return town

    ends: dict[str, int] = {}
    files = asyncio.run(live()).files
    published = {b64(key.tek.key): file for file in files for key in file.keys}
    assert set(ends) <= set(published)
    return [
        f"ended {end_s}, published {file.published_s}"
        for end_s, file in ((end_s, published[key]) for key, end_s in ends.items())
        if not end_s + EMBARGO_S <= file.published_s
    ]


@settings(max_examples=8, deadline=None)
@given(steps=STEPS)
def test_no_file_ever_holds_a_key_within_two_hours_of_its_end_though_the_clock_steps_back(
    fresh: Path, steps: list[Step]
) -> None:
    assert too_early(fresh, steps) == []


TODAY_CUT_SHORT = Step(0, 30, 30, is_killed=False)


def test_without_the_embargo_a_key_comes_out_too_early(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control; keys that are claimed too early would still wait for their file, so that is off as well."""
    assert too_early(fresh, [TODAY_CUT_SHORT]) == []
    monkeypatch.setattr(batches, "unfinished", _whatever_the_clock_says)
    monkeypatch.setattr(service, "releasable_s", lambda _, received_s, __: received_s)
    assert too_early(fresh, [TODAY_CUT_SHORT])


async def test_keys_that_were_claimed_wait_when_the_clock_is_set_back_before_their_file_is_written(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_s = {}
    for name, unfinished in (("as it is", batches.unfinished), ("unguarded", _whatever_the_clock_says)):
        monkeypatch.setattr(batches, "unfinished", unfinished)
        data = shutil.copytree(fresh, fresh.parent / name)
        async with Town.open(data, seed=1, padded_keys=3, minimum_reports_per_file=1) as town:
            noon_s = int(town.clock.now_s)
            await town.publish([day_key(noon_s // INTERVAL_S - 30, 30)], TestType.CONFIRMED)
            town.clock.now_s += EMBARGO_S
            rules = sealing_rules(town.context.settings)
            assert await batches.claim(town.context.exposure, rules, town.context.now_s())
            # Killed before the file is written; and the clock it starts with was set back.
            for after_noon_s in (HOUR_S, EMBARGO_S):
                town.clock.now_s = noon_s + after_noon_s
                await town.collect()
            published_s[name] = [file.published_s - noon_s for file in town.files]
    # The second one is the positive control.
    assert published_s == {"as it is": [EMBARGO_S], "unguarded": [HOUR_S]}


async def _whatever_the_clock_says(database: Database, _: int, __: int) -> list[batches.Batch]:
    return [batch for batch in await batches.all_batches(database) if batch.sha256 is None]
