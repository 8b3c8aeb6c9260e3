"""Random bytes and mutated valid files into every parser of formats: only the family of errors comes out."""

import io
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn_protocol.advice import parse_advice
from forewarn_protocol.configuration import parse_configuration
from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.exports.export_pb2 import TemporaryExposureKeyExport
from forewarn_protocol.exports.index import Index, parse_index_text
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.publishing import parse_publish, validate
from tests.fuzz.message import MESSAGES
from tests.protocol.handmade_exports import MAGIC, Handmade, key, private_key, signature_info
from tests.protocol.test_advice import ADVICE
from tests.protocol.test_configuration import CONFIGURATION
from tests.protocol.test_export_index import ENTRY
from tests.protocol.test_export_index import body as index_body
from tests.protocol.test_publishing import NOW_S
from tests.protocol.test_publishing import body as publish_body
from tests.protocol.test_publishing import key as publish_key

PUBLIC_KEYS = [private_key(1).public_key()]
WHOLE = Handmade(
    keys=[key(bytes([n]) * 16, period=None if n % 2 else 144, onset=n) for n in range(6)],
    revised=[key(bytes(16), report_type=5)],
    infos=[signature_info(), signature_info("other")],
    signers=[private_key(1), private_key(2)],
)
BINARY = WHOLE.binary()
ZIP = WHOLE.zip().getvalue()


def read_through(export: ExportFile) -> tuple[int, int]:
    with suppress(ForewarnError):
        export.verify(PUBLIC_KEYS)
    for keys in (export.keys(), export.revised_keys()):
        with suppress(ForewarnError):
            for _ in keys:
                pass
    return export.key_count, export.revised_key_count


def read_zip(data: bytes) -> None:
    read_through(ExportFile.open_zip(io.BytesIO(data)))


def read_bare(data: bytes) -> None:
    read_through(ExportFile.open_bare(io.BytesIO(data)))


def read_publish(data: bytes) -> None:
    validate(parse_publish(data), NOW_S)


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "export.zip": (read_zip, ZIP),
    "export.bin": (read_bare, BINARY),
    "index.json": (Index.parse, index_body(ENTRY)),
    "index.txt": (lambda data: parse_index_text(data.decode(errors="replace")), b"a.zip\nb/c.zip\n"),
    "configuration": (parse_configuration, CONFIGURATION.encode()),
    "advice": (parse_advice, ADVICE.encode()),
    "publish": (read_publish, json.dumps(publish_body([publish_key(1), publish_key(2, 2_700_000)])).encode()),
} | {message.__name__: (message.parse, b'{"code":"12345678","testType":"likely","token":"t"}') for message in MESSAGES}

every_parser = pytest.mark.parametrize("name", PARSERS)
many = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Damage a valid file in a few places: bytes changed, cut out, put in, repeated."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(out)))
        length = draw(st.integers(0, 8))
        match draw(st.sampled_from(["change", "cut", "insert", "repeat", "end"])):
            case "change":
                out[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del out[at : at + length]
            case "insert":
                out[at:at] = draw(st.binary(max_size=8))
            case "repeat":
                out[at:at] = out[at : at + length] * draw(st.integers(1, 5))
            case _:
                del out[at:]
    return bytes(out)


@every_parser
@given(data=st.data())
@many
def test_random_bytes_give_our_error_or_a_value(name: str, data: st.DataObject) -> None:
    parse, _ = PARSERS[name]
    with suppress(ForewarnError):
        parse(data.draw(st.binary(max_size=300) | st.text(max_size=200).map(str.encode)))


@every_parser
@given(data=st.data())
@many
def test_a_damaged_file_gives_our_error_or_a_value(name: str, data: st.DataObject) -> None:
    parse, valid = PARSERS[name]
    with suppress(ForewarnError):
        parse(data.draw(mutated(valid)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", [name for name in PARSERS if not name.startswith(("export", "index.txt"))])
@given(data=st.data())
@many
def test_any_json_in_place_of_any_field_gives_our_error_or_a_value(name: str, data: st.DataObject) -> None:
    parse, valid = PARSERS[name]
    fields = json.loads(valid)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_values)
    with suppress(ForewarnError):
        parse(json.dumps(fields).encode())


def test_the_parsers_take_what_is_not_damaged() -> None:
    """Positive control: the mutations above start from files that are read."""
    for name in ("export.zip", "export.bin", "index.json", "index.txt", "configuration", "advice", "publish"):
        parse, valid = PARSERS[name]
        parse(valid)


@given(mutated(BINARY))
@settings(max_examples=300)
def test_our_framing_and_protobuf_count_the_same_keys(damaged: bytes) -> None:
    """Where both read a damaged file, they read the same: a second opinion on the framing that we walk by hand."""
    if not damaged.startswith(MAGIC):
        return
    try:
        message = TemporaryExposureKeyExport.FromString(damaged[len(MAGIC) :])
        ours = read_through(ExportFile.open_bare(io.BytesIO(damaged)))
    except (DecodeError, ForewarnError):
        return
    assert ours == (len(message.keys), len(message.revised_keys))
