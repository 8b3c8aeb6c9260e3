from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel
from referencing.exceptions import Unresolvable

from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.openapi import document
from forewarn_server.problems import Style
from forewarn_server.routing import ROUTES, Route
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer


def faults(described: dict[str, Any]) -> list[str]:
    """What the official schema of OpenAPI 3.1 finds wrong."""
    try:
        return [str(error.message) for error in OpenAPIV31SpecValidator(described).iter_errors()]
    except Unresolvable as error:
        return [str(error)]


async def test_the_document_is_served_and_sound(server: RunningServer) -> None:
    reply = await server.send("GET", "/openapi.json")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json["openapi"].startswith("3.1.")
    assert faults(reply.json) == []


def test_every_served_route_is_described_and_nothing_else(settings: ServerSettings, clock: HandClock) -> None:
    app = create_app(settings, clock)
    served = {(route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.resource}
    described = document(app[ROUTES])
    # HEAD is served wherever GET is, and goes without saying.
    heads = {("head", path) for method, path in served if method == "get"}
    assert {(method, path) for path, methods in described["paths"].items() for method in methods} == served - heads
    assert heads <= served


def test_a_file_that_may_not_be_there_is_described_with_its_404(settings: ServerSettings, clock: HandClock) -> None:
    described = document(create_app(settings, clock)[ROUTES])
    for path, methods in described["paths"].items():
        assert ("404" in methods.get("get", {}).get("responses", {})) == ("{" in path), path


def test_a_key_is_asked_for_on_the_authoritys_five_routes_only(settings: ServerSettings, clock: HandClock) -> None:
    described = document(create_app(settings, clock)[ROUTES])
    secured = {path for path, methods in described["paths"].items() for item in methods.values() if "security" in item}
    assert secured == {"/api/issue", "/api/batch-issue", "/api/checkcodestatus", "/api/expirecode", "/api/upload"}


def test_wire_names_are_described(settings: ServerSettings, clock: HandClock) -> None:
    described = document(create_app(settings, clock)[ROUTES])
    properties = {
        name: set(schema["properties"])
        for name, schema in described["components"]["schemas"].items()
        if "properties" in schema
    }
    assert {"testType", "symptomDate", "testDate", "uuid", "padding"} <= properties["IssueRequest"]
    assert {"temporaryExposureKeys", "healthAuthorityID", "verificationPayload"} <= properties["PublishRequest"]
    assert "errorCode" in properties["ErrorAnswer"]


async def test_every_refusal_met_is_described(server: RunningServer) -> None:
    described = document([*create_app(server.context.settings, server.clock)[ROUTES]])
    for path, methods in described["paths"].items():
        if "post" in methods:
            for headers in ({}, {"x_api_key": server.issuer_key}):
                for body in ({}, {"code": "1"}, {"token": "1", "ekeyhmac": "AA=="}, {"testType": "perhaps"}):
                    reply = await server.post(path, body, **headers)
                    assert str(reply.status) in methods["post"]["responses"], (path, body)


@pytest.mark.parametrize("spoil", ["reference", "parameter", "operation"])
def test_a_faulty_document_is_found(spoil: str) -> None:
    """Positive control of the checks above."""

    class Answer(BaseModel):
        text: str

    async def handler(_: Any) -> Any: ...

    routes = [Route("GET", f"/{name}/{{part}}", handler, "x", answer=Answer, style=Style.PUBLISH) for name in "ab"]
    described = document(routes)
    assert faults(described) == []
    if spoil == "reference":
        del described["components"]["schemas"]["Answer"]
    elif spoil == "parameter":
        del described["paths"]["/a/{part}"]["get"]["parameters"]
    else:
        described["paths"]["/a/{part}"]["get"]["operationId"] = described["paths"]["/b/{part}"]["get"]["operationId"]
    assert faults(described)
