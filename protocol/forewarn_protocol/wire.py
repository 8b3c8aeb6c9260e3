"""JSON as it crosses the network: limits checked before parsing, frozen models, base64, padding to a fixed size."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from forewarn_protocol.errors import BadInput, BadMessage, Refused

MAX_BODY_BYTES: Final = 64 * 1024
MIN_PADDING_CHARACTERS: Final = 1024
# Lists, objects and the commas between their parts; an index of 5,000 files has half as many. In memory the two bytes
# of a number or of an empty object become a hundred or several.
MAX_PARTS: Final = 50_000
_MAX_SENTENCE_CHARACTERS: Final = 160
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

AnyModel = TypeVar("AnyModel", bound=BaseModel)
Item = TypeVar("Item")
Items = Annotated[tuple[Item, ...], FailFast()]
"""A list that is read no further than its first wrong item: two bytes can make one, and a thousand its description."""


def base64_text(data: bytes) -> str:
    """Return the standard base64 of some bytes, with its padding."""
    return base64.b64encode(data).decode("ascii")


def bytes_of(text: object) -> bytes:
    """Read standard base64; each run of bytes has exactly one text.

    Raises:
        ValueError: it is anything else; the message repeats none of it.
    """
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        try:
            data = base64.b64decode(text)
        except (binascii.Error, ValueError):
            data = b""
        # The decoder skips foreign characters and bits that no byte needs: two texts for one key would be two keys for
        # the HMAC, so only the text that the bytes themselves make is taken.
        if data and base64_text(data) == text:
            return data
    raise ValueError("should be base64 text")


def _base64_of(least: int, most: int) -> Callable[[object], bytes]:
    def check(value: object) -> bytes:
        data = bytes_of(value)
        if not least <= len(data) <= most:
            raise ValueError(f"should be the base64 of {least if least == most else f'{least} to {most}'} bytes")
        return data

    return check


_AS_TEXT: Final = (
    PlainSerializer(base64_text, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
)
Base64 = Annotated[bytes, PlainValidator(_base64_of(1, MAX_BODY_BYTES)), *_AS_TEXT]
"""Bytes that stand as base64 text in JSON."""
Base64Of32 = Annotated[bytes, PlainValidator(_base64_of(32, 32)), *_AS_TEXT]
"""32 bytes (a nonce, an HMAC) that stand as base64 text in JSON."""
Base64HmacKey = Annotated[bytes, PlainValidator(_base64_of(16, 256)), *_AS_TEXT]
"""An HMAC's key of at least 128 bits that stands as base64 text in JSON."""


def date_or_none(value: object) -> date | None:
    """Read an ISO date; None, and the "" that some clients send, mean that it is not known."""
    if value is None or value == "":
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        return date.fromisoformat(value)
    raise ValueError("should be a date like 2021-05-31")


OptionalDate = Annotated[
    date | None,
    PlainValidator(date_or_none),
    PlainSerializer(lambda day: day and day.isoformat(), when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"const": ""}, {"type": "null"}]}),
]
"""A date that may be unknown; ISO 8601 in JSON."""
Padding = Annotated[str, Field(repr=False, max_length=MAX_BODY_BYTES)]
"""Text without meaning that brings a message to the size all messages have."""


@dataclass(frozen=True, slots=True)
class _NullIsAbsent:
    default: Any

    def __call__(self, value: Any) -> Any:
        return self.default if value is None else value


def _let_null_be_absent(schema: Any) -> None:
    # A validator that runs before the model would turn JSON into Python first, and strict types would then refuse a
    # list where a tuple belongs; so each field that has a default is told by itself what null means.
    while "fields" not in schema:
        if "schema" not in schema:
            return
        schema = schema["schema"]
    for field in schema["fields"].values():
        optional = field["schema"]
        if optional["type"] != "default" or "default" not in optional or optional["schema"]["type"] == "nullable":
            continue
        inner, means = optional["schema"], _NullIsAbsent(optional["default"])
        if inner.get("function", {}).get("function") != means:  # a model inside another passes here once more
            nullable = core_schema.nullable_schema(inner)
            optional["schema"] = core_schema.no_info_after_validator_function(means, nullable)


class WireModel(BaseModel):
    """A message: frozen, camelCase on the wire, unknown fields ignored, null the same as absent, no value in an error.

    `codes` names the API's error code for a field that is wrong; any other fault is a malformed message.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )
    codes: ClassVar[dict[str, str]] = {}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let null in an optional field count as absent, as clients in many languages write it."""
        schema = handler(source)
        _let_null_be_absent(schema)
        return schema

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a message of the API.

        Raises:
            BadMessage: larger than 64 kB, no JSON, or not this message.
            Refused: a field that has an error code of its own is wrong.
        """
        return parse_json(cls, body, error=BadMessage, codes=cls.codes)

    def encode(self) -> bytes:
        """Return the message as JSON, without the fields that are absent."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    def encode_padded(self, total_bytes: int, fill: Callable[[int], str]) -> bytes:
        """Return the message as JSON of exactly `total_bytes`; `fill(n)` gives n characters of plain ASCII padding.

        Raises:
            BadMessage: the message itself leaves less than 1 kB of the size for padding, or has no `padding`.
        """
        bare = self.model_copy(update={"padding": ""}).encode()
        room = total_bytes - len(bare)
        if "padding" not in type(self).model_fields or room < MIN_PADDING_CHARACTERS or total_bytes > MAX_BODY_BYTES:
            raise BadMessage(f"a message of {len(bare)} bytes cannot be padded to {total_bytes}")
        padded = self.model_copy(update={"padding": fill(room)}).encode()
        if len(padded) != total_bytes:
            raise BadMessage("padding must be characters that JSON writes as one byte each")
        return padded


def parse_json(
    model: type[AnyModel],
    body: bytes,
    *,
    error: type[BadInput],
    limit_bytes: int = MAX_BODY_BYTES,
    limit_parts: int = MAX_PARTS,
    codes: dict[str, str] | None = None,
) -> AnyModel:
    """Read one JSON object; its size and the number of its parts are looked at first.

    No error repeats what it holds.

    Raises:
        BadInput: the class `error` says which.
        Refused: a field named in `codes` (field on the wire → the API's error code) is there and wrong.
    """
    if len(body) > limit_bytes:
        raise error(f"a message has {len(body)} bytes: at most {limit_bytes} are read")
    if sum(map(body.count, (b"[", b"{", b","))) > limit_parts:
        raise error(f"a message holds over {limit_parts} parts")
    try:
        return model.model_validate_json(body)
    except ValidationError as found:
        fault = found.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    sentence = f"{where or 'message'}: {fault['msg'].removeprefix('Value error, ')}"[:_MAX_SENTENCE_CHARACTERS]
    # Raised outside the handler, so that the error carries no context that holds the input.
    code = next((codes[str(part)] for part in fault["loc"] if str(part) in codes), None) if codes else None
    if code and fault["type"] != "missing":
        raise Refused(sentence, code)
    raise error(sentence)
