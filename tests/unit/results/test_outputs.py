"""All outputs of a result are written, whatever becomes of one of them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ghostcore.results import outputs
from ghostcore.results.outputs import OUTPUTS, Output, save_record
from ghostcore.results.record import Record
from tests.support.results import make_result, troubled_result


class Note:
    """Writes the verdict, or fails with an error."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.file_name = f"{name}.txt"
        self._error = error

    def write(self, record: Record, directory: Path) -> Path:
        if self._error is not None:
            raise self._error
        path = directory / self.file_name
        path.write_text(record.verdict)
        return path


def full(name: str) -> Note:
    return Note(name, OSError(errno.ENOSPC, "No space left on device"))


def test_names_and_files_are_distinct() -> None:
    assert len({one.name for one in OUTPUTS}) == len(OUTPUTS)
    assert len({one.file_name for one in OUTPUTS}) == len(OUTPUTS)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
@pytest.mark.parametrize("record", [make_result([]), troubled_result()], ids=["empty", "troubled"])
def test_each_output_writes_its_file_and_no_other(
    output: Output, record: Record, tmp_path: Path
) -> None:
    assert output.write(record, tmp_path) == tmp_path / output.file_name
    assert [path.name for path in tmp_path.iterdir()] == [output.file_name]


def test_what_is_registered_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "OUTPUTS", (*OUTPUTS, Note("note")))
    path = make_result([]).save(tmp_path)
    assert path == tmp_path / "result.json"
    assert path.exists()
    assert (tmp_path / "note.txt").read_text() == "pass"


def test_all_are_written_in_order_into_a_new_directory(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    saved = save_record(make_result([]), str(folder), [Note("a"), Note("b")])
    assert saved.paths == (folder / "a.txt", folder / "b.txt")
    assert saved.failures == ()
    saved.raise_failures()


def test_one_that_fails_does_not_keep_the_others_from_being_written(tmp_path: Path) -> None:
    saved = save_record(make_result([]), tmp_path, [Note("a"), full("b"), Note("c")])
    assert saved.paths == (tmp_path / "a.txt", tmp_path / "c.txt")
    assert [failure.output.name for failure in saved.failures] == ["b"]
    with pytest.raises(OSError, match="No space left") as caught:
        saved.raise_failures()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "b.txt"), "the system does not say which file"


def test_the_error_of_several_names_each(tmp_path: Path) -> None:
    saved = save_record(make_result([]), tmp_path, [full("a"), Note("b"), full("c")])
    with pytest.raises(OSError, match=r"a\.txt: .*No space left.*; c\.txt: .*No space left"):
        saved.raise_failures()


def test_a_fault_of_an_output_is_not_taken_for_one_of_the_disk(tmp_path: Path) -> None:
    broken = Note("broken", KeyError("p95"))
    saved = save_record(make_result([]), tmp_path, [full("a"), broken, Note("c")])
    assert saved.paths == (tmp_path / "c.txt",)
    with pytest.raises(KeyError, match="p95") as caught:
        saved.raise_failures()
    first, second = caught.value.__notes__
    assert first.startswith("not written: a.txt: ")
    assert second == "not written: broken.txt: 'p95'"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        save_record(make_result([]), tmp_path / "file" / "out", [Note("a")])
