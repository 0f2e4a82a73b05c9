"""The verdict beside a book: kept whole, read with suspicion, taken back."""

import pytest
from books import raw_connection, write_book

from hourbook.book import distrust
from hourbook.book.distrust import Distrust
from hourbook.book.upkeep import verify_book_now
from hourbook.home import Home


def test_verdict_stands_until_it_is_cleared(home: Home) -> None:
    """What was stored is loaded, the latest wins, and clearing twice is fine."""
    distrust.store(home, Distrust(7, "old"))
    distrust.store(home, Distrust(0, "\x00\N{GRINNING FACE}"))

    assert distrust.load(home) == Distrust(0, "\x00\N{GRINNING FACE}")
    assert [path.name for path in home.path.iterdir()] == [distrust.FILE_NAME]
    assert distrust.clear(home)
    assert not distrust.clear(home)
    assert distrust.load(home) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"\xff\xfe", b'{"first_bad_seq": "1", "problem": ""}', b"[" * 70_000],
)
def test_garbage_is_no_verdict(home: Home, content: bytes) -> None:
    """A file that somebody else wrote is not believed, and harms nobody."""
    distrust.path_of(home).write_bytes(content)

    assert distrust.load(home) is None


def test_verification_keeps_what_it_found_and_takes_it_back(home: Home) -> None:
    """Damage before the first entry has seq 0, and stands as any other; mended, it is gone."""
    write_book(home, [3])
    connection = raw_connection(home.book_db)
    connection.execute("UPDATE entry SET seq = 0, nonce = zeroblob(16) WHERE seq = 1")
    connection.execute("UPDATE entry SET seq = 1 WHERE seq = 0")
    damaged = verify_book_now(home)
    standing = distrust.load(home)
    connection.execute("DELETE FROM entry")
    connection.execute("DELETE FROM signed_commit")
    connection.close()

    mended = verify_book_now(home)

    assert (damaged.ok, damaged.first_bad_seq, damaged.is_clean) == (False, 1, False)
    assert standing == Distrust(1, damaged.problem)
    assert (mended.ok, mended.first_bad_seq, mended.is_clean) == (True, None, True)
    assert "trusted again" in mended.summary
    assert distrust.load(home) is None
