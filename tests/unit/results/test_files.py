"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostcore.results.files import write_whole


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "first, which is longer")
    write_whole(path, "sécond\n")
    assert path.read_bytes() == "sécond\n".encode()


def test_half_of_a_surrogate_pair_is_escaped(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "half \ud800")
    assert (tmp_path / "a.txt").read_bytes() == b"half \\ud800"


def test_what_cannot_be_written_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "first")

    def full(descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        write_whole(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path], "no temporary file is left"
