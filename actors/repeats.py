"""Lines of the log that others can cause at will: one of a kind in a minute is enough. Pure.

What is left out is no secret: who caused it was told, the counters of the mailbox have all of it
(``mailbox_refused_total``), and the next line says how many there were.
"""

from typing import Final

__all__ = ["PERIOD_NS", "Repeats"]

PERIOD_NS: Final = 60 * 1_000_000_000
"""Between two lines of a kind: with 300 bytes each they take a month to fill one file of 16 MiB."""


class Repeats:
    """The kinds of line that one place in the code has logged; they are few: codes of errors."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, int]] = {}  # when one may be logged, how many were not

    def remark(self, kind: str, now_mono_ns: int) -> str | None:
        """Return what a line of this kind is to end with; None: it is to be left out.

        Args:
            kind: of line.
            now_mono_ns: CLOCK_MONOTONIC.
        """
        due_mono_ns, left_out = self._kinds.get(kind, (now_mono_ns, 0))
        if now_mono_ns < due_mono_ns:
            self._kinds[kind] = due_mono_ns, left_out + 1
            return None
        self._kinds[kind] = now_mono_ns + PERIOD_NS, 0
        return f" ({left_out} more before this)" if left_out else ""
