"""Stores the keys of one examined request: idempotent by certificate, a verdict per key, all in one transaction."""

import hmac
import secrets
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import Refused
from forewarn_protocol.intervals import Interval
from forewarn_protocol.keys import ReportType, TemporaryExposureKey
from forewarn_protocol.publishing import (
    ALREADY_PUBLISHED,
    REMEMBERED_S,
    REPORT_TYPES,
    PublishAnswer,
    Verdict,
    days_since_onset,
    onset_counts,
    published_onset_days,
)
from forewarn_protocol.verification import TestType
from forewarn_server.context import Context
from forewarn_server.exports.planning import releasable_s
from forewarn_server.hours import HOUR_S, hour_of
from forewarn_server.publish.examining import Examined
from forewarn_server.publish.revision import UNKNOWN_TO_A_WITHDRAWAL, RevisionToken, check_revision
from forewarn_server.store.exposure_tables import keys, publishes

_GROUP_BYTES: Final = 16
# A certificate asked for in a token's last second still lives for a while; its jti must be known until then.
_REMEMBERED_S: Final = REMEMBERED_S + 2 * HOUR_S


async def publish(context: Context, examined: Examined) -> PublishAnswer:
    """Store what the request publishes, once.

    The first use of a certificate binds it to its keys and body. A request that is refused binds nothing and can be
    mended and sent again.

    Raises:
        Refused: with a code of PROTOCOL's table; nothing is stored.
    """
    claims, token, judged = examined.claims, examined.token, examined.judged
    async with context.exposure.writing() as connection:
        earlier = await repeated(connection, examined)
        if earlier is not None:
            if not examined.request.revision_token:
                ring = context.keys.revision
                token = RevisionToken.first(ring, claims.jti, claims.tekmac, made_by=earlier.revision_key)
            return PublishAnswer(revision_token=token.text, warnings=(ALREADY_PUBLISHED,))
        if isinstance(judged, Refused):
            raise judged
        changed, verdicts = await _store(context, connection, examined, judged)
        row = {
            "jti": claims.jti,
            "tekmac": claims.tekmac,
            "body_hash": examined.request.fingerprint(),
            "revision_key": context.keys.revision.active.name,
            "expires_s": hour_of(context.now_s()) + _REMEMBERED_S,
        }
        await connection.execute(insert(publishes).values(row))
    return _answer(token, changed, verdicts)


async def repeated(connection: AsyncConnection, examined: Examined) -> Row[Any] | None:
    """Return the publish that stored this very request before; None where it is new.

    Raises:
        Refused: its certificate was used with other keys or another body.
    """
    found = await connection.execute(select(publishes).where(publishes.c.jti == examined.claims.jti))
    earlier = found.one_or_none()
    if earlier is None:
        return None
    if not hmac.compare_digest(earlier.tekmac, examined.claims.tekmac):
        code = "health_authority_verification_certificate_invalid"
        raise Refused("the certificate has been used for other keys: enter a new code", code)
    if not hmac.compare_digest(earlier.body_hash, examined.request.fingerprint()):
        raise Refused("the certificate has been used with another request: repeat that one unchanged", "bad_request")
    return earlier


async def known_keys(connection: AsyncConnection, verdicts: Sequence[Verdict]) -> Sequence[Row[Any]]:
    """Return the rows of those keys that were published before."""
    teks = [verdict.tek.key for verdict in verdicts if verdict.tek is not None]
    return (await connection.execute(select(keys).where(keys.c.key.in_(teks)))).all()


async def _store(
    context: Context, connection: AsyncConnection, examined: Examined, verdicts: Sequence[Verdict]
) -> tuple[int, Sequence[Verdict]]:
    """Store the keys; return how many it changed, and what became of each in the end."""
    teks = {verdict.tek.key: verdict.tek for verdict in verdicts if verdict.tek is not None}
    risks = {verdict.tek.key: verdict.transmission_risk for verdict in verdicts if verdict.tek is not None}
    known = await known_keys(connection, verdicts)
    if known and not examined.request.revision_token:
        raise Refused("a key was published before: send its revision token to revise it", "missing_revision_token")
    # Random, and unknown to every other table: it only lets the seal count who is in the mix.
    group = secrets.token_bytes(_GROUP_BYTES)
    changed = 0
    for stored in known:
        revised = _revised_values(context, examined, stored, teks.pop(stored.key))
        changed += bool(revised)
        # What of this person waits already goes on waiting as a part of this report: one person is one in the mix.
        waits = stored.report_group is not None or "revised_since_s" in revised
        if values := ({"report_group": group} if waits else {}) | revised:
            await connection.execute(update(keys).where(keys.c.key == stored.key).values(values))
    if teks and examined.claims.report_type is TestType.NEGATIVE:
        if not known:
            raise Refused("a negative result can only revise published keys", "invalid_report_type_transition")
        return changed, [_withdrawn(verdict, teks) for verdict in verdicts]
    rows = [
        {**_new_values(context, examined, tek), "transmission_risk": risks[tek.key], "report_group": group}
        for tek in teks.values()
    ]
    if rows:
        # In one statement: each costs a change of threads, and the writers behind this one wait for all of them.
        await connection.execute(insert(keys), rows)
    return changed + len(teks), verdicts


def _new_values(context: Context, examined: Examined, tek: TemporaryExposureKey) -> dict[str, Any]:
    return {
        "key": tek.key,
        "rolling_start": tek.rolling_start,
        "rolling_period": tek.rolling_period,
        "report_type": REPORT_TYPES[examined.claims.report_type],
        "onset_days": _onset_days(context, examined, tek),
        "revision_tag": examined.token.tag(tek.key),
        "releasable_s": releasable_s(tek, context.now_s(), context.settings.embargo_h * HOUR_S),
    }


def _withdrawn(verdict: Verdict, unknown: Collection[bytes]) -> Verdict:
    # A key that was forgotten meanwhile warns nobody any more: it must not keep the others from being withdrawn.
    if verdict.tek is None or verdict.tek.key not in unknown:
        return verdict
    return Verdict(verdict.position, broken=UNKNOWN_TO_A_WITHDRAWAL)


def _revised_values(
    context: Context, examined: Examined, stored: Row[Any], tek: TemporaryExposureKey
) -> dict[str, Any]:
    """Return what changes of a stored key; nothing where it says so already."""
    if not check_revision(stored, tek, examined.token, examined.claims.report_type):
        return {}
    report_type = REPORT_TYPES[examined.claims.report_type]
    onset_days = _onset_days(context, examined, tek, stored.onset_days)
    values: dict[str, Any] = {"revised_report_type": report_type, "revised_onset_days": onset_days}
    if stored.batch_number is not None:
        # Published already: a later file says what it has become, once it has waited for a mix as it did then.
        return {**values, "revised_since_s": hour_of(context.now_s())}
    if report_type is ReportType.REVOKED:
        # Nobody has seen it yet, and now nobody will: it is released never.
        return {**values, "releasable_s": None, "report_group": None}
    return {**values, "report_type": report_type, "onset_days": onset_days}


def _onset_days(context: Context, examined: Examined, tek: TemporaryExposureKey, before: int | None = None) -> int:
    onset = None if examined.onset is None else Interval(examined.onset)
    # Without a date of its own a revision leaves the onset as it was: four days before *this* upload would declare the
    # first days of the report not infectious, and take back warnings that the new test has just confirmed.
    if before is not None and not onset_counts(tek, onset, context.now_s()):
        return before
    return published_onset_days(days_since_onset(tek, onset, context.now_s()))


def _answer(token: RevisionToken, changed: int, verdicts: Sequence[Verdict]) -> PublishAnswer:
    dropped: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.broken is not None:
            dropped.setdefault(verdict.broken.reason, []).append(str(verdict.position))
    if not dropped:
        return PublishAnswer(revision_token=token.text, inserted_exposures=changed)
    # One line a rule that names every key it dropped: thirty lines would make the answer longer than all others.
    warnings = tuple(f"keys {', '.join(places)}: {reason}" for reason, places in dropped.items())
    return PublishAnswer(
        revision_token=token.text,
        inserted_exposures=changed,
        error=f"{sum(map(len, dropped.values()))} of {len(verdicts)} keys were dropped: see warnings",
        code="partial_failure",
        warnings=warnings,
    )
