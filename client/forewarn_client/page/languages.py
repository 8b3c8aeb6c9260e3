"""In which language a browser is answered: what its person chose here, else what it asks for, else the setting."""

from aiohttp import web

from forewarn_protocol.advice import LANGUAGES, Language

LANGUAGE_COOKIE = "language"


def language_of(request: web.Request, default: Language) -> Language:
    """Return the language of the answer."""
    return _known(request.cookies.get(LANGUAGE_COOKIE, "")) or _asked_for(request) or default


def _asked_for(request: web.Request) -> Language | None:
    ranked = []
    for place, part in enumerate(request.headers.get("Accept-Language", "")[:200].split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if (language := _known(tag.partition("-")[0].lower())) and weight > 0:
            ranked.append((-weight, place, language))
    return min(ranked)[2] if ranked else None


def _known(tag: str) -> Language | None:
    return next((language for language in LANGUAGES if language == tag), None)
