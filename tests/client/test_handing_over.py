from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from forewarn_client.reporting import Outcome, hand_over
from forewarn_protocol.errors import NotVerified
from forewarn_protocol.sealed_uploads import SealedUpload, upload_key_to_base64
from forewarn_simulations.clocks import VirtualClock
from tests.client.honest_server import DAY_S, HonestServer
from tests.client.meetings import phone
from tests.client.moving.diaries import speak

CODE = "12345678"
OLD, NEW = (X25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2))


def tell(server: HonestServer, key: X25519PrivateKey) -> None:
    server.sequence += 1
    server.put_feeds(upload_key=upload_key_to_base64(key.public_key()))


async def test_keys_are_sealed_to_the_key_of_this_hour_and_never_by_an_expired_word(
    server: HonestServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.codes[CODE] = {}
    tell(server, OLD)
    files: list[bytes] = []
    async with phone(server, tmp_path / "phone", clock) as device:
        await speak(device, range(2, -1, -1))
        clock.jump(DAY_S)
        with pytest.raises(NotVerified, match="configuration has expired"):
            await hand_over(device, CODE, files.append, consent=lambda _: True)
        assert files == []
        tell(server, NEW)
        assert await hand_over(device, CODE, files.append, consent=lambda _: True) is Outcome.SEALED
    assert len(SealedUpload.open(files[0], [NEW], "vn").request("a certificate").keys) == 3
