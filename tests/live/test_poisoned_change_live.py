"""One poisoned message must not end the writer, however often its client sends it again."""

import pytest
from book_actors import running_writer
from books import raw_connection

from actors import dead_letters
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import errors

pytestmark = pytest.mark.live

POISON = """
CREATE TRIGGER poison BEFORE INSERT ON session WHEN new.name = 'poisoned'
BEGIN SELECT RAISE(ABORT, 'nobody expected this'); END
"""


def test_writer_survives_a_change_that_it_cannot_apply(home: Home) -> None:
    """Each attempt is refused and buried, the same process writes on, and the book verifies."""
    with running_writer(home) as writer, connect("agent", home) as book:
        raw = raw_connection(home.book_db)
        raw.execute(POISON)
        raw.close()
        pid = writer.process.pid

        for _ in range(3):
            with pytest.raises(errors.InternalError, match=r"session\.start.*IntegrityError"):
                book.start_session("poisoned")
            book.log("went", "on")

        assert writer.process.is_alive()
        assert (writer.process.pid, writer.incarnation) == (pid, 1)
        assert [each.action for each in book.tail(3)] == ["went"] * 3
        assert book.verify(all_signatures=True).ok
    letters = list(dead_letters.exhume(home.dead_letter_dir / "journal_writer.msgpack"))
    assert len(letters) == 3
