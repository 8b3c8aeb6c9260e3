import re
from typing import Any

import pytest
from pydantic import BaseModel

from forewarn_server.app import create_app
from forewarn_server.config import ServerSettings
from forewarn_server.openapi import document
from forewarn_server.problems import Style
from forewarn_server.routing import ROUTES, Route
from tests.server.hand_clock import HandClock
from tests.server.running_server import RunningServer


def faults(described: dict[str, Any]) -> list[str]:
    """What OpenAPI 3.1 demands of the parts that we use."""
    found = []
    operations = [(path, item) for path, methods in described["paths"].items() for item in methods.values()]
    identities = [item["operationId"] for _, item in operations]
    if len(set(identities)) != len(identities):
        found.append("two operations have one operationId")
    for path, item in operations:
        declared = {parameter["name"] for parameter in item.get("parameters", ()) if parameter["in"] == "path"}
        if declared != set(re.findall(r"\{(\w+)\}", path)):
            found.append(f"{path}: path parameters")
        if not item["responses"] or not all(re.fullmatch(r"[1-5]\d\d", status) for status in item["responses"]):
            found.append(f"{path}: responses")
        if not all("description" in response for response in item["responses"].values()):
            found.append(f"{path}: a response without description")
        for requirement in item.get("security", ()):
            found += [
                f"{path}: {name}" for name in requirement if name not in described["components"]["securitySchemes"]
            ]
    found += [reference for reference in references(described) if resolve(described, reference) is None]
    return found


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        here = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return here + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


def resolve(described: dict[str, Any], reference: str) -> Any:
    part: Any = described
    for name in reference.removeprefix("#/").split("/"):
        part = part.get(name) if isinstance(part, dict) else None
    return part


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
    assert {(method, path) for path, methods in described["paths"].items() for method in methods} == served


def test_a_key_is_asked_for_on_the_authoritys_four_routes_only(settings: ServerSettings, clock: HandClock) -> None:
    described = document(create_app(settings, clock)[ROUTES])
    secured = {path for path, methods in described["paths"].items() for item in methods.values() if "security" in item}
    assert secured == {"/api/issue", "/api/batch-issue", "/api/checkcodestatus", "/api/expirecode"}


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
