from pathlib import Path

import pytest

from triton_operator.models.journal import VERIFIED, Journal
from triton_operator.models.remote import SourceFile

FILE = SourceFile("m/1/model.bin", 100, '"etag"')


def written(path: Path) -> Journal:
    journal = Journal(path, part_bytes=10)
    journal.begin()
    journal.add(FILE, 0)
    journal.add(FILE, 3)
    journal.add(FILE, VERIFIED)
    journal.close()
    return Journal(path, part_bytes=10)


def test_what_is_finished_is_known_to_the_next_process(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal")

    assert [part for part in range(-1, 10) if journal.has(FILE, part)] == [VERIFIED, 0, 3]
    assert journal.knows(FILE)


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(SourceFile(FILE.path, 101, FILE.tag), id="size"),
        pytest.param(SourceFile(FILE.path, 100, '"other"'), id="tag"),
        pytest.param(SourceFile("m/1/other.bin", 100, FILE.tag), id="path"),
    ],
)
def test_lines_of_another_file_do_not_count(tmp_path: Path, file: SourceFile) -> None:
    journal = written(tmp_path / "journal")

    assert not journal.has(file, 0)
    assert not journal.knows(file)


def test_a_line_that_was_cut_off_does_not_count_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    path.write_bytes(path.read_bytes()[:-4])

    journal = Journal(path, part_bytes=10)
    journal.begin()
    journal.add(FILE, 5)
    journal.close()

    after = Journal(path, part_bytes=10)
    assert [part for part in range(-1, 10) if after.has(FILE, part)] == [0, 3, 5]


@pytest.mark.parametrize("content", [b"", b"{", b'["", 10]\n["m/1/model.bin", 100, "\\"etag\\"", 0]\n', b"\xff\n"])
def test_a_journal_of_another_start_of_the_machine_does_not_count(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)

    assert not Journal(path, part_bytes=10).has(FILE, 0)


def test_a_journal_of_other_parts_does_not_count_and_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)

    journal = Journal(path, part_bytes=20)
    assert not journal.has(FILE, 0)
    journal.begin()
    journal.close()
    assert not Journal(path, part_bytes=10).has(FILE, 0)
