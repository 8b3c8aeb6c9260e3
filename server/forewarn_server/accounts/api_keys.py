"""API keys: made once, shown once, kept as a hash, each with one role."""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import insert, select

from forewarn_protocol.errors import BadInput
from forewarn_protocol.verification import refuse
from forewarn_server.audit import record
from forewarn_server.context import Context
from forewarn_server.store.registry_tables import api_keys

_KEY_BYTES: Final = 32
_MAX_NAME_CHARACTERS: Final = 100


class Role(StrEnum):
    """What a key is for."""

    ISSUER = "issuer"
    ADMIN = "admin"


class Act(StrEnum):
    """What staff do through the API."""

    ISSUE = "issue"
    LOOK_UP = "look up"
    EXPIRE = "expire"
    UPLOAD = "upload"


# Separation of duties: who looks after the system can stop a code, but cannot make one.
MAY: Final[dict[Role, frozenset[Act]]] = {
    Role.ISSUER: frozenset({Act.ISSUE, Act.LOOK_UP, Act.EXPIRE, Act.UPLOAD}),
    Role.ADMIN: frozenset({Act.LOOK_UP, Act.EXPIRE}),
}


@dataclass(frozen=True, slots=True)
class Staff:
    """Who acts: an API key, or the server's own command line (no id, no quota)."""

    name: str
    api_key_id: int | None = None


COMMAND_LINE: Final = Staff("command line")


async def add(context: Context, name: str, role: Role) -> tuple[int, str]:
    """Make an API key and return its id and, this once, the key itself.

    Raises:
        BadInput: the name is too long, or not printable.
    """
    if len(name) > _MAX_NAME_CHARACTERS or (name and not name.isprintable()):
        raise BadInput(f"a key's name has at most {_MAX_NAME_CHARACTERS} printable characters: choose another")
    key = secrets.token_urlsafe(_KEY_BYTES)
    async with context.registry.writing() as connection:
        row = {"name": name, "role": role.value, "key_hash": _hash(key), "created_s": context.now_s()}
        result = await connection.execute(insert(api_keys).values(row).returning(api_keys.c.id))
        key_id = result.scalar_one()
        await record(connection, context.now_s(), COMMAND_LINE.name, "add api key", f"{role.value}, id {key_id}")
    return key_id, key


async def authenticate(context: Context, key: str, act: Act) -> Staff:
    """Return who a key belongs to.

    Raises:
        Refused: unauthorized; the key is unknown, or its role may not do this.
    """
    async with context.registry.reading() as connection:
        found = await connection.execute(select(api_keys).where(api_keys.c.key_hash == _hash(key)))
        row = found.one_or_none()
    if row is None or act not in MAY[Role(row.role)]:
        raise refuse("unauthorized")
    return Staff(f"api key {row.id}", row.id)


def _hash(key: str) -> bytes:
    # 256 random bits cannot be tried out: a slow hash would add nothing but a way to keep the server busy.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
