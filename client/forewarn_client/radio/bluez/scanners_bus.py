"""The connection to the system bus that all of bleak's scanners share: once it is closed, nothing scans for us."""

import asyncio
from typing import Any, Final

from bleak.backends.bluezdbus import manager as bleak_manager

# bleak keeps it to itself. A version that keeps it elsewhere loses this cure, and nothing else.
_MANAGERS: Final = "_global_instances"
_BUS: Final = "_bus"
_END: Final = "_bus_watcher_task"


async def close_scanners_bus(patience_s: float) -> None:
    """Leave the bus, where bluetoothd may hold a scan of ours that it does not end; the next scan joins it anew."""
    managers: dict[Any, Any] = getattr(bleak_manager, _MANAGERS, {})
    manager = managers.get(asyncio.get_running_loop())
    bus, end = getattr(manager, _BUS, None), getattr(manager, _END, None)
    if bus is not None and end is not None and bus.connected:
        bus.disconnect()
        # Until the socket is closed, bleak would go on with it.
        await asyncio.wait({end}, timeout=patience_s)
