"""Backups and what becomes of them: whole, private, never over anything, and restorable."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from books import STAMP, append, open_writer, raw_connection, write_book

from hourbook.book.copies.backup import back_up
from hourbook.book.copies.book_file import verify_file
from hourbook.book.copies.restore import RestoreReport, restore_book
from hourbook.book.copies.rewind import RULES
from hourbook.book.journal import Stamp
from hourbook.book.moment import parse_moment
from hourbook.book.proof.keys import SiteKey
from hourbook.book.reader import BookReader
from hourbook.home import Home, prepare_home
from protocols import errors

SECOND_NS = 1_000_000_000


@pytest.fixture
def written(home: Home) -> Home:
    """Return a home whose book has commits that end at 10, 30 and 60."""
    write_book(home, [10, 20, 30])
    return home


def names_in(path: Path) -> set[str]:
    """Return what a directory holds."""
    return {found.name for found in path.iterdir()}


def append_to(home: Home, counter: int = 9000) -> int:
    """Write one more entry; return the seq with which the book ends."""
    writer = open_writer(home)
    writer.commit([append(counter)], STAMP)
    writer.close()
    with BookReader(home) as reader:
        assert reader.verify(all_signatures=True).ok
        return reader.head_seq()


def test_backup_is_private_and_complete(written: Home, tmp_path: Path) -> None:
    """A file of its own, 0600, with the public key beside it, and without the signing key."""
    target = tmp_path / "copy.db"
    before = names_in(tmp_path)

    report = back_up(written, target)

    assert names_in(tmp_path) - before == {"copy.db", "copy.db.pub"}
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in tmp_path.glob("copy.db*")} == {"0o600"}
    assert (report.seq, report.commit, report.verified, report.has_key) == (60, 3, True, False)
    assert verify_file(target, bytes.fromhex(report.key or "")) == []
    assert names_in(tmp_path) - before == {"copy.db", "copy.db.pub"}


def test_backup_never_overwrites_unless_told(written: Home, tmp_path: Path) -> None:
    """Neither a file of its name nor one beside it; with `replace` only a file."""
    target = tmp_path / "copy.db"
    key = tmp_path / "copy.db.key"
    key.write_text("precious")
    with pytest.raises(errors.AlreadyPresent, match=r"copy\.db\.key"):
        back_up(written, target)
    assert key.read_text() == "precious"
    key.unlink()
    target.write_text("precious")
    with pytest.raises(errors.AlreadyPresent, match=r"copy\.db "):
        back_up(written, target)
    assert target.read_text() == "precious"

    assert back_up(written, target, replace=True, with_key=True).has_key
    assert not back_up(written, target, replace=True).has_key

    assert not key.exists()
    (tmp_path / "directory").mkdir()
    with pytest.raises(errors.BadRequest):
        back_up(written, tmp_path / "directory", replace=True)


def test_backup_that_does_not_verify_gets_no_name(written: Home, tmp_path: Path) -> None:
    """A book with a forged entry is not backed up as if it were whole; unverified it is."""
    connection = raw_connection(written.book_db)
    connection.execute("UPDATE entry SET entity = 'forged' WHERE seq = 17")
    connection.close()
    before = names_in(tmp_path)

    with pytest.raises(errors.BookCorrupt, match="bad seq 17"):
        back_up(written, tmp_path / "copy.db")

    assert names_in(tmp_path) == before
    assert not back_up(written, tmp_path / "copy.db", verify=False).verified


@pytest.mark.parametrize("has_key", [True, False])
def test_restored_book_verifies_and_goes_on_with_its_key(
    written: Home, other: Home, tmp_path: Path, *, has_key: bool
) -> None:
    """With the key in the backup it is appended to; without, once the key was brought."""
    back_up(written, tmp_path / "copy.db", with_key=has_key)

    report = restore_book(tmp_path / "copy.db", other)

    assert (report.seq, report.trusted, report.can_write) == (60, "backup", has_key)
    if not has_key:
        with pytest.raises(errors.HomeUnusable, match="Expected the key that signed the book"):
            open_writer(other)
        shutil.copy(written.keys_dir / "site.key", other.keys_dir / "site.key")
    assert append_to(other) == 61
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in other.path.glob("book.db")} == {"0o600"}


def test_key_is_brought_by_name_and_must_be_the_right_one(
    written: Home, other: Home, tmp_path: Path
) -> None:
    """`--key` takes the signing key from elsewhere, and another one is refused."""
    back_up(written, tmp_path / "copy.db")
    SiteKey.create(tmp_path / "strange")

    with pytest.raises(errors.HomeUnusable, match="got another"):
        restore_book(tmp_path / "copy.db", other, key_file=tmp_path / "strange" / "site.key")
    report = restore_book(tmp_path / "copy.db", other, key_file=written.keys_dir / "site.key")

    assert report.can_write
    assert append_to(other) == 61


@pytest.mark.parametrize(
    ("to", "seq", "dropped"), [("60", 60, 0), ("59", 30, 30), ("30", 30, 30), ("12", 10, 50)]
)
def test_restore_cuts_at_a_commit(
    written: Home, other: Home, tmp_path: Path, to: str, seq: int, dropped: int
) -> None:
    """A seq means the last commit that is not after it; what remains verifies and goes on."""
    back_up(written, tmp_path / "copy.db", with_key=True)

    report = restore_book(tmp_path / "copy.db", other, to=parse_moment(to, "to"))

    assert (report.seq, report.dropped) == (seq, dropped)
    assert append_to(other) == seq + 1


def test_restore_to_a_time_takes_the_last_commit_not_later(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Where the clock was set back meanwhile too."""
    writer = open_writer(home)
    for counter, second in enumerate((10, 20, 5, 30), start=1):
        writer.commit([append(counter)], Stamp(second * SECOND_NS, 1))
    writer.close()
    back_up(home, tmp_path / "copy.db")

    report = restore_book(
        tmp_path / "copy.db", other, to=parse_moment("1970-01-01T00:00:12Z", "to")
    )

    assert report.seq == 3


@pytest.mark.parametrize(
    ("to", "message"),
    [("5", "first one ends at seq 10"), ("61", "up to 60"), ("1990-01-01T00:00:00Z", "got none")],
)
def test_restore_refuses_a_place_that_is_not_there(
    written: Home, other: Home, tmp_path: Path, to: str, message: str
) -> None:
    """And leaves nothing behind, so that the next try succeeds."""
    back_up(written, tmp_path / "copy.db")

    with pytest.raises(errors.BadRequest, match=message):
        restore_book(tmp_path / "copy.db", other, to=parse_moment(to, "to"))

    assert restore_book(tmp_path / "copy.db", other).seq == 60


@pytest.mark.parametrize("name", ["book.db", "keys", "archive", "something"])
def test_restore_refuses_a_home_that_holds_something(
    written: Home, other: Home, tmp_path: Path, name: str
) -> None:
    """Naming it, and touching nothing."""
    back_up(written, tmp_path / "copy.db")
    other.path.mkdir()
    (other.path / name).write_text("precious")

    with pytest.raises(errors.AlreadyPresent, match="a book" if name == "book.db" else name):
        restore_book(tmp_path / "copy.db", other)

    assert (other.path / name).read_text() == "precious"


def test_restore_refuses_a_home_in_use(written: Home, other: Home, tmp_path: Path) -> None:
    """A supervisor holds the lock, and its pid is named."""
    import fcntl  # noqa: PLC0415 - only here

    back_up(written, tmp_path / "copy.db")
    prepare_home(other)
    with other.lock_file.open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(errors.AlreadyRunning, match="pid 4711"):
            restore_book(tmp_path / "copy.db", other)


def test_foreign_and_damaged_files_are_refused(written: Home, other: Home, tmp_path: Path) -> None:
    """One clear error each; and the home is as empty as before."""
    back_up(written, tmp_path / "copy.db")
    whole = (tmp_path / "copy.db").read_bytes()
    key = (tmp_path / "copy.db.pub").read_text()

    def attempt(name: str, content: bytes, public: str = "") -> type[Exception]:
        path = tmp_path / name
        path.write_bytes(content)
        if public:
            path.with_name(f"{name}.pub").write_text(public)
        with pytest.raises(errors.HourbookError) as caught:
            restore_book(path, other)
        return caught.type

    middle = len(whole) // 2
    torn = whole[:middle] + bytes(4096) + whole[middle + 4096 :]
    assert attempt("empty", b"") is errors.BadRequest
    assert attempt("garbage", os.urandom(100_000)) is errors.UnsupportedVersion
    assert attempt("truncated", whole[: middle // 4096 * 4096]) is errors.BookCorrupt
    assert attempt("torn", torn) is errors.BookCorrupt
    assert attempt("strange", whole, "00" * 32) is errors.BookCorrupt
    assert attempt("nonsense", whole, "no key") is errors.BookCorrupt
    with pytest.raises(errors.BadRequest, match="a directory"):
        restore_book(tmp_path, other)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(errors.BadRequest, match="a FIFO"):
        restore_book(tmp_path / "fifo", other)
    with pytest.raises(errors.BadRequest, match="no such file"):
        restore_book(tmp_path / "nothing", other)
    (tmp_path / "copy.db.pub").write_text(key)
    assert restore_book(tmp_path / "copy.db", other).seq == 60


def test_empty_book_and_one_without_a_public_key_are_restored(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Nothing to vouch for is no error; it is said who vouched."""
    open_writer(home).close()
    back_up(home, tmp_path / "copy.db")
    (tmp_path / "copy.db.pub").unlink()

    report = restore_book(tmp_path / "copy.db", other)

    assert isinstance(report, RestoreReport)
    assert (report.seq, report.hash, report.trusted) == (0, None, "itself")
    assert append_to(other) == 1


def test_every_table_has_a_rule_for_cutting(home: Home) -> None:
    """Whoever adds a table says what restoring an earlier state makes of it."""
    open_writer(home).close()
    connection = raw_connection(home.book_db)
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = {name for (name,) in connection.execute(query)}
    connection.close()

    assert tables == set(RULES)
