"""What every fuzz target is: a check that anything may be put into, seeds that it takes, words worth trying."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Check = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """One parser under attack.

    `check` returns for whatever it is given, or raises what no parser may: another error than the family's, or an
    AssertionError where a property is broken. `seeds` are valid, by a name each; with `is_json` they
    are changed as JSON too.
    """

    check: Check
    seeds: Callable[[], Mapping[str, bytes]]
    words: Sequence[bytes]
    maximum_bytes: int
    is_json: bool = False
