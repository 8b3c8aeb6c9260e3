"""The encounters of each day as a picture: where its bars stand. The template draws them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

DAYS: Final = 14
WIDTH: Final = 336
HEIGHT: Final = 96
"""Of the bars; above them is room for the number, below for the day. In the picture's own units."""
_STEP: Final = WIDTH // DAYS
_BAR: Final = 18
_LEAST: Final = 2
"""A day with one signal is still to be seen."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day: where its bar stands and how high it is."""

    day: date
    count: int
    x: int
    width: int
    height: int

    @property
    def middle(self) -> float:
        """Where its number and its day stand."""
        return self.x + self.width / 2

    @property
    def top(self) -> int:
        """Where the bar begins, from above."""
        return HEIGHT - self.height


def bars(encounters: Mapping[date, int], today: date) -> list[Bar]:
    """Return the last `DAYS` days, oldest first, those without encounters too."""
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    most = max((encounters.get(day, 0) for day in days), default=0)
    drawn = []
    for place, day in enumerate(days):
        count = encounters.get(day, 0)
        height = max(_LEAST, round(HEIGHT * count / most)) if count else 0
        drawn.append(Bar(day, count, place * _STEP + (_STEP - _BAR) // 2, _BAR, height))
    return drawn
