"""The OpenAPI 3.1 document of every route, made from the route table and the wire models."""

import re
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from forewarn_protocol.publishing import PUBLISH_ERRORS, PublishAnswer
from forewarn_protocol.verification import VERIFICATION_ERRORS, ErrorAnswer
from forewarn_server.problems import Style
from forewarn_server.routing import API_KEY_HEADER, ROUTES, Route, add

_REFERENCE: Final = "#/components/schemas/{model}"
_ERROR_MODELS: Final[dict[Style, type[BaseModel]]] = {Style.VERIFICATION: ErrorAnswer, Style.PUBLISH: PublishAnswer}
_ANY_BODY: Final = {400: "bad_request", 408: "bad_request", 413: "bad_request", 415: "bad_request"}
_ANY_ROUTE: Final = {500: "internal_error"}
_ANY_FILE: Final = {404: "bad_request"}


class Health(BaseModel):
    """The answer to 'are you there?'."""

    status: str


def add_routes(app: web.Application) -> None:
    """Serve the document, and the answer to 'are you there?'."""
    routes = (
        Route("GET", "/health", _health, "Tell that the server is up.", answer=Health),
        Route("GET", "/openapi.json", _serve_document, "This document."),
    )
    add(app, routes)


def document(routes: list[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of a route table."""
    models = {model for route in routes for model in (route.request, route.answer) if model}
    models |= {_ERROR_MODELS[route.style] for route in routes}
    wanted = [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)]
    _, schemas = models_json_schema(wanted, by_alias=True, ref_template=_REFERENCE)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_template(route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Forewarn", "version": version("forewarn")},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.summary, "operationId": _identity(route)}
    if names := _parameters(route.path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.api_key:
        operation["security"] = [{"apiKey": []}]
    if route.request:
        operation["requestBody"] = {"required": True, "content": _content(route.request)}
    elif route.takes:
        operation["requestBody"] = {"required": True, "content": {route.takes: {}}}
    operation["responses"] = _responses(route)
    return operation


def _responses(route: Route) -> dict[str, Any]:
    good = _content(route.answer) if route.answer else {route.content_type: {}}
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": good}}
    for status, codes in sorted(_refusals(route).items()):
        if status == 200:  # noqa: PLR2004 - a partial success is an answer of the same model
            responses["200"]["description"] = f"Done; or {', '.join(codes)}."
        else:
            content = _content(_ERROR_MODELS[route.style])
            responses[str(status)] = {"description": f"Refused: {', '.join(codes)}.", "content": content}
    return responses


def _refusals(route: Route) -> dict[int, list[str]]:
    table = PUBLISH_ERRORS if route.style is Style.PUBLISH else {c: e.status for c, e in VERIFICATION_ERRORS.items()}
    everywhere = {
        **_ANY_ROUTE,
        **(_ANY_BODY if route.request or route.takes else {}),
        **(_ANY_FILE if _parameters(route.path) else {}),
    }
    codes = [(table[code], code) for code in (*route.refusals, *(("unauthorized",) if route.api_key else ()))]
    by_status: dict[int, list[str]] = {}
    for status, code in (*everywhere.items(), *codes):
        if code not in by_status.setdefault(status, []):
            by_status[status].append(code)
    return by_status


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}


def _identity(route: Route) -> str:
    return re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")


def _template(path: str) -> str:
    # The router's {name:pattern} is OpenAPI's {name}.
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def _parameters(path: str) -> list[str]:
    return re.findall(r"\{(\w+)", path)


async def _health(_: web.Request) -> web.Response:
    return web.json_response(Health(status="ok").model_dump())


async def _serve_document(request: web.Request) -> web.Response:
    return web.json_response(document(request.app[ROUTES]))
