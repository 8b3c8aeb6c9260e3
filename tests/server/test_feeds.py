import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from forewarn_protocol.advice import parse_advice
from forewarn_protocol.configuration import DeviceConfiguration, parse_configuration
from forewarn_protocol.errors import BadFeed, NotVerified
from forewarn_protocol.feeds import FeedAge, check_sequence, verify_feed
from forewarn_protocol.risk import RiskConfiguration
from forewarn_server.advice.issuing import default_texts, issue_advice
from forewarn_server.config import ServerSettings
from forewarn_server.configuration.issuing import OPEN_TO_OPERATORS, issue_configuration
from forewarn_server.setting_up import initialise
from tests.server.hand_clock import NOON, HandClock
from tests.server.published_files import feed_of, index_of, until
from tests.server.running_server import RunningServer, running

FEEDS = ("exports/vn/index.json", "config/vn.json", "advice/vn.json")


async def test_all_feeds_are_signed_and_there_before_the_first_request(server: RunningServer) -> None:
    for path in FEEDS:
        head = json.loads(await feed_of(server, path))
        assert head["sequence"] >= 1
        assert head["issued"] == NOON
        assert 0 < head["expires"] - head["issued"] <= 24 * 3_600


async def test_a_feed_served_under_another_path_does_not_verify(server: RunningServer) -> None:
    body = await feed_of(server, "config/vn.json")
    signature = (await server.send("GET", "/config/vn.json.sig")).body
    with pytest.raises(NotVerified):
        verify_feed([server.context.keys.feed.active.private.public_key()], "advice/vn.json", body, signature)


async def test_feeds_are_not_signed_with_the_export_key(server: RunningServer) -> None:
    body = await feed_of(server, "config/vn.json")
    signature = (await server.send("GET", "/config/vn.json.sig")).body
    with pytest.raises(NotVerified):
        verify_feed([server.context.keys.export.active.private.public_key()], "config/vn.json", body, signature)


async def test_each_hour_all_feeds_are_signed_anew_with_a_higher_sequence_though_nothing_is_new(
    server: RunningServer,
) -> None:
    before = {path: json.loads(await feed_of(server, path)) for path in FEEDS}
    server.clock.advance(3_601)
    for path in FEEDS:
        await until(partial(is_newer, server, path, before[path]["sequence"]))
        assert json.loads(await feed_of(server, path))["expires"] == NOON + 3_601 + 24 * 3_600


async def is_newer(server: RunningServer, path: str, sequence: int) -> bool:
    return bool(json.loads(await feed_of(server, path))["sequence"] > sequence)


async def test_a_server_that_stands_still_is_seen_by_the_expiry(server: RunningServer) -> None:
    index = await index_of(server)
    assert check_sequence(index.head, index.sequence, NOON + 24 * 3_600 - 1) is FeedAge.CURRENT
    assert check_sequence(index.head, index.sequence, NOON + 24 * 3_600) is FeedAge.EXPIRED


async def test_a_sequence_rises_over_restarts_and_over_a_clock_that_was_set_back(
    settings: ServerSettings, clock: HandClock
) -> None:
    async with running(settings, clock) as server:
        first = await index_of(server)
    async with running(settings, HandClock(now_s=NOON - 7 * 24 * 3_600)) as server:
        second = await index_of(server)
    assert second.sequence > first.sequence


async def test_a_server_restored_from_a_backup_still_rises_above_what_devices_saw(tmp_path: Path) -> None:
    """Whoever restores an old database must not lock out every device."""
    seen = []
    for name, now_s in (("old", NOON), ("restored", NOON + 7 * 24 * 3_600)):
        folder = tmp_path / name
        initialise(folder, "vn")
        async with running(ServerSettings.load(folder), HandClock(now_s=now_s)) as server:
            seen.append((await index_of(server)).sequence)
    assert seen[1] > seen[0]


async def test_the_configuration_tells_authority_export_key_and_rule(server: RunningServer) -> None:
    told = parse_configuration(await feed_of(server, "config/vn.json"))
    assert (told.region, told.health_authority_id) == ("vn", "vn")
    (key,) = told.public_keys()
    assert key.public_numbers() == server.context.keys.export.active.private.public_key().public_numbers()
    assert told.risk == RiskConfiguration()
    assert (told.tolerance_intervals, told.minimum_distinct_rpis) == (12, 1)


async def test_an_operator_changes_the_configuration_by_a_file(server: RunningServer) -> None:
    path = server.context.settings.data / "configuration.json"
    path.write_text(json.dumps({"minimum_distinct_rpis": 2, "tolerance_intervals": 2, "risk": {"rule": "gaen"}}))
    await issue_configuration(server.context)
    told = parse_configuration(await feed_of(server, "config/vn.json"))
    assert (told.minimum_distinct_rpis, told.tolerance_intervals, told.risk.rule) == (2, 2, "gaen")
    assert told.risk.minutes == RiskConfiguration().minutes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "larger than|no JSON"),
        ("[]", "one JSON object"),
        ('{"fetch_hour": 6}', "sets 'fetch_hour': it may set median_tx_dbm"),
        ('{"sequence": 1}', "sets 'sequence'"),
        ('{"export_keys": []}', "sets 'export_keys'"),
        ('{"minimum_distinct_rpis": 0}', "minimum_distinct_rpis"),
        ('{"risk": {"rule": "dice"}}', "risk"),
    ],
)
async def test_a_faulty_configuration_file_is_refused_in_one_line_and_the_last_feed_stays(
    server: RunningServer, text: str, sentence: str
) -> None:
    before = await feed_of(server, "config/vn.json")
    (server.context.settings.data / "configuration.json").write_text(text)
    with pytest.raises(BadFeed, match=sentence) as caught:
        await issue_configuration(server.context)
    assert "configuration.json" in caught.value.message
    assert await feed_of(server, "config/vn.json") == before


async def test_a_server_does_not_start_with_a_faulty_advice_file(settings: ServerSettings, clock: HandClock) -> None:
    (settings.data / "advice.json").write_text('{"texts": {"en": {}}}')
    with pytest.raises(BadFeed, match=r"advice\.json"):
        async with running(settings, clock):
            pass


async def test_a_file_that_turns_faulty_while_the_server_runs_stops_neither_it_nor_the_other_feed(
    server: RunningServer,
) -> None:
    before = json.loads(await feed_of(server, "config/vn.json"))
    advice = await feed_of(server, "advice/vn.json")
    (server.context.settings.data / "advice.json").write_text("{")
    server.clock.advance(3_601)
    await until(partial(is_newer, server, "config/vn.json", before["sequence"]))
    assert await feed_of(server, "advice/vn.json") == advice


async def test_the_advice_of_viet_nam_speaks_both_languages_and_names_the_hotlines(server: RunningServer) -> None:
    told = parse_advice(await feed_of(server, "advice/vn.json"))
    for language in ("vi", "en"):
        text = told.texts[language]  # type: ignore[index]
        assert len(text.steps) >= 3
        assert {"19009095", "19003228"} <= {contact.phone for contact in text.call}
    assert "nhiễm bệnh" in told.text("vi").title


async def test_an_operator_replaces_the_advice_by_a_file(server: RunningServer) -> None:
    text = {"title": "T", "steps": ["S"], "call": [{"name": "N", "phone": "0123", "hours": "H"}]}
    path = server.context.settings.data / "advice.json"
    path.write_text(json.dumps({"texts": {"vi": text, "en": text}}))
    await issue_advice(server.context)
    assert parse_advice(await feed_of(server, "advice/vn.json")).text("en").title == "T"


async def test_an_advice_in_one_language_only_is_refused(server: RunningServer) -> None:
    text = {"title": "T", "steps": ["S"], "call": [{"name": "N", "phone": "0123", "hours": "H"}]}
    (server.context.settings.data / "advice.json").write_text(json.dumps({"texts": {"en": text}}))
    with pytest.raises(BadFeed, match="lacks the language vi"):
        await issue_advice(server.context)


async def test_a_region_without_a_text_of_its_own_gets_the_generic_one_without_a_hotline(
    tmp_path: Path, clock: HandClock
) -> None:
    initialise(tmp_path / "data", "xx")
    async with running(ServerSettings.load(tmp_path / "data"), clock) as server:
        told = parse_advice(await feed_of(server, "advice/xx.json"))
    assert {contact.phone for contact in told.text("en").call} == {"112"}
    assert default_texts("xx") != default_texts("vn")


CONTENT = {
    "/exports/vn/index.json": "application/json",
    "/exports/vn/index.json.sig": "application/octet-stream",
    "/exports/vn/index.txt": "text/plain; charset=utf-8",
    "/config/vn.json": "application/json",
    "/advice/vn.json.sig": "application/octet-stream",
}


@pytest.mark.parametrize("path", sorted(CONTENT))
async def test_public_files_say_what_they_are_and_may_be_cached_for_a_minute(server: RunningServer, path: str) -> None:
    reply = await server.send("GET", path)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == CONTENT[path]
    assert reply.headers["Cache-Control"] == "public, max-age=60"
    assert reply.body == (server.context.settings.public / path[1:]).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/exports/vn/../../../settings.toml",
        "/exports/vn/..%2f..%2f..%2fsettings.toml",
        "/exports/%2e%2e/%2e%2e/settings.toml",
        "/exports/vn/%2e%2e",
        "/config/..%2f..%2fsettings.toml",
        "/config/..%2f..%2fkeys%2ffeed%2fv1",
        "/config/vn.json%00.sig",
        "/exports/vn/.hidden",
        "/exports/vn/.1-2-3.zip.0badcafe",
        "/exports/vn/secret.zip",
        "/exports/vn/",
        "/exports/vn",
        "/exports/vn/index.json/",
        "/advice/vn.txt",
        "/exports//etc/passwd",
    ],
)
async def test_nothing_but_public_files_is_served(server: RunningServer, path: str) -> None:
    folder = server.context.settings.public / "exports" / "vn"
    for name in (".hidden", ".1-2-3.zip.0badcafe", "secret.zip"):
        (folder / name).write_text("not for the public")
    # Past the client library, which would tidy the path up before sending it.
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b" 404 " in answer.splitlines()[0], answer
    assert b"not for the public" not in answer


def test_what_an_operator_may_set_is_a_field_of_the_configuration() -> None:
    assert set(OPEN_TO_OPERATORS) <= set(DeviceConfiguration.model_fields)
