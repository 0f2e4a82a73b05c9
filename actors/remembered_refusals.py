"""What journal_writer has refused for the moment, such as for want of room. Pure.

A request is sent again until it is answered: a copy that is under way when its refusal leaves must
hear the same, even where it would be done by now. Its sender has been told that nothing was kept.
"""

from typing import Final

from protocols import errors
from protocols.book_messages import Append
from protocols.change import Change

__all__ = ["REFUSALS_MAX", "RememberedRefusals"]

REFUSALS_MAX: Final = 10_000
"""The oldest are forgotten beyond: a copy is under way for seconds."""


class RememberedRefusals(dict[tuple[str, bytes], errors.HourbookError]):
    """Refusals by who asked and the nonce of the request."""

    def add(self, body: Append | Change, error: errors.HourbookError) -> None:
        """Remember what a request was told."""
        if len(self) >= REFUSALS_MAX:
            del self[next(iter(self))]
        self[body.writer, body.nonce] = error

    def find(self, body: Append | Change) -> errors.HourbookError | None:
        """Return what a request was told, None where it was not refused."""
        return self.get((body.writer, body.nonce))
