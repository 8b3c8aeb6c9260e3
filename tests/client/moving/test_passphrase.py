import unicodedata
from pathlib import Path

import pytest

from forewarn_client.moving.passphrase import MAX_PASSPHRASE_BYTES, Passphrase, from_file
from forewarn_protocol.errors import BadInput

GOOD = "river lantern copper window seven"


@pytest.mark.parametrize("text", [GOOD, "con mèo ăn cá khô", "  River-lantern copper  WINDOW seven extra "])
def test_five_different_words_may_seal_a_file(text: str) -> None:
    assert Passphrase.typed(text).strong("en").words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "river lantern copper window",
        "river river river river river",
        "river lantern copper window Window",
        "a b c d e",
        "12 34 56 78 90",
        "riverlanterncopperwindowseven",
    ],
)
@pytest.mark.parametrize("language", ["vi", "en"])
def test_fewer_words_repeated_words_and_single_letters_may_not(text: str, language: str) -> None:
    with pytest.raises(BadInput) as raised:
        Passphrase.typed(text).strong(language)  # type: ignore[arg-type]
    assert not text or text not in raised.value.message


@pytest.mark.parametrize(
    "again",
    [
        unicodedata.normalize("NFD", "Con Mèo Ăn Cá Khô"),
        " con  mèo\tăn cá khô\n",
        "con-mèo-ăn-cá-khô",
    ],
)
def test_the_same_words_are_the_same_passphrase_however_they_were_typed(again: str) -> None:
    assert Passphrase.typed(again).encode() == Passphrase.typed("con mèo ăn cá khô").encode()
    assert Passphrase.typed(again).encode() != Passphrase.typed("con mèo ăn cá kho").encode()


def test_a_passphrase_is_in_no_repr() -> None:
    assert "river" not in repr(Passphrase.typed(GOOD))


def test_a_file_gives_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\nsecond line\n")
    assert from_file(path, "en") == Passphrase.typed(GOOD)
    path.write_bytes(b"")
    assert from_file(path, "en").words == ()


def test_a_file_that_is_no_text_or_too_large_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="is no text"):
        from_file(path, "en")
    path.write_bytes(b"a" * (MAX_PASSPHRASE_BYTES + 1))
    with pytest.raises(BadInput, match="larger than"):
        from_file(path, "en")
