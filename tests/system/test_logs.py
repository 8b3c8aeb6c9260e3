"""No log line at any level holds a TEK, an identifier, a code, a token or an address."""

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forewarn_client.alerts import active_alerts
from forewarn_client.reporting import Outcome, report
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.identifiers import crypt_metadata, identifiers
from forewarn_protocol.metadata import Confidence, Metadata
from forewarn_server.keyrings.policies import Use
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import World, seeded_timing
from tests.system.meetings import Meeting, Meetings
from tests.system.network import Network

START = datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
# What is secret in the JSON that goes between phone, authority and server.
SECRET_FIELDS = (
    "code",
    "longCode",
    "token",
    "certificate",
    "nonce",
    "ekeyhmac",
    "hmacKey",
    "revisionToken",
    "key",
    "verificationPayload",
)
JSON_FIELD = re.compile(rb'"(%s)"\s*:\s*"([^"]{6,})"' % "|".join(SECRET_FIELDS).encode())


def forms(secret: bytes) -> set[str]:
    """Return how bytes may be written down: hexadecimal, base64, Python's repr, as text."""
    written = {secret.hex(), secret.hex(":")}
    if len(secret) >= 8:  # fewer, such as the 4 of metadata, stand in any long text by chance in the other forms
        written |= {
            base64.b64encode(secret).decode().rstrip("="),
            base64.urlsafe_b64encode(secret).decode().rstrip("="),
            repr(secret)[2:-1],
            str(list(secret))[1:-1],
        }
        if secret.isascii():
            written.add(secret.decode())
    return {form.lower() for form in written}


def leaks(lines: list[str], secrets: dict[str, set[bytes]]) -> set[str]:
    """Return which kinds of secret stand in the lines."""
    text = "\n".join(lines).lower()
    return {kind for kind, values in secrets.items() for value in values for form in forms(value) if form in text}


class Lines(logging.Handler):
    """Keeps every log line as any formatter could print it, with arguments, exception and extra fields."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []
        self._formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [self._formatter.format(record), repr(record.args), repr(record.__dict__)]


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect what every logger says at every level, whatever level it has now."""
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


async def run_the_loop(folder: Path, secrets: dict[str, set[bytes]]) -> None:
    """Meet, get a code, mistype it, report, seal, fetch, alert; gather every secret that there was."""
    clock = VirtualClock(START)
    await clock.run_for(0)
    meetings = Meetings(clock, [Meeting("an", "binh", START + HOUR_S, START + 2 * HOUR_S)])
    metadata = Metadata(-20, Confidence.HIGH).encode()
    async with World.open(clock, meetings, folder) as world, Network.to(world.server.url) as network:
        for number, name in enumerate(("an", "binh")):
            world.add_phone(name, timing=seeded_timing(number), server=network.url, confidence=3, log_level="debug")
        addresses: set[bytes] = set()
        for _ in range(6):
            await clock.run_for(HOUR_S / 2)
            addresses |= {t.address for sent in world.air._sent.values() for t in sent}
        code = (await world.server.issue_code(test_date="2026-03-01")).code
        async with world.device("an") as device:
            for wrong in ("12345678", "1234-567"):
                with pytest.raises(ForewarnError):
                    await report(device, wrong, consent=lambda _: True)
            assert await report(device, code, consent=lambda _: True) is Outcome.SENT
        await clock.run_for(14 * HOUR_S)
        async with world.device("binh") as device:
            assert await active_alerts(device)
        for name in world.phones:
            async with world.device(name) as device:
                held = await device.database.read(device.keyring.held_within, datetime(2026, 3, 1, tzinfo=UTC).date())
            for key in held:
                secrets["TEK"].add(key.tek.key)
                for rpi in identifiers(key.tek.key, key.tek.rolling_start, key.tek.rolling_period):
                    secrets["RPI"].add(rpi)
                    secrets["AEM"].add(crypt_metadata(key.tek.key, rpi, metadata))
        secrets["address"] |= addresses
        secrets["code"].add(code.encode())
        for field, value in JSON_FIELD.findall(bytes(network.traffic)):
            secrets[field.decode()].add(value)
        secrets["API key"].add(world.server._api_key.encode())


async def test_no_log_line_holds_a_secret(tmp_path: Path) -> None:
    secrets: dict[str, set[bytes]] = {
        kind: set() for kind in ("TEK", "RPI", "AEM", "address", "API key", "stored key", *SECRET_FIELDS)
    }
    with everything_logged() as lines:
        await run_the_loop(tmp_path, secrets)
    secrets["stored key"] |= stored_keys(tmp_path)
    # Only the long code is never sent by a phone here: the short one was used.
    assert {kind for kind, values in secrets.items() if not values} == {"longCode"}
    assert len([line for line in lines if "forewarn_client" in line]) > 100
    assert not leaks(lines, secrets)
    assert not [line for line in lines if "127.0.0.1" in line]

    # Positive control: in the same lines, the same search finds each kind of secret in each form.
    for kind, values in secrets.items():
        planted = next(iter(values), b"planted secret")
        for form in forms(planted):
            assert leaks([*lines, f"spoke {form.upper()} now"], {kind: values | {planted}}) == {kind}


def stored_keys(folder: Path) -> set[bytes]:
    """Return the devices' keys, and each line of the server's as they are written down, with what base64 hides."""
    found = {path.read_bytes() for path in folder.rglob("*.key")}
    written = [line for path in folder.rglob("keys/*/v*") for line in path.read_bytes().splitlines()]
    lines = {line for line in written if b"PRIVATE KEY" not in line}
    assert len(lines) > len(Use)
    return found | lines | {base64.b64decode(line) for line in lines}
