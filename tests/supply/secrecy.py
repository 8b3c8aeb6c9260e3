"""Looks for secrets in files: private keys, tokens, passwords, and texts too random to be anything else."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

# What each looks like by itself, whatever stands around it. Each takes in what follows the telltale beginning, or the
# hash of one known value would let every other pass. The brackets keep this file from finding itself.
_SHAPES = {
    "private key": re.compile(rb"-----BEGI[N] [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,200}"),
    "private key in DER": re.compile(
        rb"(?:\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01|\x02\x01\x01\x04\x20)[\s\S]{0,64}"
    ),
    "private key in base64": re.compile(
        rb"(?:M[I]GHAgEAMBMGByqGSM49|M[H]cCAQEE|M[C]4CAQAwBQYDK2V|M[I]I[\w+/]{3}IBADANBg)[\w+/=]*"
    ),
    "token of a cloud": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}\b"),
    "token of a forge": re.compile(
        rb"\bgh[pousr]_\w{36,}|\bgithub_pat_\w{50,}|\bglpat-[\w-]{20,}|\bpypi-AgE[\w-]{30,}"
    ),
    "token of a chat": re.compile(rb"\bxox[abprs]-[\w-]{10,}"),
    "signed token": re.compile(rb"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "password in an address": re.compile(rb"\b[a-z][a-z0-9+]*://[^\s/:@\"'{}<>]+:[^\s/:@\"'{}<>]{3,}@[^\s/]*"),
}
_LONG_TEXT = re.compile(rb"[A-Za-z0-9+/_-]{32,}={0,2}")
_HEX = re.compile(r"[0-9a-fA-F]+")
# Bits a character: a random hexadecimal text of 32 has about 3.6, a random base64 text of 40 about 4.7, words less.
_RANDOM_HEX_BITS, _RANDOM_BASE64_BITS = 3.0, 4.2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks secret: which file and line, what it looks like, its hash. It is not repeated."""

    path: str
    line: int
    kind: str
    digest: str


def findings(path: str, data: bytes) -> Iterator[Finding]:
    """Yield what looks secret in a file's bytes."""
    for kind, shape in _SHAPES.items():
        for found in shape.finditer(data):
            yield _finding(path, data, kind, found)
    if b"\0" in data:
        return  # random bytes are no text
    for found in _LONG_TEXT.finditer(data):
        if _is_random(found[0].decode("ascii")):
            yield _finding(path, data, "random text", found)


def _finding(path: str, data: bytes, kind: str, found: re.Match[bytes]) -> Finding:
    return Finding(path, data.count(b"\n", 0, found.start()) + 1, kind, hashlib.sha256(found[0]).hexdigest())


def _is_random(text: str) -> bool:
    if _HEX.fullmatch(text):
        return _bits_a_character(text.lower()) >= _RANDOM_HEX_BITS
    # Names and paths have no digits among capitals and small letters.
    kinds = (any(map(str.isdigit, text)), any(map(str.isupper, text)), any(map(str.islower, text)))
    return all(kinds) and _bits_a_character(text) >= _RANDOM_BASE64_BITS


def _bits_a_character(text: str) -> float:
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
