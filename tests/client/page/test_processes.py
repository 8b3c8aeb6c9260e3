"""The page beside a running daemon: a process of its own, and the command that gives the link."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from forewarn_client import cli
from forewarn_client.config import ClientSettings
from forewarn_client.page.address import link, listen, names
from forewarn_client.page.listener import PageHost
from forewarn_client.page.serving import serve
from forewarn_client.presence import is_running, only_daemon
from forewarn_protocol.errors import BadSettings, Missing
from forewarn_shell.clock import SystemClock
from forewarn_shell.command_line import run
from tests.client.test_cli import KEPT_CLOCK

Captured = pytest.CaptureFixture[str]


def free_port() -> int:
    with listen(ClientSettings(data=Path("unused"))) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def command(data: Path, *arguments: str, port: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """Run the product's command in a process of its own, and end it."""
    code = KEPT_CLOCK + "from forewarn_client.__main__ import main; main()"
    environment = {**os.environ, "FOREWARN_CLIENT_PAGE_PORT": str(port), "FOREWARN_CLIENT_LANGUAGE": "en"}
    with subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-c", code, "--data", data, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def ask(address: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(method, parts.path, body, headers)
    answer = connection.getresponse()
    try:
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def children(pid: int) -> list[str]:
    """Return the command lines of the processes that a process has started and that still live."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in listed]


def test_a_daemon_serves_the_page_from_a_process_of_its_own_that_ends_with_it(tmp_path: Path) -> None:
    port = free_port()
    with command(tmp_path, "run", port=port) as daemon:
        assert daemon.stdout
        daemon.stdout.readline()
        assert not [line for line in children(daemon.pid) if "forewarn_client.page" in line]
        settings = ClientSettings(data=tmp_path, page_port=port)
        address = link(settings, port)
        while True:  # the job that listens begins within a second
            try:
                status, headers, _ = ask(address)
                break
            except ConnectionRefusedError:
                assert daemon.poll() is None
        assert status == 303
        at = {"Cookie": headers["Set-Cookie"].partition(";")[0], "Accept-Language": "en"}
        home = f"http://127.0.0.1:{port}{headers['Location']}"
        status, _, html = ask(home, **at)
        assert status == 200
        assert [line for line in children(daemon.pid) if "forewarn_client.page" in line]
        token = html.partition('name="form" value="')[2].partition('"')[0]

        def post(path: str, values: str) -> tuple[int, dict[str, str], str]:
            kind = "application/x-www-form-urlencoded"
            given = {**at, "Origin": f"http://127.0.0.1:{port}", "Content-Type": kind}
            return ask(home + path, "POST", f"form={token}&{values}", **given)

        assert post("pause", "for=open")[0] == 303
        while "says and records nothing" not in (page := ask(home, **at)[2]):
            assert "falls silent in a moment" in page
        # The daemon erases, begins anew with a pause, and the page goes on in a new session.
        key = (tmp_path / "device.key").read_bytes()
        status, headers, _ = post("erase", "sure=yes&then=off")
        assert status == 303
        at["Cookie"] = headers["Set-Cookie"].partition(";")[0]
        assert "Everything was erased." in ask(f"http://127.0.0.1:{port}{headers['Location']}", **at)[2]
        while not (tmp_path / "device.key").exists():
            assert daemon.poll() is None
        assert (tmp_path / "device.key").read_bytes() != key
        assert is_running(tmp_path)
    assert daemon.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        ask(address)


def test_the_command_serves_the_page_where_no_daemon_does(tmp_path: Path) -> None:
    with command(tmp_path, "page", "--json") as serving:
        assert serving.stdout
        told = json.loads(serving.stdout.readline())
        assert told["served_by_daemon"] is False
        assert ask(told["address"])[0] == 303
        assert ask(f"{told['address']}x")[0] == 403
    assert serving.returncode == 0


def call(data: Path, *arguments: str) -> int:
    return run(cli.app, "forewarn-client", ["--data", str(data), *arguments])


def test_the_command_gives_the_link_of_a_daemon_that_offers_the_page(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_PAGE_PORT", "7465")
    monkeypatch.setenv("FOREWARN_CLIENT_LANGUAGE", "en")
    with only_daemon(tmp_path):
        assert call(tmp_path, "page") == 0
        shown = capsys.readouterr().out
        address = link(ClientSettings(data=tmp_path), 7465)
        assert address in shown
        assert "Give this link to nobody" in shown
        assert "█" not in shown
        assert call(tmp_path, "page", "--new") == 0
        assert address not in capsys.readouterr().out
        monkeypatch.setenv("FOREWARN_CLIENT_PAGE_HOST", "10.55.0.1")
        assert call(tmp_path, "page") == 0
        shown = capsys.readouterr().out
        assert "http://10.55.0.1:7465/open/" in shown
        assert "█" in shown  # the code to scan


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.8.8", "224.0.0.1", "localhost", "::1", "256.1.1.1"])  # noqa: S104 - refused
def test_the_page_is_never_offered_to_everybody(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_CLIENT_PAGE_HOST", host)
    with pytest.raises(BadSettings, match="page_host is wrong"):
        ClientSettings.load()


def test_a_usb_links_page_has_one_name_and_a_loopback_two(tmp_path: Path) -> None:
    with listen(ClientSettings(data=tmp_path)) as listener:
        port = listener.getsockname()[1]
        assert names(listener) == {f"127.0.0.1:{port}", f"localhost:{port}"}
    # The address of a link that is not up yet can be had already.
    with listen(ClientSettings(data=tmp_path, page_host="10.55.77.1")) as listener:
        assert names(listener) == {f"10.55.77.1:{listener.getsockname()[1]}"}


async def test_an_address_that_is_taken_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with listen(ClientSettings(data=tmp_path)) as listener:
        settings = ClientSettings(data=tmp_path, page_port=listener.getsockname()[1])
        with pytest.raises(Missing, match=r"the page cannot listen on .*: set page_host and page_port"):
            await anext(PageHost(settings).offer())


async def test_a_page_that_nobody_looks_at_ends(tmp_path: Path) -> None:
    with listen(ClientSettings(data=tmp_path)) as listener:
        async with asyncio.timeout(20):
            await serve(ClientSettings(data=tmp_path), SystemClock(), listener, idle_s=0.01)


async def test_a_pages_process_that_fails_is_said_and_the_address_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ClientSettings(data=tmp_path, page_port=await asyncio.to_thread(free_port))
    host = PageHost(settings)
    steps = host.offer()
    await anext(steps)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    _, writer = await asyncio.open_connection("127.0.0.1", settings.page_port)
    with pytest.raises(Missing, match="the page's process failed"):
        await anext(steps)
    writer.close()
    await host.close()
    await host.close()
    with listen(settings):
        pass
