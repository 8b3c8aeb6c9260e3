"""Two adversaries of the public files: who reads them all, and who also heard a case's identifiers on some days.

The reader trains on one half of the files, whose truth is given away, and is measured on the other half. The sniffer is
the worst there could be: receivers everywhere, so that for every real key the day on which it was heard is known.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn_protocol.intervals import INTERVAL_S, INTERVALS_PER_DAY
from forewarn_protocol.keys import MAX_ONSET_DAYS, DiagnosisKey
from forewarn_protocol.publishing import published_onset_days
from forewarn_server.hours import HOUR_S
from tests.system.reporting_town import PublicFile, Truth

Truths = Mapping[bytes, Truth]
_LONGEST_WAIT_S = 6 * HOUR_S
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """How well two kinds of keys are told apart: area under the curve (0.5: not at all), and its standard error."""

    area: float
    error: float

    @property
    def is_chance(self) -> bool:
        """Whether 0.5 lies within four standard errors: the padding is drawn anew in each run of a test."""
        return abs(self.area - 0.5) <= 4 * self.error


def padding_from_real(files: Sequence[PublicFile], truth: Truths) -> Separation:
    """Let a trained reader score each fresh key as real or padding, against the others of its file."""
    named = Counter(key.tek.key for file in files for key in file.keys)
    rows = [_rows(file, named, truth) for file in files if file.keys]
    # A file without padding, where there are many real keys, has nothing to tell apart.
    rows = [file for file in rows if 0 < file.labels.sum() < len(file.labels)]
    base = np.concatenate([file.features for file in rows])
    mean, spread = base.mean(axis=0), base.std(axis=0)
    rows = [_Rows((file.features - mean) / np.where(spread > 0, spread, 1), file.labels) for file in rows]
    weights = _fit(rows[::2])
    parts = [_separation(file.features @ weights, file.labels) for file in rows[1::2]]
    real = np.array([file.labels.sum() for file in rows[1::2]])
    share = real / real.sum()
    return Separation(
        float(share @ [part.area for part in parts]), float(np.sqrt(share**2 @ [part.error**2 for part in parts]))
    )


@dataclass(frozen=True)
class _Rows:
    features: Floats
    labels: NDArray[np.bool_]


def _rows(file: PublicFile, named: Counter[bytes], truth: Truths) -> _Rows:
    shapes, starts, types = (Counter(map(trait, file.keys)) for trait in (_shape, _day, _type))
    newest, count = max(starts), len(file.keys)
    rows = []
    for place, key in enumerate(file.keys):
        share = shapes[_shape(key)] / count * len(shapes)
        rows.append(
            [
                newest - _day(key),
                (newest - _day(key)) ** 2,
                key.tek.rolling_period,
                key.tek.rolling_start % INTERVALS_PER_DAY,
                _type(key) == 1,
                _type(key) == 2,
                key.days_since_onset or 0,
                abs(key.days_since_onset or 0),
                key.transmission_risk,
                share,
                1 / share,
                starts[_day(key)] / count,
                types[_type(key)] / count,
                place / count,
                key.tek.key[0],
                key.tek.key[-1],
                named[key.tek.key],
            ]
        )
    return _Rows(np.array(rows, dtype=float), np.array([key.tek.key in truth for key in file.keys]))


def _fit(files: Sequence[_Rows], ridge: float = 1e-3) -> Floats:
    # Logistic regression by Newton's method. In each file both kinds weigh the same: what is asked is which keys are
    # real, not which files have many.
    features, labels = (np.concatenate([getattr(file, name) for file in files]) for name in ("features", "labels"))
    weigh = np.concatenate(
        [file.labels.sum() * np.where(file.labels, 1 / file.labels.sum(), 1 / (~file.labels).sum()) for file in files]
    )
    weights = np.zeros(features.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        slope = features.T @ (weigh * (labels - chance)) - ridge * weights
        curve = (features * (weigh * chance * (1 - chance))[:, None]).T @ features + ridge * np.eye(len(weights))
        weights += np.linalg.solve(curve, slope)
    return weights


def _separation(scores: Floats, labels: NDArray[np.bool_]) -> Separation:
    # Mann and Whitney's statistic, ties counted half; the error under the hypothesis that nothing tells them apart.
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    ones, zeros = int(labels.sum()), int((~labels).sum())
    area = (ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    return Separation(float(area), float(np.sqrt((ones + zeros + 1) / (12 * ones * zeros))))


def guessed_reporters(file: PublicFile) -> int:
    """Return how many people a reader takes a file's fresh keys for: the commonest day in units of the rarest shape.

    Padding keeps the proportions of the real keys; whoever assumes that some key is alone of its shape can count.
    """
    shapes, days = Counter(map(_shape, file.keys)), Counter(map(_day, file.keys))
    return round(max(days.values()) / min(shapes.values()))


def reporters_in(file: PublicFile, truth: Truths) -> int:
    """Return how many people's fresh keys stand in a file."""
    return len({truth[key.tek.key].person for key in file.keys if key.tek.key in truth})


def right_links(files: Sequence[PublicFile], truth: Truths, *, true_days: bool = False) -> list[float]:
    """Return, for each two keys of one person and two days in one file, the sniffer's chance of joining them rightly.

    Who heard a case on one day has its key; the others of the file that were heard on the other day, and could be the
    same person's by report type, risk and onset, are as likely as the right one. `true_days`: read the onset as days.
    """
    chances = []
    for file in files:
        real = [key for key in file.keys if key.tek.key in truth]
        by_day = defaultdict(list)
        for key in real:
            by_day[_day(key)].append(key)
        for one, other in permutations(real, 2):
            if _person(one, truth) == _person(other, truth) and _day(one) != _day(other):
                alike = [key for key in by_day[_day(other)] if _could_be_one_persons(one, key, true_days=true_days)]
                chances.append(1 / len(alike))
    return chances


def right_links_to_todays_key(files: Sequence[PublicFile], truth: Truths) -> list[float]:
    """Return the sniffer's chance of joining a whole day's key with the one that the same person's report cut short.

    They stand in different files. What joins them is when they came: today's key ends in the hour of the report, and
    the other keys were sealed within the longest wait after it.
    """
    sealed = {key.tek.key: file.published_s for file in files for key in file.keys}
    real = {key.tek.key: key for file in files for key in file.keys if key.tek.key in truth}
    cut = [key for key in real.values() if truth[key.tek.key].cut_short]
    chances = []
    for todays, earlier in product(cut, real.values()):
        if earlier in cut or _person(earlier, truth) != _person(todays, truth):
            continue
        ends = range(sealed[earlier.tek.key] - _LONGEST_WAIT_S, sealed[earlier.tek.key] + HOUR_S + 1)
        alike = [key for key in cut if key.tek.end * INTERVAL_S in ends and _type(key) == _type(todays)]
        chances.append(1 / len(alike))
    return chances


def mean_and_alone(chances: Sequence[float]) -> tuple[float, float]:
    """Return the mean chance, and the share of those that are certain."""
    return fmean(chances), sum(chance == 1 for chance in chances) / len(chances)


def _could_be_one_persons(one: DiagnosisKey, other: DiagnosisKey, *, true_days: bool) -> bool:
    if (_type(one), one.transmission_risk) != (_type(other), other.transmission_risk):
        return False
    onsets = _as_day if true_days else _as_class
    return bool(onsets(one) & onsets(other))


def _as_class(key: DiagnosisKey) -> set[int]:
    days = range(-MAX_ONSET_DAYS, MAX_ONSET_DAYS + 1)
    return {_day(key) - day for day in days if published_onset_days(day) == key.days_since_onset}


def _as_day(key: DiagnosisKey) -> set[int]:
    return {_day(key) - (key.days_since_onset or 0)}


def _person(key: DiagnosisKey, truth: Truths) -> int:
    return truth[key.tek.key].person


def _day(key: DiagnosisKey) -> int:
    return key.tek.rolling_start // INTERVALS_PER_DAY


def _type(key: DiagnosisKey) -> int:
    return -1 if key.report_type is None else int(key.report_type)


def _shape(key: DiagnosisKey) -> tuple[Any, ...]:
    return (key.tek.rolling_start, key.tek.rolling_period, key.report_type, key.transmission_risk, key.days_since_onset)
