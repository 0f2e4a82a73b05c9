"""Signing keys: followed by others, checked by whoever verifies, missed when not there."""

import shutil
import signal
from pathlib import Path

import msgspec
import pytest
from books import STAMP, append, open_writer, raw_connection, write_book
from dying_rotation import CHANGE, STEPS, rotate_and_die

from hourbook.book import journal
from hourbook.book.changes import signing
from hourbook.book.proof.key_chain import KeyPeriod, key_periods, next_key
from hourbook.book.proof.keys import SiteKey, read_public
from hourbook.book.proof.verify import Verdict
from hourbook.book.reader import BookReader
from hourbook.book.rows import insert_group
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import errors
from protocols.entry import make_nonce
from protocols.key_messages import KeyRotated, RotateKey


def rotate(writer: BookWriter, counter: int = 1) -> KeyRotated:
    """Change the key of an open book."""
    change = RotateKey(writer="operator", nonce=make_nonce(9, counter << 17), why="yearly")
    outcome = writer.write([change], STAMP).outcomes[0]
    assert outcome.error is None
    return msgspec.msgpack.decode(outcome.body, type=KeyRotated)


def verify(home: Home, **options: bool | int) -> Verdict:
    """Verify the book of a home."""
    with BookReader(home) as reader:
        return reader.verify(**options)  # type: ignore[arg-type]


def test_new_key_signs_from_the_next_commit_on(home: Home) -> None:
    """The old key signs the entry that names the new one, and nothing after it."""
    writer = open_writer(home)
    writer.commit([append(1)], STAMP)

    answer = rotate(writer)
    writer.commit([append(2)], STAMP)

    periods = writer.query(key_periods)
    writer.close()
    assert answer.seq == 2
    assert periods == [
        KeyPeriod(answer.previous, 1, 1, 2),
        KeyPeriod(answer.key, 3, 3, None),
    ]
    assert read_public(home.keys_dir) == answer.key
    assert sorted(path.name for path in home.keys_dir.iterdir()) == ["site.key", "site.pub"]
    assert verify(home, all_signatures=True).ok


def test_key_that_has_signed_nothing_yet_is_the_current_one(home: Home) -> None:
    """Right after the change the book demands the new key, and says from which commit on."""
    writer = open_writer(home)
    answer = rotate(writer)

    periods, demanded = writer.query(key_periods), writer.query(next_key)
    writer.close()

    assert demanded == answer.key
    assert periods[-1] == KeyPeriod(answer.key, 2, 2, None)
    assert verify(home).ok
    open_writer(home).close()


def test_many_keys_are_found_among_many_commits(home: Home) -> None:
    """Every change is listed, wherever it lies; each part of the book verifies from any commit."""
    writer = open_writer(home)
    expected = [read_public(home.keys_dir)]
    starts = [1]
    for counter in range(1, 40):
        writer.commit([append(counter, 1)], STAMP)
        if counter in (1, 2, 17, 38):
            expected.append(rotate(writer, counter).key)
            starts.append(writer.head.commit_no + 1)

    periods = writer.query(key_periods)
    last = writer.head.commit_no
    writer.close()

    assert [(period.key, period.since_commit) for period in periods] == list(
        zip(expected, starts, strict=True)
    )
    for commit_no in range(1, last + 2):
        verdict = verify(home, from_commit=commit_no, all_signatures=True)
        assert verdict.ok, (commit_no, verdict.problem)


def test_keys_of_an_empty_book_are_none(home: Home) -> None:
    """Nothing was signed yet."""
    writer = open_writer(home)

    assert writer.query(key_periods) == []
    writer.close()


def test_two_changes_of_one_group_name_one_key(home: Home) -> None:
    """Both are answered with the key that signs afterwards."""
    writer = open_writer(home)
    changes = [RotateKey(writer=name, nonce=make_nonce(9, 1)) for name in ("one", "other")]

    written = writer.write(changes, STAMP)
    writer.commit([append(1)], STAMP)
    writer.close()

    keys = {msgspec.msgpack.decode(each.body, type=KeyRotated).key for each in written.outcomes}
    assert keys == {read_public(home.keys_dir)}
    assert verify(home, all_signatures=True).ok


@pytest.mark.parametrize("step", STEPS)
def test_change_of_keys_survives_a_kill_when(step: str, home: Home) -> None:
    """Either it has happened or not; sent again it is answered, and the book goes on."""
    write_book(home, [1])

    died = rotate_and_die(home, step)
    writer = open_writer(home)
    answer = writer.admission.outcome_of(CHANGE) or writer.write([CHANGE], STAMP).outcomes[0]
    writer.commit([append(2)], STAMP)
    periods = writer.query(key_periods)
    writer.close()

    assert died == -signal.SIGKILL
    rotated = msgspec.msgpack.decode(answer.body, type=KeyRotated)
    assert [period.key for period in periods] == [rotated.previous, rotated.key]
    assert read_public(home.keys_dir) == rotated.key
    assert not (home.keys_dir / "next.key").exists()
    assert verify(home, all_signatures=True).ok


def test_disk_that_refuses_the_new_key_refuses_the_change(home: Home) -> None:
    """The group around it is written, under the old key, and a later change works."""
    writer = open_writer(home)
    key = read_public(home.keys_dir)
    (home.keys_dir / "next.key").mkdir()

    written = writer.write([append(1), CHANGE], STAMP)

    assert isinstance(written.outcomes[0].error, errors.HomeUnusable)
    assert [row[0] for row in written.rows] == [1]
    assert read_public(home.keys_dir) == key
    (home.keys_dir / "next.key").rmdir()
    assert rotate(writer).previous == key
    writer.close()


@pytest.mark.parametrize("kept", ["none", "old", "strange"])
def test_book_without_its_key_is_read_and_not_written(kept: str, home: Home) -> None:
    """The error names the key that is missing; reading and verifying go on."""
    writer = open_writer(home)
    shutil.copytree(home.keys_dir, home.path / "old")
    rotate(writer)
    writer.commit([append(1)], STAMP)
    demanded = writer.query(next_key)
    writer.close()
    (home.keys_dir / "site.key").unlink()
    if kept == "old":
        shutil.copy(home.path / "old" / "site.key", home.keys_dir / "site.key")
    elif kept == "strange":
        SiteKey.create(home.path / "strange")
        shutil.copy(home.path / "strange" / "site.key", home.keys_dir / "site.key")

    got = "none" if kept == "none" else "another"
    with pytest.raises(errors.HomeUnusable, match=rf"{(demanded or b'').hex()[:16]}.*{got}"):
        open_writer(home)

    with BookReader(home) as reader:
        assert reader.count() == 2
        assert reader.verify(all_signatures=True).ok


def forge(home: Home, key: SiteKey, counter: int) -> None:
    """Append one entry to a book, signed by any key."""
    connection = raw_connection(home.book_db)
    writer = BookWriter(connection, home.book_db, None)  # type: ignore[arg-type]
    forged = journal.sequence(writer.head, [append(counter, writer="forger")], STAMP, bytes(16))
    commit, _ = journal.seal(writer.head, forged.rows, key.public, key.sign)
    insert_group(connection, forged.records, commit)
    connection.close()


@pytest.mark.parametrize("forger", ["old", "strange"])
def test_commit_of_another_key_than_the_named_one_is_found(forger: str, home: Home) -> None:
    """After a change neither the old key nor a stranger's can go on; the first bad seq says so."""
    writer = open_writer(home)
    writer.commit([append(1)], STAMP)
    old = SiteKey.load(home.keys_dir)
    rotate(writer)
    writer.close()
    strange = SiteKey.create(home.path / "strange")
    key = strange if forger == "strange" else old
    assert key is not None

    forge(home, key, 1)

    verdict = verify(home)
    assert (verdict.first_bad_seq, verdict.finding) == (3, "damaged")
    assert "another key than the key that was named for it" in verdict.problem
    assert verify(home, from_commit=3).first_bad_seq == 3


def test_key_that_nobody_named_is_found(home: Home) -> None:
    """A commit of another key, out of nowhere, is not believed."""
    write_book(home, [1, 1])

    forge(home, SiteKey.create(home.path / "strange"), 1)

    verdict = verify(home)
    assert verdict.first_bad_seq == 3
    assert "another key than the one before's key" in verdict.problem


def test_public_key_of_another_book_is_found(home: Home, tmp_path: Path) -> None:
    """A whole history that was rewritten under a key of one's own does not carry the site's."""
    write_book(home, [1, 2])
    shutil.copy(home.keys_dir / "site.pub", tmp_path / "site.pub")
    home.book_db.unlink()
    shutil.rmtree(home.keys_dir)
    write_book(home, [1, 2])
    shutil.copy(tmp_path / "site.pub", home.keys_dir / "site.pub")

    verdict = verify(home)

    assert verdict.first_bad_seq == 1
    assert verdict.problem == "nothing up to commit 2 is signed by this site's key"


class NamedKey:
    """A key whose public half somebody knows, who signs with another."""

    def __init__(self, public: bytes, own: SiteKey) -> None:
        self.public, self.sign = public, own.sign


@pytest.mark.parametrize("proof", ["of another key", "of another history", "none"])
def test_site_key_that_only_a_forger_names_is_found(
    proof: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book rewritten under another key is not the site's for ending with the name of its key."""
    write_book(home, [1])
    site = SiteKey.load(home.keys_dir)
    assert site is not None
    forged = Home(tmp_path / "forged", tmp_path / "forged")
    forged.path.mkdir()
    writer = open_writer(forged)
    writer.commit([append(1), append(2)], STAMP)
    named = site if proof == "of another history" else NamedKey(site.public, writer._keys.current)
    monkeypatch.setattr(writer._keys, "stage", lambda: named)
    monkeypatch.setattr(writer._keys, "settle", lambda _: None)
    if proof == "of another history":
        monkeypatch.setattr(signing, "head_id", lambda _: bytes(32))
    elif proof == "none":
        monkeypatch.setattr(named, "sign", lambda _: b"")
    rotate(writer)
    writer.close()
    for path in home.path.glob("book.db*"):
        path.unlink()
    shutil.copy(forged.book_db, home.book_db)

    verdict = verify(home)

    assert verdict.first_bad_seq == 1
    assert "that key does not vouch for what is before it" in verdict.problem
    with pytest.raises(errors.BookCorrupt, match="does not vouch"):
        open_writer(home)
