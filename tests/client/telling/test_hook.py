import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from forewarn_client.condition import State
from forewarn_client.config import ClientSettings
from forewarn_client.device import Device
from forewarn_client.telling import hook
from forewarn_client.telling.hook import run_hook
from forewarn_client.telling.state import LOOK_EACH_S
from forewarn_protocol.errors import BadSettings, Missing
from forewarn_simulations.clocks import VirtualClock
from tests.client.telling.stirring import warn
from tests.waiting import until

Make = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Make:
    def make(script: str) -> Path:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def runs(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


async def steps(job: AsyncGenerator[None, None], clock: VirtualClock, count: int) -> None:
    """Take so many steps of a job, letting virtual time pass for those that sleep."""
    for _ in range(count):
        step = asyncio.ensure_future(anext(job))
        while not step.done():
            await clock.run_for(LOOK_EACH_S)
            await asyncio.sleep(0.001)
        await step


async def test_it_gets_the_whole_state_at_the_start_and_whenever_it_changes(
    tmp_path: Path, clock: VirtualClock, program: Make
) -> None:
    log = tmp_path / "log"
    settings = ClientSettings(data=tmp_path / "data", hook=(str(program('cat >> "$1"')), str(log)))
    async with Device.open(settings, clock) as device, aclosing(run_hook(device)) as job:
        await steps(job, clock, 3)
        assert [run["condition"] for run in runs(log)] == [State.CALL]  # no daemon holds this folder
        await warn(device)
        await steps(job, clock, 3)
    told = runs(log)
    assert [run["condition"] for run in told] == [State.CALL, State.ALERT]
    assert told[1]["alerts"][0]["sentence"]["vi"]


async def test_what_a_failing_run_should_have_told_is_told_once_more(
    tmp_path: Path, clock: VirtualClock, program: Make
) -> None:
    log = tmp_path / "log"
    path = program("exit 7")
    settings = ClientSettings(data=tmp_path / "data", hook=(str(path), str(log)))
    async with Device.open(settings, clock) as device:
        await warn(device)
        with pytest.raises(Missing, match=f"{path} ended with 7"):
            await anext(run_hook(device))
        program('cat >> "$1"')
        async with aclosing(run_hook(device)) as job:
            await anext(job)
    assert [run["condition"] for run in runs(log)] == [State.ALERT]


async def test_one_that_hangs_is_killed_with_what_it_waits_for(
    tmp_path: Path, clock: VirtualClock, program: Make
) -> None:
    pid_file = tmp_path / "pid"
    settings = ClientSettings(
        data=tmp_path / "data", hook=(str(program('sleep 600 & echo $! > "$1"; wait')), str(pid_file))
    )
    async with Device.open(settings, clock) as device:
        with pytest.raises(Missing, match="took over 1 s and was killed"):
            await anext(run_hook(device, patience_s=1))
    await _until_gone(int(pid_file.read_text()))


async def test_a_daemon_that_stops_ends_its_hook(tmp_path: Path, clock: VirtualClock, program: Make) -> None:
    pid_file = tmp_path / "pid"
    settings = ClientSettings(
        data=tmp_path / "data", hook=(str(program('echo $$ > "$1"; exec sleep 600')), str(pid_file))
    )
    async with Device.open(settings, clock) as device:
        run = asyncio.ensure_future(anext(run_hook(device)))
        await until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    await _until_gone(int(pid_file.read_text()))


async def test_a_daemon_that_stops_in_the_instant_of_a_start_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program has started holds its pipe: ended alone by a cancelled start, it would be waited for."""
    real = asyncio.create_subprocess_exec
    mark = tmp_path / "mark"
    os.mkfifo(mark)
    started = asyncio.Event()

    async def slowly(*command: str, **given: Any) -> asyncio.subprocess.Process:
        process = await real(*command, **given)
        started.set()
        await asyncio.sleep(0)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    script = 'sleep 600 & echo $! > "$0"; wait'
    run = asyncio.create_task(hook._run(("/bin/sh", "-c", script, str(mark)), b"", 30))
    await started.wait()
    child = int(await asyncio.to_thread(mark.read_text))
    run.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([run])
    assert run.cancelled()
    await _until_gone(child)


async def test_a_start_by_itself_tells_nothing_again_and_a_crash_before_the_mark_does(
    tmp_path: Path, clock: VirtualClock, program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    settings = ClientSettings(data=tmp_path / "data", hook=(str(program('cat >> "$1"')), str(log)))
    async with Device.open(settings, clock) as device:
        await warn(device)
        with monkeypatch.context() as crash:
            crash.setattr(type(device.status), "note", _crashes)
            with pytest.raises(RuntimeError):
                await anext(run_hook(device))
        for _ in range(3):
            async with aclosing(run_hook(device)) as job:
                await anext(job)
    assert [run["condition"] for run in runs(log)] == [State.ALERT] * 2


async def _crashes(*_: object) -> None:
    raise RuntimeError


async def test_it_gets_no_variable_of_the_daemons_and_its_words_go_nowhere(
    tmp_path: Path,
    clock: VirtualClock,
    program: Make,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/secret")
    out = tmp_path / "environment"
    settings = ClientSettings(
        data=tmp_path / "data", hook=(str(program('env > "$1"; echo loud; echo loud >&2')), str(out))
    )
    async with Device.open(settings, clock) as device, aclosing(run_hook(device)) as job:
        await anext(job)
    assert "/secret" not in out.read_text()
    assert "loud" not in "".join(capfd.readouterr())


async def test_a_program_that_cannot_be_run_is_one_line(tmp_path: Path, clock: VirtualClock) -> None:
    settings = ClientSettings(data=tmp_path / "data", hook=("/nowhere/hook",))
    async with Device.open(settings, clock) as device:
        with pytest.raises(Missing, match=r"/nowhere/hook cannot be run .No such file"):
            await anext(run_hook(device))


def test_the_setting_is_a_list_or_a_line_and_wants_an_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_HOOK", "/bin/ring 'two words'")
    assert ClientSettings.load().hook == ("/bin/ring", "two words")
    for wrong in ("ring", "/bin/ring 'never closed", "/bin/x \0"):
        with pytest.raises(BadSettings, match="the setting hook is wrong"):
            ClientSettings.load(hook=wrong)
    with pytest.raises(BadSettings, match="the setting state_socket is wrong"):
        ClientSettings.load(state_socket="state.sock")


async def _until_gone(pid: int) -> None:
    await until(lambda: not _is_alive(pid))


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
