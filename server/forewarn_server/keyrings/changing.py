"""Changes the authority's keys while the server runs, writes the audit, and tells devices at once."""

import asyncio
from dataclasses import dataclass
from typing import Any

from forewarn_server.accounts.api_keys import COMMAND_LINE
from forewarn_server.advice.issuing import issue_advice
from forewarn_server.audit import record
from forewarn_server.configuration.issuing import issue_configuration
from forewarn_server.context import Context
from forewarn_server.exports.sealing import seal
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.keyrings.policies import POLICIES, Use
from forewarn_server.keyrings.schedule import Generation, State


@dataclass(frozen=True, slots=True)
class ListedKey:
    """One key as the operator sees it; times are Unix seconds, `until_s` is None while no end is set."""

    use: Use
    name: str
    state: State
    active_s: int
    until_s: int | None
    public_key: str

    def as_json(self) -> dict[str, Any]:
        """Return the form for programs."""
        return {
            "use": self.use.value,
            "name": self.name,
            "state": self.state.value,
            "active_s": self.active_s,
            "until_s": self.until_s,
            "public_key": self.public_key or None,
        }


def listed_keys(keys: KeyRings, now_s: int) -> list[ListedKey]:
    """Return every key that the schedules name, oldest first in each use."""
    return [
        ListedKey(
            use=use,
            name=each.name,
            state=schedule.state(each, now_s),
            active_s=each.active_s,
            until_s=each.revoked_s if each.revoked_s is not None else schedule.until_s(each),
            public_key=each.public_key,
        )
        for use, policy in POLICIES.items()
        for schedule in (keys.folder.schedule(policy),)
        for each in schedule.generations
    ]


async def rotate_key(context: Context, use: Use) -> Generation:
    """Make the next key of a use, and tell devices of it where they must know.

    Raises:
        Refused: the next one is announced already.
    """
    policy = POLICIES[use]
    lead_s = policy.lead_s(context.settings)
    async with context.registry.writing() as connection:
        made = await asyncio.to_thread(context.keys.folder.rotate, policy, context.now_s(), lead_s)
        await record(connection, context.now_s(), COMMAND_LINE.name, "rotate key", f"{use} {made.name}")
    if policy.told:
        await issue_configuration(context)
    return made


async def revoke_key(context: Context, use: Use, name: str) -> Generation:
    """Revoke and destroy a key, and return the one that is active now; what devices hold of it is replaced at once.

    Raises:
        Refused: there is no such key, or it is revoked already.
    """
    policy = POLICIES[use]
    async with context.registry.writing() as connection:
        active = await asyncio.to_thread(context.keys.folder.revoke, policy, name, context.now_s())
        await record(connection, context.now_s(), COMMAND_LINE.name, "revoke key", f"{use} {name}")
    if policy.told:
        await issue_configuration(context)
        # The files and feeds that the revoked key signed, too: devices refuse them from now on.
        await seal(context)
        await issue_advice(context)
    return active
