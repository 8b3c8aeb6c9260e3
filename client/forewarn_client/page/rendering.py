"""Pages from templates: every value is escaped, and every answer is closed to whoever is not meant."""

from functools import partial
from http import HTTPStatus
from typing import Any, Final

import jinja2
from aiohttp import web

from forewarn_client.config import ClientSettings
from forewarn_client.page.keys import SESSION_S, PageKeys, Session
from forewarn_client.page.languages import language_of
from forewarn_client.page.texts import tell
from forewarn_protocol.advice import Language
from forewarn_shell.clock import Clock

SETTINGS: Final = web.AppKey("settings", ClientSettings)
CLOCK: Final = web.AppKey("clock", Clock)
SESSION: Final = web.RequestKey("session", Session)
SESSION_COOKIE: Final = "forewarn"
FORM_FIELD: Final = "form"

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("forewarn_client.page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def language(request: web.Request) -> Language:
    """Return the language of the answer to a request."""
    return language_of(request, request.app[SETTINGS].language)


def settings_in(request: web.Request) -> ClientSettings:
    """Return the device's settings, in the language of the answer."""
    return request.app[SETTINGS].model_copy(update={"language": language(request)})


def keys(request: web.Request) -> PageKeys:
    """Return what the data folder's secret proves, read anew: whoever deletes it ends every session at once."""
    return PageKeys.open(request.app[SETTINGS].data)


def page(request: web.Request, template: str, status: HTTPStatus = HTTPStatus.OK, /, **values: Any) -> web.Response:
    """Render a template; inside a session its links stay in the session's room."""
    spoken = language(request)
    session = request.get(SESSION)
    html = _TEMPLATES.get_template(template).render(
        language=spoken,
        room=f"/{session.room}" if session else None,
        form_token=keys(request).form_token(session) if session else None,
        tell=partial(tell, spoken),
        **values,
    )
    return web.Response(text=html, content_type="text/html", charset="utf-8", status=status)


def to(request: web.Request, path: str = "") -> web.HTTPSeeOther:
    """Lead the browser to another page of its room, so that loading it anew repeats nothing."""
    return web.HTTPSeeOther(f"/{request[SESSION].room}/{path}")


def into(session: Session, path: str = "") -> web.HTTPSeeOther:
    """Lead the browser into a session that begins, with the cookie that proves it."""
    answer = web.HTTPSeeOther(f"/{session.room}/{path}", headers={"Referrer-Policy": "no-referrer"})
    answer.set_cookie(
        SESSION_COOKIE, session.cookie, path=f"/{session.room}/", max_age=SESSION_S, httponly=True, samesite="Strict"
    )
    return answer
