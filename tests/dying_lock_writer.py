"""A journal_writer that is killed at one moment: before a change is written, or before it is told.

It lives on until somebody arms it, by a file in its home, and dies of that once.
"""

import os
import signal
from collections.abc import Sequence
from typing import Final, Literal

from book_actors import ActorProcess
from waiting import wait_until

from actors.journal_writer import JournalWriter
from hourbook.book.writer import BookWriter, Written
from hourbook.home import Home
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["DyingWriter", "Moment"]

Moment = Literal["before the commit", "before the answer"]
_ARMED: Final = "armed"


class _MortalWriter(JournalWriter):
    """Does what it should, but for the one thing."""

    def _write(self, book: BookWriter, group: Sequence[Append | Change]) -> Written:
        armed = self.home.path / _ARMED
        moment, _, kind = armed.read_text().partition("\n") if armed.exists() else ("", "", "")
        is_met = any(type(change).__name__ == kind for change in group)
        if is_met:
            armed.unlink()
            if moment == "before the commit":
                os.kill(os.getpid(), signal.SIGKILL)
        written = super()._write(book, group)
        if is_met:
            os.kill(os.getpid(), signal.SIGKILL)
        return written


class DyingWriter(ActorProcess):
    """A writer that can be killed at a moment, and started again."""

    start_method = "forkserver"

    def __init__(self, home: Home) -> None:
        super().__init__(_MortalWriter, "journal_writer", home)
        self._armed = home.path / _ARMED

    def arm(self, moment: Moment, change: type[Change]) -> None:
        """Let it be killed with the next change of that kind."""
        self._armed.write_text(f"{moment}\n{change.__name__}")

    def revive(self) -> None:
        """Start it again once it was killed."""
        wait_until(lambda: not self.process.is_alive(), 10, "the writer to be killed")
        self.process.join()
        self.start()
