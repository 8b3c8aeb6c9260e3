"""A second derivation of what Forewarn speaks, from the standards alone and with nothing but the standard library.

AES after FIPS 197, HKDF after RFC 5869, the rest after the rules K6 to K10, A1 and V10 of docs/protocol.md. It is slow
and shares no line with the product: `own.json` was made with it, and the tests compare both with the product.
"""

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Sequence
from typing import Any

Block = list[int]


def _times_two(byte: int) -> int:
    return (byte << 1 ^ (0x11B if byte & 0x80 else 0)) & 0xFF


def _product(one: int, other: int) -> int:
    result = 0
    while other:
        result ^= one if other & 1 else 0
        one, other = _times_two(one), other >> 1
    return result


def _substitute(byte: int) -> int:
    inverse = next((x for x in range(1, 256) if _product(byte, x) == 1), 0)
    rotated = [inverse << turn & 0xFF | inverse >> 8 - turn for turn in range(5)]
    return rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63


S_BOX = [_substitute(byte) for byte in range(256)]


def _round_keys(key: bytes) -> list[Block]:
    words = [list(key[at : at + 4]) for at in range(0, 16, 4)]
    constant = 1
    while len(words) < 44:
        word = words[-1]
        if len(words) % 4 == 0:
            word = [S_BOX[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _times_two(constant)
        words.append([a ^ b for a, b in zip(words[-4], word, strict=True)])
    return [[byte for word in words[at : at + 4] for byte in word] for at in range(0, 44, 4)]


def _mix(column: Sequence[int]) -> Block:
    return [
        _times_two(column[i]) ^ _times_two(column[(i + 1) % 4]) ^ column[(i + 1) % 4]
        ^ column[(i + 2) % 4] ^ column[(i + 3) % 4]
        for i in range(4)
    ]  # fmt: skip


def aes_128(key: bytes, block: bytes) -> bytes:
    """Encrypt one block."""
    first, *middle = _round_keys(key)
    state = [a ^ b for a, b in zip(block, first, strict=True)]
    for number, round_key in enumerate(middle, 1):
        state = [S_BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 10:
            state = [byte for at in range(0, 16, 4) for byte in _mix(state[at : at + 4])]
        state = [a ^ b for a, b in zip(state, round_key, strict=True)]
    return bytes(state)


def hkdf_sha256(key: bytes, info: bytes) -> bytes:
    """Derive 16 bytes without salt."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()[:16]


def spoken(tek: bytes, interval: int, metadata: bytes) -> dict[str, Any]:
    """Return what a device says in one interval."""
    rpi = aes_128(hkdf_sha256(tek, b"EN-RPIK"), b"EN-RPI" + bytes(6) + interval.to_bytes(4, "little"))
    stream = aes_128(hkdf_sha256(tek, b"EN-AEMK"), rpi)
    aem = bytes(a ^ b for a, b in zip(metadata, stream, strict=False))
    advertisement = bytes.fromhex("02011a03036ffd17166ffd") + rpi + aem
    return {"interval": interval, "rpi": rpi.hex(), "aem": aem.hex(), "advertisement": advertisement.hex()}


def vectors() -> dict[str, Any]:
    """Return everything that `own.json` holds."""
    keys = []
    for label, start, period, metadata in (
        ("whole day", 2954592, 144, "5ce80000"),
        ("cut short", 2954736, 57, "40080000"),
        ("starts in the afternoon", 2954793, 87, "54ec0000"),
    ):
        tek = hashlib.sha256(f"Forewarn test vector: {label}".encode()).digest()[:16]
        said = [spoken(tek, start + at, bytes.fromhex(metadata)) for at in (0, 1, period // 2, period - 1)]
        keys.append({
            "label": label, "tek": tek.hex(), "rolling_start": start, "rolling_period": period, "metadata": metadata,
            "rpik": hkdf_sha256(tek, b"EN-RPIK").hex(), "aemk": hkdf_sha256(tek, b"EN-AEMK").hex(), "spoken": said,
        })  # fmt: skip
    hmac_key = hashlib.sha256(b"Forewarn test vector: hmac key").digest()
    parts = sorted(
        f"{base64.b64encode(bytes.fromhex(key['tek'])).decode()}.{key['rolling_start']}.{key['rolling_period']}.{risk}"
        for risk, key in enumerate(keys)
    )
    mac = hmac.new(hmac_key, ",".join(parts).encode(), hashlib.sha256).digest()
    return {
        "keys": keys,
        "tekmac": {
            "hmac_key": base64.b64encode(hmac_key).decode(),
            "transmission_risks": list(range(len(keys))),
            "tekmac": base64.b64encode(mac).decode(),
        },
    }


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout, indent=1)
    sys.stdout.write("\n")
