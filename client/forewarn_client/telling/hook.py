"""The owner's own program, run with the state on its standard input at the daemon's start and whenever it changes.

It is given the whole state, not an event: a run that was lost in a crash is made good by the one at the next start.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

from forewarn_client.device import Device
from forewarn_client.telling.state import states
from forewarn_protocol.errors import Missing

PATIENCE_S: Final = 30.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def run_hook(device: Device, patience_s: float = PATIENCE_S) -> AsyncGenerator[None, None]:
    """Run the program for ever, one run at a time; `patience_s` are seconds of real time, then it is killed.

    Raises:
        Missing: it can't be run, fails or takes too long; begun anew, the job tells it the state once more.
    """
    async for state in states(device):
        if state is not None:
            await _run(device.settings.hook, json.dumps(state).encode() + b"\n", patience_s)
        yield


async def _run(command: Sequence[str], line: bytes, patience_s: float) -> None:
    program = command[0]
    # Its own output could hold anything, and would fill the journal. The settings' variables are not its business.
    environment = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, env=environment, cwd="/", start_new_session=True
        )
    except OSError as error:
        raise Missing(f"the hook {program} cannot be run ({error.strerror}): check the setting hook") from error
    try:
        async with asyncio.timeout(patience_s):
            await process.communicate(line)
    except TimeoutError:
        hint = "let it start what is long, and end"
        raise Missing(f"the hook {program} took over {patience_s:.0f} s and was killed: {hint}") from None
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode:
        raise Missing(f"the hook {program} ended with {process.returncode}: try it by hand")


async def _end(process: Process) -> None:
    """End the program, and what it started and waited for."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())
