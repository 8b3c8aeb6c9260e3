"""No secret lies in the tree: what looks like one is a known test value, by its exact hash."""

import base64
import hashlib
import subprocess
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.supply.pins import ROOT
from tests.supply.secrecy import Finding, findings

KNOWN_VALUES = ROOT / "tests" / "supply" / "known_values.txt"


def known_values() -> set[str]:
    lines = (line.split("#")[0].strip() for line in KNOWN_VALUES.read_text().splitlines())
    return {line for line in lines if line}


def in_the_tree() -> Iterator[Finding]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - git
    for name in listed.decode().split("\0"):
        # The list of hashes is the one file whose random texts are meant.
        if name and (path := ROOT / name).is_file() and path != KNOWN_VALUES:
            yield from findings(name, path.read_bytes())


def test_nothing_in_the_tree_looks_secret_but_known_test_values() -> None:
    """A test value that is meant to be public belongs into known_values.txt by the hash that stands here."""
    known = known_values()
    assert [finding for finding in in_the_tree() if finding.digest not in known] == []


def test_every_known_value_still_stands_in_the_tree() -> None:
    assert known_values() - {finding.digest for finding in in_the_tree()} == set()


def planted_secrets() -> Iterator[tuple[str, bytes]]:
    """Yield secrets made for this run: none stands in this file."""
    key = generate_private_key(SECP256R1())
    forms = {"PKCS8": PrivateFormat.PKCS8, "SEC1": PrivateFormat.TraditionalOpenSSL}
    for name, form in forms.items():
        yield f"{name} in PEM", key.private_bytes(Encoding.PEM, form, NoEncryption())
        der = key.private_bytes(Encoding.DER, form, NoEncryption())
        yield f"{name} in DER", der
        yield f"{name} in base64", base64.b64encode(der)
    yield "OpenSSH", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    random = hashlib.sha256(b"planted").digest()
    yield "hexadecimal", b"key = " + random.hex().encode()
    yield "url-safe", b"API_KEY=" + base64.urlsafe_b64encode(random)
    yield "forge", b"gh" + b"p_" + b"a" * 36
    yield "cloud", b"AK" + b"IA" + b"ABCDEFGHIJKLMNOP"
    yield "chat", b"xo" + b"xb-" + b"1234567890-abc"
    yield "signed", b"ey" + b"JhbGciOiJFUzI1NiJ9.ey" + b"JqdGkiOiIxMjM0In0." + b"x" * 43
    yield "address", b"postgresql+asyncpg://forewarn:" + b"hunter22@db/exposure"


def test_a_planted_secret_is_found_and_not_repeated() -> None:
    """Positive control for the search."""
    for name, secret in planted_secrets():
        found = list(findings("settings.toml", b"# first line\n" + secret + b"\n"))
        assert found, name
        assert found[0].path == "settings.toml"
        assert not {finding.digest for finding in found} & known_values(), name
        assert secret.decode("latin-1") not in repr(found), name


def test_ordinary_text_is_no_finding() -> None:
    text = b"""
    test_an_identifier_is_believed_for_twenty_minutes_after_its_first_sighting
    protocol/forewarn_protocol/exports/writing.py https://example.org/a/long/path/to/some/document.html
    00000000000000000000000000000000 abababababababababababababababab AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    """
    assert list(findings("README.md", text)) == []
