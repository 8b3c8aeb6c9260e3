"""The state of a device as other programs of its owner are told it: what `status --json` says, and the condition.

Nothing of the diary is in it: no identifier, no key, no sighting, no count of encounters.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

from forewarn_client.condition import condition_of
from forewarn_client.device import Device
from forewarn_client.status import glance

LOOK_EACH_S: Final = 30.0

_NOT_TOLD: Final = frozenset({"encounters", "erasures", "damaged_entries"})
# What differs between two looks though nothing has happened that a program would act on.
_AGES: Final = frozenset({"last_scan", "last_download", "last_match", "clock_offset_s", "reason"})


async def states(device: Device) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield the state at once and whenever it has changed, for ever; between them None, at each look without news."""
    clock = device.clock
    told: dict[str, Any] | None = None
    while True:
        found = await glance(device)
        shown = {name: value for name, value in found.as_json().items() if name not in _NOT_TOLD}
        state = {**shown, **condition_of(found).as_json()}
        yield None if told is not None and _is_same(state, told) else state
        told = state
        await clock.sleep_until(clock.monotonic() + LOOK_EACH_S)


def _is_same(state: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(state[name] == other.get(name) for name in state if name not in _AGES)
