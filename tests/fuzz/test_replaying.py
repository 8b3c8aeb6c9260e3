"""The corpora without the fuzzer: seeds are read, and whatever once was found stays mended."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from forewarn_protocol.errors import ForewarnError
from forewarn_protocol.exports import reading
from forewarn_protocol.exports.framing import FIXED64, VARINT
from tests.fuzz import planted
from tests.fuzz.json_mutation import mutated_json
from tests.fuzz.message import MESSAGES
from tests.fuzz.targets import CORPUS, FOUND, PARSERS, load
from tests.protocol.handmade_exports import Handmade, number_field

CASES = sorted(path for parser in PARSERS for path in (CORPUS / parser).iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_case_of_the_corpus_gives_a_value_or_our_error(case: Path) -> None:
    load(case.parent.name).check(case.read_bytes())


@pytest.mark.parametrize("parser", PARSERS)
def test_every_seed_lies_in_the_corpus_and_is_small(parser: str) -> None:
    lying = {path.name for path in (CORPUS / parser).iterdir() if not path.name.startswith(FOUND)}
    target = load(parser)
    assert lying == target.seeds().keys()
    assert all(path.stat().st_size <= target.maximum_bytes for path in (CORPUS / parser).iterdir())


def test_every_message_of_the_corpus_is_read_by_a_model() -> None:
    """Positive control: the search starts from what is taken."""
    for name, data in load("message").seeds().items():
        read = 0
        for model in MESSAGES:
            with suppress(ForewarnError):
                read += bool(model.parse(data))
        assert read, name


def test_a_replay_notices_a_parser_that_lets_another_error_through() -> None:
    """Positive control: the planted fault, on the kind of file that the fuzzer saves."""
    with pytest.raises(IndexError):
        planted.TARGET.check(b"\x05\x16\x6f\xfd\x01\x02")


@pytest.mark.parametrize(("field", "wire_type"), [(reading._START, VARINT), (reading._BATCH_NUM, FIXED64)])
def test_the_comparison_with_protobuf_notices_a_field_that_we_read_differently(
    monkeypatch: pytest.MonkeyPatch, field: int, wire_type: int
) -> None:
    """Positive control for the differential check."""
    monkeypatch.setattr(reading, "_WIRE_TYPES", {**reading._WIRE_TYPES, field: wire_type})
    with pytest.raises(AssertionError):
        load("export").check(Handmade(batch=(3, 7)).binary())


def test_the_comparison_with_protobuf_notices_a_file_that_only_we_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a framing that knows numbers of one byte only."""
    monkeypatch.setattr("forewarn_protocol.exports.framing._MAX_VARINT_BYTES", 1)
    with pytest.raises(AssertionError):
        load("export").check(Handmade(tail=number_field(99, 1000)).binary())


def test_changed_json_mostly_stays_json_and_is_the_same_for_the_same_seed() -> None:
    (seed,) = {path for path in CASES if path.name == "four-days"}
    changed, once_more = (
        [mutated_json(seed.read_bytes(), 4096, number, lambda data, _: data[:-1]) for number in range(200)]
        for _ in range(2)
    )
    assert changed == once_more
    readable = 0
    for text in changed:
        try:
            readable += isinstance(json.loads(text), dict)
        except ValueError:
            continue
    assert readable > 100
    assert len(set(changed)) > 100
