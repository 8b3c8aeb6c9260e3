import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forewarn_protocol.errors import BadInput, BadMessage, Refused
from forewarn_protocol.publishing import PublishAnswer, PublishedKey, PublishRequest
from forewarn_protocol.verification import BatchIssueRequest, IssueRequest, VerifyRequest
from forewarn_protocol.wire import MAX_BODY_BYTES, WireModel, bytes_of

CODE = "91827364"
KEY = "AAECAwQFBgcICQoLDA0ODw=="


def verify_body(**fields: object) -> bytes:
    return json.dumps({"code": CODE, **fields}).encode()


def test_a_body_of_64_kb_is_read_and_one_byte_more_is_not_even_parsed() -> None:
    empty = verify_body(padding="")
    body = verify_body(padding="x" * (MAX_BODY_BYTES - len(empty)))
    assert len(body) == MAX_BODY_BYTES
    assert VerifyRequest.parse(body).code == CODE
    with pytest.raises(BadMessage, match="at most 65536"):
        VerifyRequest.parse(body + b" ")


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 60_000,
        b'{"code":' * 8_000,
        b'{"code":"1","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"code":"1","x":' + b'{"":' * 9_000 + b"1" + b"}" * 9_000 + b"}",
        b'{"code":' + b"9" * 60_000 + b"}",
        b'{"code":"1","x":1' + b"0" * 60_000 + b"}",
    ],
)
def test_nesting_bombs_and_endless_numbers_are_one_line(bomb: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        VerifyRequest.parse(bomb)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b'"x"', b"\xff\xfe", b'{"code":"\\ud800"}', b"{}"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        VerifyRequest.parse(body)


def test_unknown_fields_are_ignored() -> None:
    assert VerifyRequest.parse(verify_body(invented=[1, {"a": None}])).code == CODE


@pytest.mark.parametrize("value", [7, True, ["x"], {"x": 1}, 1.5])
def test_a_field_of_another_type_is_refused_and_not_converted(value: object) -> None:
    with pytest.raises(BadInput):
        VerifyRequest.parse(verify_body(padding=value))


@pytest.mark.parametrize(
    ("model", "required", "optional"),
    [
        (VerifyRequest, {"code": CODE}, ("accept", "nonce", "padding")),
        (IssueRequest, {"testType": "likely"}, ("symptomDate", "testDate", "uuid", "padding")),
        (
            PublishRequest,
            {"temporaryExposureKeys": [], "healthAuthorityID": "vn", "verificationPayload": "x", "hmackey": KEY},
            ("symptomOnsetInterval", "traveler", "revisionToken", "padding"),
        ),
        (
            PublishedKey,
            {"key": KEY, "rollingStartNumber": 1, "rollingPeriod": 2},
            ("transmissionRisk",),
        ),
        (PublishAnswer, {}, ("revisionToken", "insertedExposures", "error", "code", "warnings", "padding")),
    ],
)
def test_null_in_an_optional_field_counts_as_absent(
    model: type[WireModel], required: dict[str, object], optional: tuple[str, ...]
) -> None:
    absent = model.parse(json.dumps(required).encode())
    wire_names = {info.alias for info in model.model_fields.values() if not info.is_required()}
    assert wire_names == set(optional)
    assert model.parse(json.dumps(required | dict.fromkeys(optional)).encode()) == absent


def test_null_in_an_optional_field_of_an_inner_message_counts_as_absent() -> None:
    key = {"key": KEY, "rollingStartNumber": 1, "rollingPeriod": 2, "transmissionRisk": None}
    head = {"healthAuthorityID": "vn", "verificationPayload": "x", "hmacKey": KEY}
    request = PublishRequest.parse(json.dumps({**head, "temporaryExposureKeys": [key]}).encode())
    assert request.keys[0].transmission_risk == 0
    batch = BatchIssueRequest.parse(b'{"codes":[{"testType":"likely","padding":null,"uuid":null}],"padding":null}')
    assert (batch.padding, batch.requests[0].padding) == ("", "")


@pytest.mark.parametrize("field", ["code", "accept"])
def test_null_is_no_value_for_what_is_required_nor_inside_a_list(field: str) -> None:
    with pytest.raises(Refused):
        VerifyRequest.parse(verify_body(**{field: None if field == "code" else [None]}))


def test_no_error_and_no_repr_repeats_what_was_sent() -> None:
    secret = "S3cretS3cretS3cret"
    with pytest.raises(BadInput) as caught:
        VerifyRequest.parse(verify_body(nonce=secret))
    error: BaseException | None = caught.value
    while error is not None:
        assert secret not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    # Positive control: the body does hold it.
    assert secret.encode() in verify_body(nonce=secret)
    assert CODE not in repr(VerifyRequest.parse(verify_body()))


def test_a_mistake_of_our_own_repeats_no_value_either() -> None:
    with pytest.raises(ValidationError) as caught:
        VerifyRequest(code=CODE * 9)
    assert CODE not in str(caught.value)


@pytest.mark.parametrize("text", ["", "AAA", "AAAA\n", " AAAA", "AA-_", "AB==", "A===", "AAAA=", "é", 7, None])
def test_only_one_text_stands_for_some_bytes(text: object) -> None:
    """'AB==' decodes to the same byte as 'AA==': as a second text for one key it would slip past the HMAC."""
    with pytest.raises(ValueError, match="base64"):
        bytes_of(text)


def test_base64_in_its_one_form_is_read() -> None:
    assert bytes_of("AA==") == b"\0"
    assert bytes_of("/+8=") == b"\xff\xef"


def test_a_message_is_padded_to_exactly_the_size_asked_for() -> None:
    for message in (VerifyRequest(code=CODE), VerifyRequest(code=CODE, nonce=bytes(32)), PublishAnswer()):
        body = message.encode_padded(4096, lambda count: "p" * count)
        assert len(body) == 4096
        assert len(json.loads(body)["padding"]) >= 1024
    assert VerifyRequest.parse(VerifyRequest(code=CODE).encode_padded(2000, lambda n: "p" * n)).code == CODE


def test_a_size_that_leaves_less_than_1_kb_of_padding_is_refused() -> None:
    with pytest.raises(BadMessage, match="padded"):
        VerifyRequest(code=CODE).encode_padded(1024, lambda count: "p" * count)
    with pytest.raises(BadMessage, match="padded"):
        VerifyRequest(code=CODE).encode_padded(MAX_BODY_BYTES + 1, lambda count: "p" * count)
    with pytest.raises(BadMessage, match="one byte"):
        VerifyRequest(code=CODE).encode_padded(4096, lambda count: "é" * count)


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_random_bytes_give_a_message_or_our_error(body: bytes) -> None:
    with suppress(BadInput):
        VerifyRequest.parse(body)
