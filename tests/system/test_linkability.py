"""What a reader of every public file, and a sniffer who was there, can still tell: measured against the real server."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from sqlalchemy import select

from forewarn_protocol.intervals import INTERVALS_PER_DAY
from forewarn_protocol.publishing import REPRESENTATIVE_DAYS
from forewarn_server.exports import batches as batch_store
from forewarn_server.exports.padding import padding_keys
from forewarn_server.hours import HOUR_S
from forewarn_server.publish import service
from forewarn_server.setting_up import initialise
from forewarn_server.store.exposure_tables import batches, keys, publishes
from tests.system.linking import (
    guessed_reporters,
    mean_and_alone,
    padding_from_real,
    reporters_in,
    right_links,
    right_links_to_todays_key,
)
from tests.system.reporting_town import Town

Figure = Callable[[str], None]


def town(data: Path, *, days: int, per_day: int, **settings: Any) -> Town:
    """Let a town report, and return it with its server closed: the files, and the truth about them."""

    async def live() -> Town:
        async with Town.open(data, seed=7, **settings) as opened:
            return await opened.live(days, per_day)

    initialise(data, "vn")
    return asyncio.run(live())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Two busy days at a server with its own settings but for smaller files."""
    return town(tmp_path_factory.mktemp("mixed") / "data", days=2, per_day=14, padded_keys=300)


def test_no_trained_reader_tells_padding_from_real_keys(mixed: Town, figure: Figure) -> None:
    separation = padding_from_real(mixed.files, mixed.truth)
    assert separation.is_chance, separation
    figure(f"padding told from real keys: AUC {separation.area:.3f}, standard error {separation.error:.3f}")


def test_the_reader_finds_padding_that_is_drawn_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: padding that is always a whole day's and knows no onset, as a careless server would make it."""
    monkeypatch.setattr(batch_store, "padding_keys", careless_padding)
    careless = town(tmp_path / "data", days=2, per_day=14, padded_keys=300)
    separation = padding_from_real(careless.files, careless.truth)
    assert separation.area > 0.9
    assert not separation.is_chance


def careless_padding(real: Sequence[Any], count: int) -> Iterator[dict[str, Any]]:
    for row in padding_keys(real, count):
        yield {**row, "rolling_period": INTERVALS_PER_DAY, "onset_days": None}


def test_mixing_lowers_the_sniffers_chance_and_a_mix_of_one_makes_it_all_but_certain(
    mixed: Town, tmp_path: Path
) -> None:
    """The second half is the positive control: with the mix off, the same sniffer joins nearly every pair."""
    alone = town(tmp_path / "data", days=2, per_day=14, padded_keys=10, minimum_reports_per_file=1)
    with_mix, _ = mean_and_alone(right_links(mixed.files, mixed.truth))
    without, _ = mean_and_alone(right_links(alone.files, alone.truth))
    assert without > 0.75
    assert with_mix < without - 0.1


def test_true_onset_days_would_join_what_the_mix_keeps_apart(
    mixed: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control for the three classes: published as days, the onset names the person."""
    monkeypatch.setattr(service, "published_onset_days", lambda days: days)
    told = town(tmp_path / "data", days=2, per_day=14, padded_keys=10)
    by_day, _ = mean_and_alone(right_links(told.files, told.truth, true_days=True))
    by_class, _ = mean_and_alone(right_links(mixed.files, mixed.truth))
    assert by_day > 0.85
    assert by_day > by_class + 0.1


def off_the_hour(files: Sequence[Any]) -> int:
    """Count the times of files that tell more than the hour."""
    return sum(moment % HOUR_S != 0 for file in files for moment in (file.start_s, file.end_s))


async def test_files_and_database_tell_no_time_but_hours_and_no_onset_day(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "vn")
    async with Town.open(tmp_path / "data", seed=3, padded_keys=10) as opened:
        await opened.live(1, 6)
        await opened.report(99)  # one that still waits
        assert off_the_hour(opened.files) == 0
        told = {key.days_since_onset for file in opened.files for key in file.keys}
        assert told <= set(REPRESENTATIVE_DAYS.values())
        columns = {
            # From when on a fresh key may be published follows from the key's own end.
            keys: (keys.c.revised_since_s,),
            publishes: (publishes.c.expires_s,),
            batches: (batches.c.start_s, batches.c.end_s),
        }
        async with opened.context.exposure.reading() as connection:
            for table, times in columns.items():
                rows = (await connection.execute(select(*times))).all()
                assert rows, table.name
                assert not [time for row in rows for time in row if time is not None and time % HOUR_S]


def test_a_revised_key_is_known_to_be_real_and_to_be_one_of_few_peoples(mixed: Town) -> None:
    """What cannot be hidden: nobody revises padding. docs/limits.md says so."""
    revised = [key.tek.key for file in mixed.files for key in file.revised]
    assert revised
    assert set(revised) <= set(mixed.truth)


@pytest.mark.slow
@pytest.mark.parametrize(("days", "per_day"), [(14, 6), (3, 40)], ids=["quiet", "busy"])
def test_what_remains_linkable_over_a_fortnight_and_in_a_wave(
    tmp_path: Path, figure: Figure, days: int, per_day: int
) -> None:
    chances = {}
    for reports in (1, 3, 10):
        padded = 1_000 if reports == 3 else 50
        measured = town(
            tmp_path / str(reports),
            days=days,
            per_day=per_day,
            padded_keys=padded,
            minimum_reports_per_file=reports,
        )
        mean, alone = mean_and_alone(right_links(measured.files, measured.truth))
        todays = fmean(right_links_to_todays_key(measured.files, measured.truth))
        chances[reports] = mean
        figure(
            f"{per_day} reports a day, files of at least {reports}: a sniffer who heard everybody joins two days of a "
            f"case with chance {mean:.2f} ({alone:.0%} of the pairs are certain), a past day and today's with "
            f"{todays:.2f}"
        )
        if reports == 3:
            separation = padding_from_real(measured.files, measured.truth)
            fresh = [file for file in measured.files if file.keys]
            true = [reporters_in(file, measured.truth) for file in fresh]
            counted = fmean(guessed_reporters(file) == count for file, count in zip(fresh, true, strict=True))
            blind = max(true.count(count) for count in true) / len(true)
            figure(
                f"{per_day} reports a day: padding told from real keys with AUC {separation.area:.3f} (standard error "
                f"{separation.error:.3f}); people in a file counted rightly {counted:.0%} of the time, blindly "
                f"{blind:.0%}"
            )
            assert separation.is_chance, separation
    assert chances[1] > chances[3] > chances[10]
