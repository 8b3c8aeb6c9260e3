"""What a benchmark found: figures, the bars that some of them must stay under, and the machine that it ran on."""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_CPU_FILE: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure's limit: the figure must be below it."""

    name: str
    value: float
    bar: float

    @property
    def ok(self) -> bool:
        """Whether the figure keeps it."""
        return self.value < self.bar


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one run, by names that end in their unit; `limits` are the bars of some of them."""

    name: str
    figures: Mapping[str, float]
    limits: Mapping[str, float]

    @property
    def bars(self) -> list[Bar]:
        """Return each limit with the figure that it limits."""
        return [Bar(name, self.figures[name], limit) for name, limit in self.limits.items()]

    @property
    def ok(self) -> bool:
        """Whether every bar is kept."""
        return all(bar.ok for bar in self.bars)

    def as_json(self) -> dict[str, Any]:
        """Return what `bench --json` prints."""
        return {
            "name": self.name,
            "machine": machine(),
            "figures": dict(self.figures),
            "bars": [{"name": bar.name, "value": bar.value, "bar": bar.bar, "ok": bar.ok} for bar in self.bars],
        }


def machine() -> str:
    """Describe the machine in one line: figures of two machines are not to be compared unawares."""
    return f"{_cpu()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _cpu() -> str:
    text = _CPU_FILE.read_text(encoding="utf-8", errors="replace") if _CPU_FILE.exists() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.machine()
