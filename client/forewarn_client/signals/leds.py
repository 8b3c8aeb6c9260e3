"""One device of the kernel's LED class, a light or an active buzzer, driven by the kernel's own triggers.

The kernel keeps the rhythm, so the daemon sleeps. A pattern is given for a time only: where the daemon ends without a
word, the light goes out by itself.
"""

from pathlib import Path
from typing import Final, Self

from forewarn_client.signals.rhythms import Rhythm
from forewarn_protocol.errors import Missing

CLASS: Final = Path("/sys/class/leds")

_PATTERN, _TIMER = "pattern", "timer"
_DARK: Final = "0 60000 0 60000"


class Led:
    """A folder of the LED class: `trigger`, `brightness`, and what the chosen trigger adds.

    Each method raises Missing where the device is not there or this user may not write it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the device of this name in the kernel's class, or in a folder of its own."""
        return cls(CLASS / name)  # a path that begins at the root stays what it is

    def show(self, rhythm: Rhythm, lasts_s: float) -> None:
        """Begin a rhythm that the kernel repeats for so many seconds; one without patterns, until told otherwise."""
        offered = self._offered()
        if _PATTERN in offered:
            self._repeat(rhythm, max(1, round(lasts_s * 1000 / rhythm.period_ms)))
        elif _TIMER in offered:
            self._choose(_TIMER)
            for name, lasts_ms in zip(("delay_on", "delay_off"), rhythm.timed_ms, strict=True):
                self._write(name, str(lasts_ms))
        else:
            raise self._without(f"{_PATTERN} nor {_TIMER}")

    def once(self, rhythm: Rhythm) -> None:
        """Let a rhythm sound a single time."""
        if _PATTERN not in self._offered():
            raise self._without(_PATTERN)
        self._repeat(rhythm, 1)

    def darken(self) -> None:
        """Switch it off."""
        if self._chosen() == _PATTERN:
            # Brightness 0 would end the trigger, and with it the rights that were given to its files.
            self._write("pattern", _DARK)
        else:
            self._write("brightness", "0")

    def _repeat(self, rhythm: Rhythm, times: int) -> None:
        self._choose(_PATTERN)
        self._write("repeat", str(times))
        self._write("pattern", rhythm.pattern(self._brightest()))

    def _choose(self, trigger: str) -> None:
        # Chosen once more, it would make its files anew, owned by root.
        if self._chosen() != trigger:
            self._write("trigger", trigger)

    def _offered(self) -> list[str]:
        return [word.strip("[]") for word in self._read("trigger").split()]

    def _chosen(self) -> str | None:
        return next((word.strip("[]") for word in self._read("trigger").split() if word.startswith("[")), None)

    def _brightest(self) -> int:
        text = self._read("max_brightness").strip()
        return int(text) if text.isdecimal() else 1

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_bytes().decode(errors="replace")
        except OSError as error:
            raise self._refused(error) from error

    def _write(self, name: str, text: str) -> None:
        try:
            (self._folder / name).write_bytes(f"{text}\n".encode())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> Missing:
        if not self._folder.is_dir():
            return Missing(f"there is no LED {self._folder.name}: name one of {self._folder.parent} in settings.toml")
        return Missing(
            f"the LED {self._folder.name} cannot be used ({error.strerror}): let the daemon's user write "
            f"{self._folder} (docs/site.md)"
        )

    def _without(self, triggers: str) -> Missing:
        return Missing(f"the LED {self._folder.name} offers no trigger {triggers}: run modprobe ledtrig-pattern")
