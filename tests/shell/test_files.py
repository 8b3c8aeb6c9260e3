import os
from pathlib import Path

import pytest

from forewarn_protocol.errors import BadInput
from forewarn_shell.files import clear_left_overs, make_folder, read_bounded, temporary_beside, write_durably


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    write_durably(path, b"one")
    write_durably(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.toml"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "diary.key"
    write_durably(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["diary.key"]


def test_a_read_is_bounded_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10))
    assert read_bounded(path, 10) == bytes(10)
    with pytest.raises(BadInput, match="larger"):
        read_bounded(path, 9)
    with pytest.raises(BadInput, match="folder"):
        read_bounded(tmp_path, 9)
    with pytest.raises(BadInput, match="check the path"):
        read_bounded(tmp_path / "nothing", 9)


def test_what_a_killed_writer_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "exports" / "vn" / "index.json"
    write_durably(kept, b"whole")
    (tmp_path / "exports" / ".hidden").write_bytes(b"somebody's own")
    temporary_beside(kept).write_bytes(b"half")
    temporary_beside(tmp_path / "settings.toml").write_bytes(b"half")
    clear_left_overs(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"index.json", ".hidden"}
    clear_left_overs(tmp_path / "not there")


def test_a_folder_is_made_with_those_above_it_and_says_what_is_in_the_way(tmp_path: Path) -> None:
    make_folder(tmp_path / "one" / "two", mode=0o700)
    make_folder(tmp_path / "one" / "two")
    assert (tmp_path / "one" / "two").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "folder")
