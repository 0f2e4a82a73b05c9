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


class RememberedRefusals:
    """Refusals by who asked and the nonce of the request."""

    def __init__(self) -> None:
        """Begin with none."""
        self._errors: dict[tuple[str, bytes], errors.HourbookError] = {}

    def add(self, body: Append | Change, error: errors.HourbookError) -> None:
        """Remember what a request was told."""
        if len(self._errors) >= REFUSALS_MAX:
            self._errors.pop(next(iter(self._errors)))
        self._errors[body.writer, body.nonce] = error

    def find(self, body: Append | Change) -> errors.HourbookError | None:
        """Return what a request was told, None where it was not refused."""
        return self._errors.get((body.writer, body.nonce)) if self._errors else None
