"""Heads given away: to a file that is never made worse, and to a program without a shell."""

import json
import os
import sys
from pathlib import Path

import pytest
from books import STAMP, append, open_writer, raw_connection, write_book

from hourbook.book.proof.witness import WITNESS_FILE_BYTES_MAX, load_witnesses
from hourbook.book.proof.witness_export import export_witness
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors


def write_more(home: Home, counter: int) -> None:
    """Write one more commit."""
    writer = open_writer(home)
    writer.commit([append(counter, incarnation=8)], STAMP)
    writer.close()


def test_file_follows_the_head(home: Home, tmp_path: Path) -> None:
    """It holds the newest head, which the book can be verified against; nothing else is left."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    file = directory / "head.json"
    write_book(home, [2])

    first = export_witness(home, str(file), ())
    write_more(home, 1)
    second = export_witness(home, str(file), ())

    assert (first.ok, second.ok) == (True, True)
    assert second.summary == f"gave commit 2 (seq 3) to {file}"
    assert [witness.commit.last_seq for witness in load_witnesses(file)] == [3]
    assert [path.name for path in directory.iterdir()] == ["head.json"]
    with BookReader(home) as reader:
        assert reader.verify(witnesses=load_witnesses(file)).ok


def test_head_that_did_not_move_is_not_written_again(home: Home, tmp_path: Path) -> None:
    """A disk elsewhere is not worn for nothing."""
    file = tmp_path / "head.json"
    write_book(home, [2])
    export_witness(home, str(file), ())
    before = file.stat()

    export_witness(home, str(file), ())

    assert file.stat().st_ino == before.st_ino


def test_witness_that_shows_a_cut_off_end_is_left_as_it_is(home: Home, tmp_path: Path) -> None:
    """The job that keeps witnesses does not destroy the one that matters."""
    file = tmp_path / "head.json"
    write_book(home, [2, 1])
    export_witness(home, str(file), ())
    kept = file.read_bytes()
    connection = raw_connection(home.book_db)
    connection.execute("DELETE FROM signed_commit WHERE commit_no = 2")
    connection.execute("DELETE FROM entry WHERE seq = 3")
    connection.close()

    result = export_witness(home, str(file), ())

    assert not result.ok
    assert "contradicts the book, and was left as it is: the end is cut off" in result.summary
    assert file.read_bytes() == kept


@pytest.mark.parametrize("content", ["", "notes of mine\n"])
def test_file_that_is_no_witness_is_left_as_it_is(home: Home, tmp_path: Path, content: str) -> None:
    """A wrong path in the configuration overwrites nothing."""
    file = tmp_path / "notes"
    file.write_text(content)
    write_book(home, [1])

    result = export_witness(home, str(file), ())

    assert not result.ok
    assert "was left as it is" in result.summary
    assert file.read_text() == content


def test_torn_witness_is_left_as_it_is(home: Home, tmp_path: Path) -> None:
    """Half a line proves nothing, and may be what is left of something that did."""
    file = tmp_path / "head.json"
    write_book(home, [2])
    export_witness(home, str(file), ())
    file.write_bytes(torn := file.read_bytes()[:100])
    write_more(home, 1)

    result = export_witness(home, str(file), ())

    assert not result.ok
    assert f"{file} was left as it is" in result.summary
    assert f"{file}:1" in result.summary
    assert file.read_bytes() == torn


def test_witness_of_another_book_is_left_as_it_is(home: Home, tmp_path: Path) -> None:
    """Two homes that are told of one file do not fight over it."""
    file = tmp_path / "head.json"
    other = Home(tmp_path / "other", tmp_path / "run")
    other.path.mkdir()
    write_book(other, [1])
    write_book(home, [2])
    export_witness(other, str(file), ())
    kept = file.read_bytes()

    result = export_witness(home, str(file), ())

    assert "saw another book" in result.summary
    assert file.read_bytes() == kept


def test_link_leads_to_the_file_that_is_written(home: Home, tmp_path: Path) -> None:
    """The link stays a link: what it points to is where the head was to be kept."""
    target, link = tmp_path / "share.json", tmp_path / "head.json"
    link.symlink_to(target)
    write_book(home, [2])

    result = export_witness(home, str(link), ())

    assert result.ok
    assert link.is_symlink()
    assert not target.is_symlink()
    assert len(load_witnesses(target)) == 1


def test_what_is_no_file_is_never_read(home: Home, tmp_path: Path) -> None:
    """A FIFO would make the job wait for ever, a directory cannot be replaced."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", WITNESS_FILE_BYTES_MAX + 1)
    write_book(home, [1])
    names = ("fifo", "huge", "")

    results = [export_witness(home, str(tmp_path / name), ()) for name in names]

    assert [result.ok for result in results] == [False, False, False]
    assert ["was left as it is" in result.summary for result in results] == [True, True, True]


def test_program_reads_the_head_from_stdin(home: Home, tmp_path: Path) -> None:
    """Its arguments are what they are: no shell sees them."""
    write_book(home, [2])
    target = tmp_path / "a; b $(c)"
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"

    results = [
        export_witness(home, "", (sys.executable, "-c", code, str(target))) for _ in range(2)
    ]

    assert [result.ok for result in results] == [True, True]
    assert [json.loads(line)["seq"] for line in target.read_text().splitlines()] == [2, 2]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("/nowhere/at/all",), "cannot run /nowhere/at/all: No such file or directory"),
        (
            (sys.executable, "-c", "import sys; sys.exit('no\\x00 route')"),
            f"{sys.executable} ended with 1: no\x00 route",
        ),
    ],
)
def test_program_that_fails_is_named(
    home: Home, tmp_path: Path, command: tuple[str, ...], problem: str
) -> None:
    """The result says what it said; the file beside it is written all the same."""
    file = tmp_path / "head.json"
    write_book(home, [1])

    result = export_witness(home, str(file), command)

    assert (result.ok, result.summary) == (False, problem)
    assert len(load_witnesses(file)) == 1


def test_directory_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    """A share that is not mounted is a failure of the job, in one line."""
    write_book(home, [1])

    result = export_witness(home, str(tmp_path / "away" / "head.json"), ())

    assert (result.ok, result.summary.split(":")[0]) == (
        False,
        f"cannot write {tmp_path}/away/head.json",
    )


def test_empty_book_has_nothing_to_give_away(home: Home, tmp_path: Path) -> None:
    """Neither has a home without a book."""
    with pytest.raises(errors.BookMissing):
        export_witness(home, str(tmp_path / "head.json"), ())
    open_writer(home).close()

    assert export_witness(home, str(tmp_path / "head.json"), ()).ok
    assert not (tmp_path / "head.json").exists()
