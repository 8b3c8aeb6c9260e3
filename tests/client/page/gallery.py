"""Every state of the page, one after the other, as a person meets it in a browser."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import timedelta

from playwright.async_api import Page

from forewarn_client import board, pausing
from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.device import Device
from forewarn_client.diary.block import ScanWindow
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.presence import only_daemon
from forewarn_protocol.intervals import Interval, day_at, interval_at
from forewarn_protocol.risk import Likelihood
from tests.client.conftest import NOON_S

CODE = "12345678"
DAY_S = 86_400


async def live_a_fortnight(device: Device) -> None:
    """Let a device have heard people on most days, spoken, and compared just now."""
    for back, count in enumerate((12, 140, 96, 0, 41, 228, 180, 3, 77, 64, 0, 15, 119, 31)):
        heard = {back.to_bytes(2, "big") + number.to_bytes(2, "big") + bytes(16): [(0, -60)] for number in range(count)}
        if heard:
            await device.diary.record(ScanWindow(NOON_S - 150 - back * DAY_S, None, heard))
    for back in (2, 1, 0):
        await device.keyring.next_identifier(Interval(interval_at(NOON_S) - 144 * back))
    for name, ago_s in ((board.LAST_SCAN, 150), (board.LAST_DOWNLOAD, 5400), (board.LAST_MATCH, 5400)):
        await device.status.note(name, NOON_S - ago_s)
    await device.status.note(board.CLOCK_OFFSET, 0.4)


async def warn(device: Device) -> None:
    alert = Alert(day_at(NOON_S) - timedelta(days=2), 40, Likelihood.LIKELY, "minutes")
    await device.database.write(keep_and_tell, device.vault, [alert])


async def states(page: Page, origin: str, room: Callable[[], str], device: Device) -> AsyncIterator[str]:
    """Yield the name of each state while the browser shows it; `room` is asked anew, for an erasure changes it."""

    async def home() -> None:
        await page.goto(f"{origin}{room()}/")

    yield "closed" if (await page.goto(f"{origin}/open/wrong")) else ""
    with ExitStack() as stack:
        stack.enter_context(only_daemon(device.settings.data))
        await home()
        yield "running"
        fault = board.FAULT_PREFIX + "fetch-and-match"
        await device.status.note(fault, "the server gives no answer: check the network")
        await home()
        yield "stale"
        await device.status.note(fault, None)
        await pausing.pause(device, UNTIL_RESUMED)
        await device.status.note(board.SILENT, True)  # noqa: FBT003 - a JSON value
        await home()
        yield "paused"
        await pausing.pause(device, NOON_S + 3600)
        await home()
        yield "paused-for-an-hour"
        await pausing.resume(device)
        await page.goto(f"{origin}{room()}/erase")
        yield "erase"
        await page.goto(f"{origin}{room()}/code")
        yield "code"
        await page.fill("#code", "123")
        await page.click("button")
        yield "code-refused"
        await page.fill("#code", CODE)
        await page.click("button")
        yield "consent"
        await page.click("button")
        yield "sent"
    await home()
    yield "call"
    await warn(device)
    with only_daemon(device.settings.data):
        await home()
        yield "alert"
