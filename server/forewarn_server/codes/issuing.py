"""The authority's side of codes: issue, look up, expire."""

from collections.abc import Sequence
from datetime import date, timedelta
from email.utils import formatdate
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from forewarn_protocol.errors import BadMessage, Refused
from forewarn_protocol.intervals import day_at
from forewarn_protocol.verification import (
    LONG_CODE_S,
    SHORT_CODE_S,
    ErrorAnswer,
    ExpireAnswer,
    IssueAnswer,
    IssueRequest,
    StatusAnswer,
    refuse,
)
from forewarn_server.accounts.api_keys import Staff
from forewarn_server.audit import record
from forewarn_server.codes.values import Codes, long_hash, short_hash
from forewarn_server.context import Context
from forewarn_server.hours import DAY_S
from forewarn_server.store.exposure_tables import codes
from forewarn_server.store.registry_tables import issued


async def issue(context: Context, staff: Staff, request: IssueRequest) -> IssueAnswer:
    """Issue one code.

    Raises:
        Refused: uuid_already_exists, quota_exceeded.
        BadMessage: a date lies in the future or too far back.
    """
    (answer,) = await issue_many(context, staff, (request,))
    if isinstance(answer, Refused):
        raise answer
    return answer


async def issue_many(context: Context, staff: Staff, requests: Sequence[IssueRequest]) -> list[IssueAnswer | Refused]:
    """Issue codes, and return for each its answer or why it was refused; all of it is stored, or none.

    Raises:
        BadMessage: a date of any of them lies in the future or too far back; nothing was issued.
    """
    now_s = context.now_s()
    for request in requests:
        _check_dates(context, request, day_at(now_s))
    answers: list[IssueAnswer | Refused] = []
    # The registry outside, the codes inside: should the machine stop between the two commits, there is a code that
    # nobody was told, and never one that was told but is not there.
    async with context.registry.writing() as registry, context.exposure.writing() as exposure:
        left = await _quota_left(context, registry, staff, now_s)
        for request in requests:
            uuid = (request.uuid or str(uuid4())).lower()
            if await _is_known(registry, exposure, uuid):
                answers.append(refuse("uuid_already_exists"))
            elif left is not None and left <= 0:
                answers.append(refuse("quota_exceeded"))
            else:
                left = None if left is None else left - 1
                row = {"uuid": uuid, "api_key_id": staff.api_key_id, "day": now_s // DAY_S}
                await registry.execute(insert(issued).values(row))
                answers.append(await _store(context, exposure, uuid, request, now_s))
        if count := sum(isinstance(answer, IssueAnswer) for answer in answers):
            await record(registry, now_s, staff.name, "issue", f"{count} codes")
    return answers


async def look_up(context: Context, uuid: str) -> StatusAnswer:
    """Tell whether a code was claimed, and until when it can be.

    Raises:
        Refused: code_not_found.
    """
    async with context.exposure.reading() as connection:
        row = await _find(connection, uuid)
    return StatusAnswer(
        claimed=row.nonce_hash is not None,
        expires_at_timestamp=row.short_expires_s,
        long_expires_at_timestamp=row.long_expires_s,
    )


async def expire(context: Context, staff: Staff, uuid: str) -> ExpireAnswer:
    """Make a code worthless from now on; a code that has expired stays as it is.

    Raises:
        Refused: code_not_found; code_invalid where it was claimed already.
    """
    now_s = context.now_s()
    async with context.registry.writing() as registry, context.exposure.writing() as exposure:
        row = await _find(exposure, uuid)
        if row.nonce_hash is not None:
            raise refuse("code_invalid")
        ends = {
            "short_expires_s": min(row.short_expires_s, now_s),
            "long_expires_s": min(row.long_expires_s, now_s),
        }
        await exposure.execute(update(codes).where(codes.c.uuid == row.uuid).values(ends))
        await record(registry, now_s, staff.name, "expire", "1 codes")
    return ExpireAnswer(
        uuid=row.uuid,
        expires_at_timestamp=ends["short_expires_s"],
        long_expires_at_timestamp=ends["long_expires_s"],
    )


def error_answer(refusal: Refused) -> ErrorAnswer:
    """Return a refusal as it stands inside the answer to a batch."""
    return ErrorAnswer(error=refusal.message, error_code=refusal.code)


def _check_dates(context: Context, request: IssueRequest, today: date) -> None:
    # East of Greenwich the authority's today is already tomorrow in UTC.
    latest, earliest = today + timedelta(days=1), today - timedelta(days=context.settings.maximum_symptom_days)
    for name, day in (("symptomDate", request.symptom_date), ("testDate", request.test_date)):
        if day is not None and not earliest <= day <= latest:
            raise BadMessage(f"{name} must lie between {earliest} and {latest}: check the date")


async def _quota_left(context: Context, registry: AsyncConnection, staff: Staff, now_s: int) -> int | None:
    if staff.api_key_id is None:
        return None
    of_today = (issued.c.api_key_id == staff.api_key_id) & (issued.c.day == now_s // DAY_S)
    used = await registry.scalar(select(func.count()).select_from(issued).where(of_today))
    return context.settings.codes_per_key_and_day - (used or 0)


async def _is_known(registry: AsyncConnection, exposure: AsyncConnection, uuid: str) -> bool:
    was_issued = await registry.scalar(select(exists().where(issued.c.uuid == uuid)))
    return bool(was_issued or await exposure.scalar(select(exists().where(codes.c.uuid == uuid))))


async def _store(
    context: Context, exposure: AsyncConnection, uuid: str, request: IssueRequest, now_s: int
) -> IssueAnswer:
    drawn, hashes = await _draw_unused(context, exposure)
    long_expires_s = now_s + LONG_CODE_S
    has_short = not await context.guesses.are_too_many(exposure, now_s)
    short_expires_s = now_s + SHORT_CODE_S if has_short else long_expires_s
    row = {
        "uuid": uuid,
        "short_hash": hashes["short_hash"] if has_short else None,
        "long_hash": hashes["long_hash"],
        "short_expires_s": short_expires_s,
        "long_expires_s": long_expires_s,
        "test_type": request.test_type.value,
        "symptom_date": request.symptom_date and request.symptom_date.isoformat(),
        "test_date": request.test_date and request.test_date.isoformat(),
    }
    await exposure.execute(insert(codes).values(row))
    return IssueAnswer(
        uuid=uuid,
        code=drawn.short if has_short else drawn.long,
        expires_at=formatdate(short_expires_s, usegmt=True),
        expires_at_timestamp=short_expires_s,
        long_code=drawn.long,
        long_expires_at=formatdate(long_expires_s, usegmt=True),
        long_expires_at_timestamp=long_expires_s,
    )


async def _draw_unused(context: Context, exposure: AsyncConnection) -> tuple[Codes, dict[str, bytes]]:
    ring = context.keys.code_hash
    while True:
        drawn = Codes.draw()
        hashes = {"short_hash": short_hash(ring.active, drawn.short), "long_hash": long_hash(ring.active, drawn.long)}
        # A code of yesterday that still lives is hashed with yesterday's key.
        taken = or_(
            codes.c.short_hash.in_([short_hash(key, drawn.short) for key in ring.accepted]),
            codes.c.long_hash.in_([long_hash(key, drawn.long) for key in ring.accepted]),
        )
        if not await exposure.scalar(select(exists().where(taken))):
            return drawn, hashes


async def _find(connection: AsyncConnection, uuid: str) -> Row[Any]:
    row = (await connection.execute(select(codes).where(codes.c.uuid == uuid.lower()))).one_or_none()
    if row is None:
        raise refuse("code_not_found")
    return row
