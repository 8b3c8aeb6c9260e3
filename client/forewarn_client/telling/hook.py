"""The owner's own program, run with the state on its standard input when condition, alerts or withdrawals change.

It is given the whole state, not an event. What it was told is kept once it has been told: a run that was lost in a
crash is made good at the next start, and a start by itself tells nothing again.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from forewarn_client.board import HOOK_TOLD
from forewarn_client.capabilities import hand_on_none
from forewarn_client.device import Device
from forewarn_client.telling.state import states
from forewarn_protocol.errors import Missing

PATIENCE_S: Final = 30.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def run_hook(device: Device, patience_s: float = PATIENCE_S) -> AsyncGenerator[None, None]:
    """Run the program for ever, at each news once; after `patience_s` seconds of real time it is killed.

    Raises:
        Missing: it can't be run, fails or takes too long; begun anew, the job tells it the state once more.
    """
    async for state in states(device):
        if state is not None and (mark := _mark(state)) != (await device.status.read()).get(HOOK_TOLD):
            await _run(device.settings.hook, json.dumps(state).encode() + b"\n", patience_s)
            await device.status.note(HOOK_TOLD, mark)
        yield


async def _run(command: Sequence[str], line: bytes, patience_s: float) -> None:
    program = command[0]
    # Its own output could hold anything, and would fill the journal. The settings' variables are not its business.
    environment = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
    try:
        process = await _start(command, environment)
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


async def _start(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    hand_on_none()
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, env=environment, cwd="/", start_new_session=True
        ),
        name="forewarn-client hook starts",
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled half-way, asyncio would end the program alone and wait for what that has started.
        with suppress(OSError):
            await _end(await starting)
        raise


def _mark(state: Mapping[str, Any]) -> str:
    """Return what changes with condition, alerts and withdrawals; a day that is forgotten changes it, too."""
    days = [sorted(entry["day"] for entry in state[kind]) for kind in ("alerts", "withdrawn")]
    return sha256(json.dumps([state["condition"], days]).encode()).hexdigest()


async def _end(process: Process) -> None:
    """End the program, and what it started and waited for."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())
