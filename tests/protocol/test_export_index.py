import json

import pytest

from forewarn_protocol.errors import BadFeed
from forewarn_protocol.exports.index import MAX_INDEX_BYTES, Index, IndexEntry, parse_index_text
from forewarn_protocol.feeds import FeedHead

HEAD = FeedHead(3, 1_620_000_000, 1_620_086_400)
ENTRY: dict[str, object] = {"path": "1620000000-00001.zip", "sha256": "0f" * 32, "bytes": 20_000, "keys": 1000}


def body(*files: dict[str, object], **change: object) -> bytes:
    index = {"sequence": 3, "issued": HEAD.issued, "expires": HEAD.expires, "files": list(files), **change}
    return json.dumps(index).encode()


def test_an_index_is_written_and_read_back() -> None:
    entries = tuple(IndexEntry(path=f"{n}.zip", sha256="00" * 32, bytes=10, keys=n) for n in range(3))
    index = Index.of(HEAD, entries)
    assert Index.parse(index.encode()) == index
    assert index.head == HEAD
    assert json.loads(index.encode())["files"][2] == {"path": "2.zip", "sha256": "00" * 32, "bytes": 10, "keys": 2}


def test_index_txt_holds_one_path_a_line_oldest_first() -> None:
    index = Index.parse(body({**ENTRY, "path": "b.zip"}, {**ENTRY, "path": "folder/a.zip"}))
    assert index.text() == "b.zip\nfolder/a.zip\n"
    assert parse_index_text(index.text()) == ("b.zip", "folder/a.zip")
    assert parse_index_text("\n a.zip\r\n\n") == ("a.zip",)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/a.zip", "../a.zip", "a/../b.zip", "a/..", "..", ".", "./a.zip", "a//b.zip", "a/", ".hidden"),
        *("a\\b.zip", "C:a.zip", "http://x/a.zip", "a%2e%2e.zip", "a b.zip", "a?b", "a#b", "a\n", "a\0", "à.zip"),
        "a" * 201,
    ],
)
def test_a_path_that_leaves_the_folder_or_could_be_read_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(BadFeed):
        Index.parse(body({**ENTRY, "path": path}))
    if path.strip() and len(path) < 200 and path != "a\n":
        with pytest.raises(BadFeed):
            parse_index_text(path)


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0f" * 31},
        {"sha256": "0F" * 32},
        {"sha256": "zz" * 32},
        {"bytes": 0},
        {"bytes": 2**40},
        {"bytes": "7"},
        {"keys": -1},
        {"keys": 1.5},
    ],
)
def test_an_entry_with_an_impossible_number_or_hash_is_refused(change: dict[str, object]) -> None:
    assert Index.parse(body(ENTRY)).files[0].keys == 1000
    with pytest.raises(BadFeed):
        Index.parse(body({**ENTRY, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0},
        {"sequence": 2**60},
        {"issued": -1},
        {"expires": HEAD.issued},
        {"expires": HEAD.issued + 24 * 3600 + 1},
        {"files": {}},
        {"files": None},
    ],
)
def test_an_index_with_an_impossible_head_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadFeed):
        Index.parse(body(ENTRY, **change))


def test_an_index_names_no_file_twice() -> None:
    with pytest.raises(BadFeed, match="twice"):
        Index.parse(body(ENTRY, ENTRY))


def test_an_index_larger_than_we_read_is_refused() -> None:
    with pytest.raises(BadFeed, match="at most"):
        Index.parse(body(ENTRY) + b" " * MAX_INDEX_BYTES)
    with pytest.raises(BadFeed):
        Index.parse(body(*({**ENTRY, "path": f"{number}.zip"} for number in range(5001))))
    with pytest.raises(BadFeed):
        parse_index_text("a.zip\n" * 5001)
    with pytest.raises(BadFeed):
        parse_index_text(" " * (MAX_INDEX_BYTES + 1))
