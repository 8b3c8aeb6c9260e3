"""Which feed keys a device accepts: pinned ones, those that a pinned one vouched for, and never a revoked one."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from forewarn_client import feed_keys
from forewarn_client.device import Device
from forewarn_client.fetching import fetch
from forewarn_protocol.errors import NotVerified
from forewarn_protocol.exports.signing import public_key_hash
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import HonestServer, p256, public
from tests.client.meetings import phone

OLD, NEW, NEXT, STRANGE = (p256(number) for number in (21, 22, 23, 24))
Phone = Callable[..., AbstractAsyncContextManager[Device]]


@pytest.fixture
def a_phone(server: HonestServer, tmp_path: Path, clock: VirtualClock) -> Phone:
    """The same phone each time that it is opened: what it knows, it knows from its disk."""
    return partial(phone, server, tmp_path / "phone", clock, public_key=(public(OLD),))


def announced(*keys: Any) -> dict[str, Any]:
    return {"feed_keys": [public(key) for key in keys]}


def revoked(*keys: Any) -> dict[str, Any]:
    return {"revoked_feed_keys": [public_key_hash(public(key)) for key in keys]}


async def told(a_phone: Phone, server: HonestServer, signer: Any, **configuration: Any) -> None:
    """Let the phone fetch what a key signs."""
    server.feed_key = signer
    server.sequence += 1
    server.put_feeds(**configuration)
    async with a_phone() as device:
        assert (await fetch(device)).complete


async def is_refused(a_phone: Phone, server: HonestServer, signer: Any, **configuration: Any) -> str:
    server.feed_key = signer
    server.sequence += 1
    server.put_feeds(**configuration)
    async with a_phone() as device:
        with pytest.raises(NotVerified) as caught:
            await fetch(device)
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_a_key_that_a_pinned_one_announced_is_accepted_and_vouches_for_the_next(
    a_phone: Phone, server: HonestServer
) -> None:
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    await told(a_phone, server, NEW, **announced(NEW, NEXT))
    await told(a_phone, server, NEXT, **announced(NEXT))


async def test_a_key_that_nobody_announced_is_refused_with_one_line(a_phone: Phone, server: HonestServer) -> None:
    """Positive control for the test above: without the announcement the phone loses its server."""
    await told(a_phone, server, OLD)
    said = await is_refused(a_phone, server, NEW, **announced(OLD, NEW))
    assert "pinned feed key" in said
    assert "pin the authority's new key" in said
    async with a_phone(public_key=(public(OLD), public(NEW))) as device:
        assert (await fetch(device)).complete


async def test_only_the_configuration_vouches_and_only_the_newest(a_phone: Phone, server: HonestServer) -> None:
    await told(a_phone, server, OLD, **announced(OLD, STRANGE))
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    await is_refused(a_phone, server, STRANGE)


async def test_a_revoked_key_is_refused_even_if_it_is_pinned(a_phone: Phone, server: HonestServer) -> None:
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    # Positive control: before the revocation the pinned key is as good as the new one.
    await told(a_phone, server, NEW, **announced(NEW))
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    await told(a_phone, server, NEW, **announced(NEW), **revoked(OLD))
    await is_refused(a_phone, server, OLD, **announced(OLD))
    # Nor does it come back when the authority forgets to say it again.
    await told(a_phone, server, NEW, **announced(NEW))
    await is_refused(a_phone, server, OLD, **announced(OLD))
    await told(a_phone, server, NEW, **announced(NEW))


async def test_an_announced_key_can_be_revoked_before_it_ever_signed(a_phone: Phone, server: HonestServer) -> None:
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    await told(a_phone, server, OLD, **announced(OLD, NEXT), **revoked(NEW))
    await is_refused(a_phone, server, NEW)
    await told(a_phone, server, NEXT)


async def test_a_key_does_not_revoke_itself(a_phone: Phone, server: HonestServer) -> None:
    await told(a_phone, server, OLD, **announced(OLD), **revoked(OLD))
    await told(a_phone, server, OLD)


async def test_whoever_pins_another_key_lets_go_of_all_that_the_old_one_said(
    a_phone: Phone, server: HonestServer
) -> None:
    """A thief of the old key may have been first: it revoked the new one, and left a sequence that nobody reaches."""
    await told(a_phone, server, OLD, **announced(OLD, NEW))
    server.sequence = 2**52
    await told(a_phone, server, OLD, **announced(OLD, STRANGE), **revoked(NEW))
    server.sequence = 10
    await is_refused(a_phone, server, NEW)
    repinned = partial(a_phone, public_key=(public(NEW),))
    await told(repinned, server, NEW)
    await is_refused(repinned, server, STRANGE)
    await is_refused(repinned, server, OLD)


async def test_with_every_pinned_key_revoked_the_sentence_says_what_to_do(a_phone: Phone, server: HonestServer) -> None:
    both = partial(a_phone, public_key=(public(OLD), public(STRANGE)))
    await told(both, server, OLD, **announced(OLD, NEW))
    await told(both, server, NEW, **announced(NEW), **revoked(OLD, STRANGE))
    await told(both, server, NEW, **announced(NEW), **revoked(OLD, STRANGE))
    async with both() as device:

        def forget_vouched(connection: Any) -> None:
            connection.execute("DELETE FROM feed_keys WHERE public_key IS NOT NULL")

        await device.database.write(forget_vouched)
        with pytest.raises(NotVerified, match=r"revoked every feed key.*--public-key"):
            await device.database.read(feed_keys.accepted, device.settings.public_key)


async def test_a_configuration_that_is_refused_teaches_nothing(a_phone: Phone, server: HonestServer) -> None:
    server.sequence = 7
    await told(a_phone, server, OLD, **announced(OLD))
    server.sequence = 5
    said = await is_refused(a_phone, server, OLD, **announced(OLD, STRANGE))
    assert "went back" in said
    server.sequence = 20
    await is_refused(a_phone, server, STRANGE)
