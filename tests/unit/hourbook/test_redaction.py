"""Redaction: details and salt go for good, the chain stays, and the record says who and why."""

import pytest
from books import STAMP, append, open_writer, write_book

from hourbook.book.digest import DigestLimits, digest_of
from hourbook.book.reader import BookReader
from hourbook.book.writer import BookWriter
from hourbook.cli.book_text import entry_line
from hourbook.context_text import render_digest
from hourbook.home import Home
from protocols import entry, errors
from protocols.change import Change
from protocols.keep_messages import Redact, Redaction

SWORDFISH = "swordfish-0815"


def redact(seq: int, counter: int = 1 << 20, why: str = "held a password") -> Redact:
    """Return a redaction by the admin."""
    return Redact(writer="admin", nonce=entry.make_nonce(9, counter), seq=seq, why=why)


def do(writer: BookWriter, change: Change) -> object:
    """Do one change; return its answer, or raise its refusal."""
    outcome = writer.write([change], STAMP).outcomes[0]
    if outcome.error is not None:
        raise outcome.error
    return outcome.body


def book_with_secret(home: Home) -> BookWriter:
    """Open a book whose second entry holds a secret."""
    writer = open_writer(home)
    writer.commit([append(1), append(2, details={"note": SWORDFISH * 400}), append(3)], STAMP)
    return writer


def test_redacted_details_are_gone_and_the_book_verifies(home: Home) -> None:
    """Neither the database nor its log holds them, and every hash and signature is right."""
    writer = book_with_secret(home)

    written = writer.write([redact(2)], STAMP)
    writer.checkpoint(truncate=True)

    assert written.has_erased
    assert written.outcomes[0].body == bytes(_encoded(Redaction(4, 2, is_new=True)))
    writer.close()
    for path in home.path.glob("book.db*"):
        assert SWORDFISH.encode() not in path.read_bytes()
    with BookReader(home) as reader:
        assert reader.verify(all_signatures=True).ok


def test_reading_redacted_details_raises_who_and_why(home: Home) -> None:
    """The entry stays, its details raise Redacted, and lines show the reason."""
    writer = book_with_secret(home)
    do(writer, redact(2))
    writer.close()

    with BookReader(home) as reader:
        found, record = reader.page(1, 1)[0], reader.tail(1)[0]

    assert (found.action, found.entity, found.salt) == ("deployed", "api.2", None)
    assert "[redacted: held a password]" in entry_line(found)
    with pytest.raises(errors.Redacted, match=r"by admin \(seq 4\): held a password"):
        _ = found.details
    assert (record.kind, record.writer, record.entity) == ("book.redact", "admin", "2")
    assert record.details["why"] == "held a password"


def test_context_shows_that_details_were_redacted(home: Home) -> None:
    """An agent's context goes on, and says what is not there."""
    writer = book_with_secret(home)
    do(writer, redact(2))

    digest = writer.query(lambda c: digest_of(c, None, DigestLimits(), 0))
    text = render_digest(digest, "compact")

    assert "[redacted]" in text
    assert SWORDFISH not in text


def test_redacting_again_answers_with_the_first_redaction(home: Home) -> None:
    """It is idempotent: nothing more is written."""
    writer = book_with_secret(home)
    do(writer, redact(2))

    again = do(writer, redact(2, counter=5 << 20, why="again"))

    assert again == _encoded(Redaction(4, 2, is_new=False))
    assert writer.head.seq == 4


@pytest.mark.parametrize(
    ("seq", "error"),
    [(0, errors.NotInBook), (-1, errors.NotInBook), (99, errors.NotInBook)],
)
def test_entry_that_is_not_there_is_refused(home: Home, seq: int, error: type[Exception]) -> None:
    """A refusal names the seq, and nothing is written."""
    writer = book_with_secret(home)

    with pytest.raises(error, match=str(seq)):
        do(writer, redact(seq))

    assert writer.head.seq == 3


def test_own_record_of_the_book_is_refused(home: Home) -> None:
    """What the book says of itself cannot be unsaid."""
    writer = book_with_secret(home)
    do(writer, redact(2))

    with pytest.raises(errors.BadRequest, match=r"book\.redact at seq 4"):
        do(writer, redact(4, counter=5 << 20))


def test_resend_of_a_redacted_append_is_answered(home: Home) -> None:
    """Its details cannot be compared any more, the rest can."""
    writer = book_with_secret(home)
    do(writer, redact(2))

    rows = writer.admission.rows_of(append(2, details={"note": SWORDFISH * 400}))

    assert [row[0] for row in rows] == [2]


def test_rolled_back_redaction_has_dropped_nothing(home: Home) -> None:
    """When its commit fails the details are there, and nobody was told to forget anything."""
    writer = book_with_secret(home)

    def fail(_: object) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        writer.write([redact(2)], STAMP, fail)

    assert not writer.write([append(9)], STAMP).has_erased
    writer.close()
    with BookReader(home) as reader:
        assert reader.page(1, 1)[0].details == {"note": SWORDFISH * 400}


def test_book_of_an_older_version_is_migrated(home: Home) -> None:
    """A writer adds the tables; what was there stays."""
    write_book(home, [2])

    writer = open_writer(home)

    assert writer.query(lambda c: c.execute("SELECT count(*) FROM detached").fetchone()) == (0,)


def _encoded(answer: Redaction) -> bytes:
    import msgspec  # noqa: PLC0415

    return msgspec.msgpack.encode(answer)
