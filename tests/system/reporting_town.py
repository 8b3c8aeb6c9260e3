"""A town whose cases report to the real server, by a clock that the test moves: every public file, and the truth."""

import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select

from forewarn_protocol.exports.index import Index
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.intervals import INTERVAL_S, INTERVALS_PER_DAY, day_at
from forewarn_protocol.keys import DiagnosisKey
from forewarn_protocol.verification import TestType
from forewarn_server import certificates
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context, open_context
from forewarn_server.exports.sealing import exports_folder, seal
from forewarn_server.hours import HOUR_S
from forewarn_server.publish.examining import examine
from forewarn_server.publish.service import publish
from forewarn_server.store.exposure_tables import keys as keys_table
from tests.server.hand_clock import NOON, HandClock
from tests.server.reporting_phone import HMAC_KEY, b64, day_key, tekmac_of

_HOURS_OF_REPORTS = range(7, 22)
_MAX_OFFERED_DAYS = 13
_TYPES = {TestType.CONFIRMED: 80, TestType.LIKELY: 12, TestType.USER_REPORT: 8}


@dataclass(frozen=True)
class Truth:
    """Whose a real key is, the UTC day it was spoken on, when it came, and whether it was cut short."""

    person: int
    day: int
    received_s: int
    cut_short: bool


@dataclass(frozen=True)
class PublicFile:
    """What anybody can download, and when it first could be."""

    published_s: int
    start_s: int
    end_s: int
    keys: tuple[DiagnosisKey, ...]
    revised: tuple[DiagnosisKey, ...]


@dataclass
class Town:
    """The server under test, the people who report, and the files that came of it."""

    context: Context
    clock: HandClock
    draw: Random
    truth: dict[bytes, Truth] = field(default_factory=dict)
    files: list[PublicFile] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _later: dict[int, list[tuple[list[dict[str, Any]], str]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    @asynccontextmanager
    async def open(cls, data: Path, seed: int, **settings: Any) -> AsyncIterator["Town"]:
        clock = HandClock()
        async with open_context(ServerSettings.load(data, **settings), clock) as context:
            yield cls(context, clock, Random(seed))

    async def live(self, days: int, reports_per_day: int) -> "Town":
        """Let people report at random moments, seal at each full hour, and go on until nobody's keys wait."""
        start_s = NOON + 12 * HOUR_S
        moments = sorted(
            start_s + day * 24 * HOUR_S + self.draw.choice(_HOURS_OF_REPORTS) * HOUR_S + self.draw.randrange(HOUR_S)
            for day in range(days)
            for _ in range(reports_per_day)
        )
        for hour_s in range(start_s, start_s + (days + 4) * 24 * HOUR_S, HOUR_S):
            for person, moment_s in enumerate(moments):
                if hour_s <= moment_s < hour_s + HOUR_S:
                    self.clock.now_s = moment_s
                    await self.report(person)
            self.clock.now_s = hour_s + HOUR_S
            for keys, token in self._later.pop(hour_s, ()):
                becomes = self.draw.choice((TestType.CONFIRMED, TestType.NEGATIVE))
                await self.publish(keys, becomes, revisionToken=token)
            if await self._somebody_waits():
                await self.collect()
        return self

    async def publish(self, keys: list[dict[str, Any]], test_type: TestType, **fields: Any) -> str:
        """Publish keys under a certificate of the authority, and return the revision token."""
        onset = fields.pop("onset", None)
        certificate = certificates.mint(
            self.context.settings,
            self.context.keys.certificate.active,
            now_s=self.context.now_s(),
            jti=str(uuid4()),
            test_type=test_type,
            symptom_date=onset,
            tekmac=b64decode(tekmac_of(keys)),
        )
        body = {
            "temporaryExposureKeys": keys,
            "healthAuthorityID": "vn",
            "verificationPayload": certificate,
            "hmacKey": b64(HMAC_KEY),
            **fields,
        }
        answer = await publish(self.context, examine(self.context, json.dumps(body).encode()))
        assert answer.code is None
        return answer.revision_token

    async def collect(self) -> None:
        """Seal, and read what is new in the public folder."""
        await seal(self.context)
        folder = exports_folder(self.context.settings)
        for entry in Index.parse((folder / "index.json").read_bytes()).files:
            if entry.path in self._seen:
                continue
            self._seen.add(entry.path)
            with (folder / entry.path).open("rb") as opened:
                export = ExportFile.open_zip(opened)
                fresh, revised = tuple(export.keys()), tuple(export.revised_keys())
                header = export.header
            self.files.append(PublicFile(self.context.now_s(), header.start_s, header.end_s, fresh, revised))

    async def _somebody_waits(self) -> bool:
        # Most hours of a night: a seal would only sign the index anew.
        since = func.coalesce(keys_table.c.releasable_s, keys_table.c.revised_since_s)
        async with self.context.exposure.reading() as connection:
            return await connection.scalar(select(func.min(since))) is not None

    async def report(self, person: int) -> None:
        """Let one more person publish what this device's client would offer."""
        now_s = self.context.now_s()
        now, today = now_s // INTERVAL_S, day_at(now_s)
        midnight = now - now % INTERVALS_PER_DAY
        onset_back = self.draw.randrange(1, 10)
        first = min(onset_back + 2, _MAX_OFFERED_DAYS)
        keys = [day_key(midnight - INTERVALS_PER_DAY * back) for back in range(first, 0, -1)]
        keys.append(day_key(midnight, now - midnight + self.draw.randrange(2)))
        for sent in keys:
            day = sent["rollingStartNumber"] // INTERVALS_PER_DAY
            self.truth[b64decode(sent["key"])] = Truth(person, day, now_s, sent["rollingPeriod"] < INTERVALS_PER_DAY)
        (test_type,) = self.draw.choices(list(_TYPES), list(_TYPES.values()))
        token = await self.publish(keys, test_type, onset=today - timedelta(days=onset_back))
        if test_type is TestType.LIKELY:
            result_s = now_s - now_s % HOUR_S + self.draw.randrange(20, 60) * HOUR_S
            self._later[result_s].append((keys, token))
