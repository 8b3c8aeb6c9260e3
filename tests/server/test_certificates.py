import base64
import json
from datetime import date
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from forewarn_protocol.errors import NotVerified
from forewarn_protocol.verification import TestType
from forewarn_server import certificates
from forewarn_server.config import ServerSettings
from forewarn_server.keyrings.material import SigningKey
from tests.server.hand_clock import NOON

KEY = SigningKey("v1", generate_private_key(SECP256R1()))
TEKMAC = bytes(range(32))


def mint(settings: ServerSettings, key: SigningKey = KEY) -> str:
    return certificates.mint(
        settings,
        key,
        now_s=NOON,
        jti="1",
        test_type=TestType.LIKELY,
        symptom_date=date(2021, 5, 29),
        tekmac=TEKMAC,
    )


def with_claims(settings: ServerSettings, *without: str, key: Any = None, alg: str = "ES256", **changed: object) -> str:
    """Sign what `mint` would, with other claims."""
    claims = jwt.decode(mint(settings), options={"verify_signature": False})
    claims = {name: value for name, value in {**claims, **changed}.items() if name not in without}
    return jwt.encode(claims, key or KEY.private, algorithm=alg, headers={"kid": "v1"})


def test_what_is_minted_is_read(settings: ServerSettings) -> None:
    claims = certificates.read(settings, (KEY,), mint(settings), now_s=NOON)
    assert (claims.jti, claims.report_type, claims.tekmac) == ("1", TestType.LIKELY, TEKMAC)
    assert certificates.read(settings, (KEY,), with_claims(settings), now_s=NOON) == claims


@pytest.mark.parametrize(("now_s", "good"), [(NOON + 899, True), (NOON + 900, False), (NOON - 61, False)])
def test_a_certificate_counts_for_15_minutes_of_the_injected_clock(
    settings: ServerSettings, now_s: int, *, good: bool
) -> None:
    if good:
        assert certificates.read(settings, (KEY,), mint(settings), now_s=now_s)
    else:
        with pytest.raises(NotVerified):
            certificates.read(settings, (KEY,), mint(settings), now_s=now_s)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "la"},
        {"aud": "forewarn/la"},
        {"aud": []},
        {"exp": "soon"},
        {"exp": None},
        {"iat": NOON + 3_600},
        {"jti": ""},
        {"jti": 1},
        {"reportType": "perhaps"},
        {"tekmac": "x"},
        {"tekmac": base64.b64encode(bytes(31)).decode()},
        {"symptomOnsetInterval": -1},
    ],
)
def test_a_signed_certificate_with_a_wrong_claim_is_refused(
    settings: ServerSettings, changed: dict[str, object]
) -> None:
    with pytest.raises(NotVerified):
        certificates.read(settings, (KEY,), with_claims(settings, **changed), now_s=NOON)


@pytest.mark.parametrize("claim", ["iss", "aud", "iat", "exp", "jti", "reportType", "tekmac"])
def test_a_certificate_without_a_needed_claim_is_refused(settings: ServerSettings, claim: str) -> None:
    with pytest.raises(NotVerified):
        certificates.read(settings, (KEY,), with_claims(settings, claim), now_s=NOON)


def test_another_key_another_kid_and_other_algorithms_are_refused(settings: ServerSettings) -> None:
    header, payload, _ = mint(settings).split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "v1"}).encode()).decode().rstrip("=")
    forged = [
        mint(settings, SigningKey("v1", generate_private_key(SECP256R1()))),
        mint(settings, SigningKey("v2", KEY.private)),
        with_claims(settings, key="s" * 32, alg="HS256"),
        f"{unsigned}.{payload}.",
        f"{header}.{payload}.",
    ]
    for certificate in forged:
        with pytest.raises(NotVerified):
            certificates.read(settings, (KEY,), certificate, now_s=NOON)


def test_a_flipped_bit_is_refused(settings: ServerSettings) -> None:
    header, payload, signature = mint(settings).split(".")
    other = ("A" if payload[10] != "A" else "B") + payload[11:]
    with pytest.raises(NotVerified):
        certificates.read(settings, (KEY,), f"{header}.{payload[:10]}{other}.{signature}", now_s=NOON)


SETTINGS = ServerSettings.model_construct(region="vn", health_authority_id="")


@given(text=st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){0,4}", fullmatch=True))
def test_random_text_is_no_certificate(text: str) -> None:
    with pytest.raises(NotVerified):
        certificates.read(SETTINGS, (KEY,), text, now_s=NOON)


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku"]), st.none() | st.text() | st.integers()
    )
)
def test_random_headers_are_no_certificate(header: dict[str, object]) -> None:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    payload = mint(SETTINGS).split(".")[1]
    with pytest.raises(NotVerified):
        certificates.read(SETTINGS, (KEY,), f"{encoded}.{payload}.AAAA", now_s=NOON)


def test_a_huge_certificate_is_not_parsed() -> None:
    with pytest.raises(NotVerified):
        certificates.read(SETTINGS, KEY, "A" * 60_000, now_s=NOON)
