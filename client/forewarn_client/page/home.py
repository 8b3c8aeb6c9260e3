"""The first page: how the device is, what to do, what was heard; and the pause."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web

from forewarn_client import pausing
from forewarn_client.condition import SHOWN_REASONS, State, condition_of
from forewarn_client.device import DATABASE_FILE, Device, demand_diary
from forewarn_client.page.chart import DAYS, HEIGHT, WIDTH, bars
from forewarn_client.page.languages import LANGUAGE_COOKIE
from forewarn_client.page.rendering import CLOCK, SESSION, SETTINGS, language, page, settings_in, to
from forewarn_client.page.texts import as_sentence, tell, tell_ago
from forewarn_client.pausing import UNTIL_RESUMED
from forewarn_client.status import Status, look
from forewarn_client.translations import say, say_day
from forewarn_protocol.advice import LANGUAGES, Language
from forewarn_protocol.intervals import day_at

_HOUR_S: Final = 3600
_MORNING_H: Final = 6
"""Not midnight: who pauses late in the evening means the night."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The state in a word that the style knows, and in sentences."""

    state: str
    title: str
    sentences: tuple[str, ...]


async def show(request: web.Request) -> web.StreamResponse:
    """Show the first page."""
    if request.query.get("language") in LANGUAGES:
        answer = to(request)
        path = f"/{request[SESSION].room}/"
        answer.set_cookie(LANGUAGE_COOKIE, request.query["language"], path=path, httponly=True, samesite="Strict")
        raise answer
    settings, spoken = settings_in(request), language(request)
    if not (settings.data / DATABASE_FILE).exists():
        return page(request, "absent.html", state="absent")
    demand_diary(settings.data)
    async with Device.open(settings, request.app[CLOCK]) as device:
        status = await look(device)
    return page(request, "home.html", **_shown(status, spoken))


async def pause(request: web.Request) -> web.StreamResponse:
    """Begin a pause."""
    form, now_s = await request.post(), request.app[CLOCK].utc()
    spans = {"hour": now_s + _HOUR_S, "tomorrow": next_morning(now_s), "open": UNTIL_RESUMED}
    until_s = spans.get(str(form.get("for")))
    if until_s is None:
        raise web.HTTPBadRequest
    demand_diary(request.app[SETTINGS].data)
    async with Device.open(request.app[SETTINGS], request.app[CLOCK]) as device:
        await pausing.pause(device, until_s)
    raise to(request)


async def resume(request: web.Request) -> web.StreamResponse:
    """End the pause."""
    demand_diary(request.app[SETTINGS].data)
    async with Device.open(request.app[SETTINGS], request.app[CLOCK]) as device:
        await pausing.resume(device)
    raise to(request)


def next_morning(now_s: float) -> float:
    """Return six o'clock of the next day, by this machine's time zone, in Unix seconds."""
    day = datetime.fromtimestamp(now_s).astimezone().date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, _MORNING_H).astimezone().timestamp()


def headline(status: Status, spoken: Language) -> Headline:
    """Return what stands largest."""
    condition = condition_of(status)
    if status.paused_until_s is not None and condition.state is not State.ALERT:
        return Headline("paused", tell(spoken, "state.paused"), _pause_sentences(status, status.paused_until_s, spoken))
    reasons = [reason.sentence(spoken) for reason in condition.reasons[:SHOWN_REASONS]]
    shown = tuple(as_sentence(reason) for reason in reasons or [tell(spoken, "state.running.why")])
    return Headline(str(condition.state), say(spoken, f"condition.{condition.state}"), shown)


def _pause_sentences(status: Status, until_s: float, spoken: Language) -> tuple[str, ...]:
    if until_s == UNTIL_RESUMED:
        until = tell(spoken, "paused.until_resumed")
    else:
        local = datetime.fromtimestamp(until_s).astimezone()
        until = tell(spoken, "paused.until", time=f"{local:%H:%M}, {say_day(spoken, local.date())}")
    if status.silent or not status.running:
        off = () if status.running else (tell(spoken, "paused.off"),)
        return (until, tell(spoken, "paused.silent"), *off)
    return (until, tell(spoken, "paused.soon"))


def _shown(status: Status, spoken: Language) -> dict[str, Any]:
    times = {"scan": status.last_scan_s, "download": status.last_download_s, "match": status.last_match_s}
    return {
        "headline": headline(status, spoken),
        "status": status,
        "alerts": [(alert["sentence"][spoken], alert["reason"][spoken]) for alert in status.alerts],
        # The same for every day.
        "advice": status.alerts[0]["advice"][spoken] if status.alerts else None,
        "dial": lambda phone: re.sub(r"[^+0-9]", "", phone),
        "times": {name: tell_ago(spoken, status.now_s, then_s) for name, then_s in times.items()},
        "bars": bars(status.encounters, day_at(status.now_s)),
        "chart": {"days": DAYS, "width": WIDTH, "height": HEIGHT},
        "say_day": lambda day: say_day(spoken, day),
    }
