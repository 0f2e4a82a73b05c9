"""Archive files in backups and restored homes: along with the book, whole, and cut where it is."""

import shutil
from pathlib import Path

import pytest
from archived_books import COUNT, LATER, archive, details_of, files, make_book, nonce, redact
from books import append, open_writer, raw_connection

from hourbook.book.archive.frames import read_index
from hourbook.book.copies.backup import back_up
from hourbook.book.copies.restore import restore_book
from hourbook.book.moment import parse_moment
from hourbook.book.reader import BookReader
from hourbook.book.upkeep import backup_book
from hourbook.home import Home
from protocols import errors
from protocols.keep_messages import Retain


def spoil(path: Path) -> None:
    """Change a byte in the midst of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])


def test_archive_travels_with_the_book(home: Home, other: Home, tmp_path: Path) -> None:
    """The files that the copy names are beside it, no others, and in the restored home."""
    archive(make_book(home), home, [2, 3, 4])
    (home.archive_dir / "000000000001-000000000001-0123456789abcdef.zst").write_bytes(b"orphan")
    (named, *_) = (path for path in files(home) if path.stat().st_size > 6)

    report = back_up(home, tmp_path / "copy.db")
    restored = restore_book(tmp_path / "copy.db", other)

    assert (report.archive_files, report.archive_problems) == (1, [])
    assert (restored.archive_files, restored.archive_problems) == (1, [])
    assert [path.name for path in files(other)] == [named.name]
    with BookReader(other) as reader:
        assert [one.details for one in reader.page(1, 3)] == [details_of(n) for n in (2, 3, 4)]


@pytest.mark.parametrize("cut", [8, 15, 21])
def test_archive_is_cut_where_the_book_is(
    home: Home, other: Home, tmp_path: Path, cut: int
) -> None:
    """Before the archive was made, too: what stays reads as before, the rest is in no file."""
    archive(make_book(home), home, list(range(5, 16)))
    back_up(home, tmp_path / "copy.db", with_key=True)

    restore_book(tmp_path / "copy.db", other, to=parse_moment(str(cut), "to"))

    (file,) = files(other)
    held = [seq for span in read_index(file.read_bytes()) for seq in span.seqs]
    assert held == list(range(5, min(cut, 15) + 1))
    with BookReader(other) as reader:
        assert reader.verify(all_signatures=True).ok
        assert [one.details for one in reader.page(4, 4)] == [details_of(n) for n in range(5, 9)]


def test_restored_book_archives_on_under_numbers_that_were_used(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """A file that is older than its record takes no number that a later record will have."""
    archive(make_book(home), home, [5, 6, 7])
    back_up(home, tmp_path / "copy.db", with_key=True)
    restore_book(tmp_path / "copy.db", other, to=parse_moment(str(COUNT), "to"))

    writer = open_writer(other)
    archive(writer, other, [8, 9], counter=2)
    writer.write([redact(6)], LATER)
    writer.sweep_archive()
    writer.close()

    with BookReader(other) as reader:
        verdict = reader.verify()
        found = reader.page(4, 5)
    assert (verdict.ok, verdict.unexplained) == (True, 0), verdict.problem
    assert [one.seq for one in found if one.missing is None] == [5, 7, 8, 9]
    assert [one.details for one in found if one.seq != 6] == [details_of(n) for n in (5, 7, 8, 9)]


def test_details_whose_record_was_cut_off_are_counted(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """The details are gone for good, and the entry that said so is not there any more."""
    writer = make_book(home)
    archive(writer, home, [2, 3])
    writer.write([redact(3)], LATER)
    writer.write([redact(9, counter=901)], LATER)
    writer.close()
    back_up(home, tmp_path / "copy.db")
    restore_book(tmp_path / "copy.db", other, to=parse_moment("20", "to"))

    with BookReader(other) as reader:
        verdict = reader.verify()
        with pytest.raises(errors.Redacted, match="cut off by a restore"):
            _ = reader.page(8, 1)[0].details

    assert (verdict.ok, verdict.detached, verdict.unexplained) == (True, 3, 2)


@pytest.mark.parametrize("damage", ["spoiled", "missing", "another book's"])
def test_damaged_archive_is_named_before_it_is_restored(
    home: Home, other: Home, tmp_path: Path, damage: str
) -> None:
    """The first bad file by name; accepted, its details are lost, and nothing else is."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    archive(writer, home, [5, 6], counter=2)
    back_up(home, tmp_path / "copy.db")
    first, second = sorted((tmp_path / "copy.db.archive").iterdir())
    if damage == "spoiled":
        spoil(second)
    elif damage == "missing":
        second.unlink()
    else:
        shutil.copy(first, second)

    with pytest.raises(errors.ArchiveDamaged, match=second.name):
        restore_book(tmp_path / "copy.db", other)
    assert {path.name for path in other.path.iterdir()} <= {"lock"}
    report = restore_book(tmp_path / "copy.db", other, accept_damage=True)

    assert second.name in report.archive_problems[0]
    with BookReader(other) as reader:
        found = reader.page(0, 7)
        assert [one.seq for one in found if one.missing is not None] == [5, 6]
        assert reader.verify().finding == "archive"


def test_replaced_backup_keeps_no_file_of_the_one_before(home: Home, tmp_path: Path) -> None:
    """The files are those that it names, down to none at all."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    back_up(home, tmp_path / "copy.db")
    (before,) = (tmp_path / "copy.db.archive").iterdir()
    writer.write([redact(1)], LATER)
    writer.sweep_archive()

    assert back_up(home, tmp_path / "copy.db", replace=True).archive_problems == []

    (after,) = (tmp_path / "copy.db.archive").iterdir()
    assert after.name != before.name
    ranges = [(2, 2)]
    writer.write([Retain(writer="compactor", nonce=nonce(8), rule="drop", ranges=ranges)], LATER)
    back_up(home, tmp_path / "copy.db", replace=True)
    assert not (tmp_path / "copy.db.archive").exists()


def test_nightly_backup_of_a_damaged_archive_drops_no_older_one(home: Home) -> None:
    """The older copies may hold the whole file; once it is mended they go."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    home.backup_dir.mkdir()
    for name in ("book-20260101T000000Z.db", "book-20260102T000000Z.db"):
        back_up(home, home.backup_dir / name)
    left_over = home.backup_dir / ".book-20260103T000000Z.db.partial"
    left_over.write_bytes(b"half a copy")
    (home.backup_dir / "book-20251231T000000Z.db.key").write_text("of a copy that is gone")
    (file,) = files(home)
    whole = file.read_bytes()
    spoil(file)

    spoiled = backup_book(home, 1)
    file.write_bytes(whole)
    count = len(list(home.backup_dir.glob("book-*.db")))
    mended = backup_book(home, 1)

    assert (spoiled.ok, mended.ok) == (False, True)
    assert file.name in spoiled.summary
    assert count == 3
    names = sorted(path.name.removeprefix("book-")[16:] for path in home.backup_dir.iterdir())
    assert names == [".db", ".db.archive", ".db.pub"]


def test_restore_that_was_killed_leaves_the_keys_of_others_alone(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Only what a killed restore has put in place is cleared, no key that somebody brought."""
    make_book(home).close()
    back_up(home, tmp_path / "copy.db", with_key=True)
    staging = other.path / ".restoring"
    staging.mkdir(parents=True)
    (staging / "book.db").write_bytes(b"half a copy")
    other.keys_dir.mkdir()
    (other.keys_dir / "site.key").write_text("precious")

    with pytest.raises(errors.AlreadyPresent, match="keys"):
        restore_book(tmp_path / "copy.db", other)

    assert (other.keys_dir / "site.key").read_text() == "precious"
    (staging / "ready").touch()
    assert restore_book(tmp_path / "copy.db", other).can_write


def test_files_of_others_in_the_archive_are_left_alone(home: Home) -> None:
    """A sweep removes what is called as ours are, and nothing else."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    (named,) = files(home)
    ours = named.name.replace("-000000000002-", "-000000000009-")
    for name in (ours, f".new-{ours}", "README", "notes.zst", f"{ours}.bak"):
        (home.archive_dir / name).write_bytes(b"x")
    (home.archive_dir / "directory").mkdir()

    assert writer.sweep_archive(force=True)

    names = {path.name for path in home.archive_dir.iterdir()}
    assert names == {named.name, ".lock", "README", "notes.zst", f"{ours}.bak", "directory"}


def test_record_of_details_cannot_be_moved_to_other_entries(home: Home) -> None:
    """A place that was copied to an entry which still has its details harms nobody, and shows."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    writer.commit([append(500)], LATER)
    writer.close()
    vandal = raw_connection(home.book_db)
    vandal.execute("UPDATE detached SET seq = 5 WHERE seq = 1")
    vandal.close()

    with BookReader(home) as reader:
        assert reader.page(4, 1)[0].details == details_of(5)
        assert "seq 1 has no details, and no entry says why" in reader.verify().problem
