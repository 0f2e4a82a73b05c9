"""The hybrid logical clock of this process: one, whichever object was used.

``Clock.hlc`` issues its numbers, and a ``Book`` sends the last one along and takes in what the
writer answers: so an entry is after every event that its process stamped or heard of before, and
the next event is after the entry.
"""

import os
import threading
from collections.abc import Callable
from typing import Final

from protocols.hlc import is_ahead, merge, tick

__all__ = ["HybridClock", "process_clock"]


class HybridClock:
    """What numbers a process issues and receives; for all of its threads (``protocols.hlc``).

    Attributes:
        last: the last number issued or received; 0: there is none.
    """

    def __init__(self) -> None:
        self.last = 0
        self._lock = threading.Lock()

    def to_send(self, now_ns: int) -> int:
        """Return the last number, to go with a message sent at UTC `now_ns`; 0: there is none.

        A process whose clock once was wrong may be far ahead; nobody would accept that.
        """
        last = self.last
        return 0 if is_ahead(last, now_ns) else last

    def issue(self, read_ns: Callable[[], int], received: int | None = None) -> int:
        """Return the number of a local event, or of receiving a message stamped `received`.

        Args:
            read_ns: reads UTC (ns); called under the lock, so that time and order agree.
            received: the sender's number.

        Raises:
            BadRequest: `received` is out of range or more than a minute ahead of this clock.
        """
        with self._lock:
            now_ns = read_ns()
            if received is None:
                self.last = tick(self.last, now_ns)
            else:
                self.last = merge(self.last, received, now_ns)
            return self.last

    def observe(self, number: int, time_ns: int) -> None:
        """Take in the number of an entry that the book stamped with `time_ns` (UTC).

        A book whose clock once was wrong goes on issuing numbers far ahead. They keep its own
        order, and must not drag the process along: other writers would refuse what it sends.
        """
        if is_ahead(number, time_ns):
            return
        with self._lock:
            self.last = max(self.last, number)

    def renew_lock(self) -> None:
        """Forget a lock that another thread of the parent held at the fork."""
        self._lock = threading.Lock()


process_clock: Final = HybridClock()
os.register_at_fork(after_in_child=process_clock.renew_lock)
