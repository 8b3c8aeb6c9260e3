"""The pins: what constraints.txt says, and what the extras of the project need of it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
PROJECT = "forewarn"
UNPINNED = frozenset({PROJECT, "pip"})
"""Ourselves, and the installer, which comes with Python."""
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.+!]*)")


def pinned(text: str) -> dict[str, str]:
    """Return version by canonical name.

    Raises:
        ValueError: a line that is no exact pin, or a name that stands twice.
    """
    pins: dict[str, str] = {}
    for line in text.splitlines():
        found = _PIN.fullmatch(line)
        if not found:
            raise ValueError(f"{line!r} is no exact pin: name==version, without address, marker or hash")
        name = canonicalize_name(found["name"])
        if name in pins:
            raise ValueError(f"{name} is pinned twice")
        pins[name] = found["version"]
    return pins


def installed_for(project: str, extras: Iterable[str]) -> dict[str, str]:
    """Return version by canonical name of all that is installed for a project and some of its extras."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(project, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            known = distribution(name)
        except PackageNotFoundError:
            continue  # an extra that this environment does not have
        found[name] = known.version
        waiting += _needs(known, extra)
    return {name: version for name, version in found.items() if name not in UNPINNED}


def _needs(known: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    for text in known.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), wanted


def differing(installed: Mapping[str, str], pins: Mapping[str, str]) -> list[str]:
    """Return what is installed in another version than the pinned one, or without a pin."""
    return [
        f"{name} {version} is installed, {pins.get(name, 'nothing')} is pinned"
        for name, version in sorted(installed.items())
        if pins.get(name) != version
    ]
