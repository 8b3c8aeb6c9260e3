"""A stopwatch on the network tells no report from chaff: thousands of both, interleaved over real HTTP.

Poisson arrivals at half of what the server can do, latencies measured where the phone is. The same test with the clock
grid off sees the difference plainly.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pytest
from aiohttp import ClientSession
from numpy.typing import NDArray

from forewarn_client.connection import Connection, connect
from forewarn_client.report_requests import PUBLISH_BYTES
from forewarn_protocol.publishing import PublishedKey, PublishRequest
from forewarn_protocol.verification import TestType, tekmac
from forewarn_protocol.wire import base64_text
from forewarn_server import certificates
from forewarn_server.config import ServerSettings
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.problems import ANSWER_BYTES
from forewarn_server.setting_up import initialise
from forewarn_shell.clock import SystemClock
from tests.server.server_process import server_process
from tests.server.test_metrics import free_port

EACH: Final = 5_000
"""Reports, and as many requests of chaff."""
KEYS: Final = 5
"""Days that a report publishes: two before the first symptoms, and until the test."""
RUNS: Final = 3
WARMING_UP: Final = 300
AT_ONCE: Final = 12
GRID_MS: Final = 50

Latencies = NDArray[np.float64]


class Reporters:
    """Makes requests as phones do: each report with its own valid certificate, chaff with a worthless one."""

    def __init__(self, data: Path) -> None:
        self._settings = ServerSettings.load(data)
        rings = KeyRings(KeyFolder.of(self._settings), SystemClock())
        rings.load()
        self._key = rings.certificate.active
        self._random = np.random.default_rng(1)

    def request(self, *, chaff: bool) -> bytes:
        now_s = int(time.time())
        today = now_s // 86_400 * 144
        keys = tuple(
            PublishedKey(
                key=base64_text(secrets.token_bytes(16)), rolling_start_number=today - 144 * ago, rolling_period=144
            )
            for ago in range(KEYS, 0, -1)
        )
        hmac_key = secrets.token_bytes(32)
        certificate = certificates.mint(
            self._settings,
            self._key,
            now_s=now_s,
            jti=secrets.token_hex(16),
            test_type=TestType.CONFIRMED,
            symptom_date=None,
            tekmac=tekmac(keys, hmac_key),
        )
        request = PublishRequest(
            keys=keys,
            health_authority_id=self._settings.authority,
            # As the server's own chaff certificates: the right form, and a signature that does not verify.
            verification_payload=certificate[:-20] + secrets.token_urlsafe(15) if chaff else certificate,
            hmac_key=hmac_key,
        )
        return request.encode_padded(PUBLISH_BYTES, lambda room: secrets.token_urlsafe(room)[:room])

    def crowd(self, each: int) -> list[bool]:
        """Return so many reports and as much chaff, in random order; True is chaff."""
        kinds: list[bool] = self._random.permutation([False] * each + [True] * each).tolist()
        return kinds

    def gaps_s(self, count: int, per_s: float) -> list[float]:
        """Return the gaps of a Poisson process."""
        gaps: list[float] = self._random.exponential(1 / per_s, count).tolist()
        return gaps


@dataclass
class Stopwatch:
    """What an eavesdropper near the phone notes of each request: its kind is known only to the test."""

    connection: Connection
    latencies_s: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    answers: set[tuple[int, int]] = field(default_factory=set)

    async def send(self, body: bytes, *, chaff: bool) -> None:
        began_s = time.perf_counter()
        answer = await self.connection.post("/v1/publish", body, chaff=chaff)
        self.latencies_s[chaff].append(time.perf_counter() - began_s)
        self.answers.add((answer.status, len(answer.body)))


async def capacity_per_s(url: str, reporters: Reporters) -> float:
    """Return how many requests a second the server answers when some are always waiting."""
    waiting = [(reporters.request(chaff=chaff), chaff) for chaff in reporters.crowd(WARMING_UP)]
    count = len(waiting)
    async with connect(url, SystemClock()) as connection:
        watch = Stopwatch(connection)

        async def keep_sending() -> None:
            while waiting:
                body, chaff = waiting.pop()
                await watch.send(body, chaff=chaff)

        began_s = time.perf_counter()
        await asyncio.gather(*(keep_sending() for _ in range(AT_ONCE)))
        return count / (time.perf_counter() - began_s)


async def watched(url: str, reporters: Reporters, per_s: float) -> "Difference":
    """Send reports and chaff, interleaved, as they come to a server that has enough to do; return what shows."""
    kinds = reporters.crowd(EACH)
    async with connect(url, SystemClock()) as connection:
        watch = Stopwatch(connection)
        async with asyncio.TaskGroup() as phones:
            next_s = time.perf_counter()
            for chaff, gap_s in zip(kinds, reporters.gaps_s(len(kinds), per_s), strict=True):
                next_s += gap_s
                body = reporters.request(chaff=chaff)  # only now: on a slow machine a certificate would run out
                await asyncio.sleep(next_s - time.perf_counter())
                phones.create_task(watch.send(body, chaff=chaff))
    real, nothing = (np.array(watch.latencies_s[kind]) for kind in (False, True))
    assert len(real) == len(nothing) == EACH
    assert watch.answers == {(200, ANSWER_BYTES)}
    d, auc = kolmogorov_smirnov(real, nothing), area_under_curve(real, nothing)
    return Difference(d, auc, *np.quantile(real, (0.5, 0.99)))


@dataclass(frozen=True)
class Difference:
    """How far apart the latencies of reports and chaff lie; and those of reports, in seconds."""

    d: float
    auc: float
    median_s: float
    p99_s: float

    def __str__(self) -> str:
        return (
            f"D {self.d:.3f}, AUC {self.auc:.3f}, median {1000 * self.median_s:.1f} ms, p99 {1000 * self.p99_s:.1f} ms"
        )


def kolmogorov_smirnov(one: Latencies, other: Latencies) -> float:
    """Return D: the largest distance between the two empirical distributions."""
    at = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(sample), at, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def area_under_curve(one: Latencies, other: Latencies) -> float:
    """Return how well latency alone tells the two apart, whichever is the slower: 0.5 is a coin."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, one, side="left") + np.searchsorted(ordered, one, side="right")
    auc = float(below.mean()) / (2 * len(other))
    return max(auc, 1 - auc)


@contextmanager
def serving(data: Path, grid_ms: int) -> Iterator[tuple[str, str]]:
    """Run a real server; give its address and that of its metrics."""
    port = free_port()
    with server_process(data, "--port", "0", answer_grid_ms=grid_ms, metrics_port=port) as (_, ready):
        yield ready.split()[1], f"http://127.0.0.1:{port}/metrics"


async def late_answers(metrics: str) -> int:
    async with ClientSession() as session, session.get(metrics) as answer:
        found = re.search(r"^forewarn_late_answers_total (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))


@pytest.mark.slow
@pytest.mark.usefixtures("machine_for_itself")
async def test_no_stopwatch_tells_a_report_from_chaff_but_one_does_without_the_grid(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    initialise(tmp_path / "data", "vn")
    reporters = Reporters(tmp_path / "data")
    with serving(tmp_path / "data", 0) as (url, _):
        capacity = await capacity_per_s(url, reporters)
        without = await watched(url, reporters, capacity / 2)
    figure(f"answers to {EACH} reports and {EACH} of chaff at {capacity / 2:.0f}/s, no grid: {without}")
    with serving(tmp_path / "data", GRID_MS) as (url, metrics):
        found = [await watched(url, reporters, capacity / 2) for _ in range(RUNS)]
        late = await late_answers(metrics)
    for one in found:
        figure(f"the same on a grid of {GRID_MS} ms: {one}")
    figure(f"late answers: {late} of {2 * EACH * RUNS}")
    assert without.d > 0.3  # positive control: the difference is there to be seen
    assert median(one.d for one in found) < 0.04
    assert median(one.auc for one in found) <= 0.55


def test_two_samples_that_differ_are_found_to_differ() -> None:
    """Positive control of the two measures, against values worked out by hand."""
    one, other = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0])
    assert kolmogorov_smirnov(one, other) == 0.5
    assert area_under_curve(one, other) == area_under_curve(other, one) == 14 / 16
    assert kolmogorov_smirnov(one, one) == 0
    assert area_under_curve(one, one) == 0.5
    assert kolmogorov_smirnov(one, one + 10) == area_under_curve(one, one + 10) == 1
