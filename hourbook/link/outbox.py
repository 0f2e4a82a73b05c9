"""What a client has not handed over yet: requests that leave together, in one message. An edge.

To hand a message over costs both sides more than to make it or to read it: a process is woken on
either (``docs/adr/0032``). So a request for whose answer nobody is about to wait
stays here for a moment while others are in flight, or where the last message was one of several.
It leaves with the next that cannot wait, as soon as somebody is about to wait for any answer, when
they are FRAMES_JOINED_MAX or LARGE_BYTES, or at the end of DELAY_NS. The kernel keeps that time
(``hourbook/timerfd.py``), so that nobody is woken just to watch it.

The same line holds what found no connection, and what is to be sent again; all of it is in the
order in which it was asked. No two threads may be in here at a time.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from hourbook.link.connection import Connection
from hourbook.link.reply import NEVER_NS, Reply
from hourbook.link.room import LARGE_BYTES
from protocols import wire

if TYPE_CHECKING:
    from hourbook.timerfd import Timerfd

__all__ = ["DELAY_NS", "FRAMES_JOINED_MAX", "Outbox"]

DELAY_NS: Final = 1_000_000
"""What a request may lose by waiting for company; a durable write takes about as long."""
FRAMES_JOINED_MAX: Final = 32
"""Beyond, a message is no cheaper for each of its requests, and the first of them are late."""
_RESEND_NS: Final = 250_000_000
_frame_of = attrgetter("frame")


class Outbox:
    """The requests that wait to be sent over one connection.

    Attributes:
        waiting: all of them, in their order.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.waiting: deque[Reply] = deque()
        self._bytes = 0
        self._timer: Timerfd | None = None
        self._is_timed = False  # the timer counts down for those that wait
        self._had_company = False  # the last message was one of several: the next may be, too

    def watched(self) -> int:
        """Return the descriptor that is readable when they should leave: somebody watches it now.

        Until then no request waits for company.
        """
        if self._timer is None:
            from hourbook.timerfd import Timerfd  # noqa: PLC0415 - many ask once, and wait

            self._timer = Timerfd()
        return self._timer.descriptor

    def send_past(self, reply: Reply, now_ns: int) -> bool:
        """Hand over a request that cannot wait, where none does; return False if it has to wait.

        Does for one, and for less, what :meth:`put` and :meth:`leave` do for any number.
        """
        if self.waiting or not self._connection.try_send((reply.frame,)):
            return False
        self._had_company = False
        self._note_sent(reply, now_ns)
        return True

    def put(self, reply: Reply, company: int = 0) -> bool:
        """Add a request; return whether it may wait for company: its time has begun then.

        Args:
            reply: of the request.
            company: how many requests have no answer, this one included; 0: it cannot wait.
        """
        self.waiting.append(reply)
        self._bytes += len(reply.frame)
        if not company or self._timer is None or (company == 1 and not self._had_company):
            return False
        if len(self.waiting) >= FRAMES_JOINED_MAX or self._bytes >= LARGE_BYTES:
            return False
        if not self._is_timed:
            self._is_timed = True
            self._timer.tick_once(DELAY_NS)
        return True

    def put_again(self, replies: Iterable[Reply]) -> None:
        """Add requests that were sent before, to be sent another time."""
        for reply in replies:
            reply.resend_ns = NEVER_NS
            reply.attempt += 1
            again = msgspec.structs.replace(reply.request, attempt=reply.attempt)
            reply.frame = wire.encode(again)
            self.put(reply)
        self.waiting = deque(sorted(self.waiting, key=lambda reply: reply.request.id))

    def leave(self, now_ns: int) -> int:
        """Hand over everything, if there is a connection; return when to see to it again."""
        if self._is_timed:
            self._stop_timer()
        waiting = self.waiting
        while waiting:
            fits_whole = len(waiting) <= FRAMES_JOINED_MAX and self._bytes <= LARGE_BYTES
            message = list(waiting) if fits_whole else self._next_message()
            if not self._connection.try_send(list(map(_frame_of, message))):
                return NEVER_NS  # whoever connects comes back
            self._had_company = len(message) > 1
            for reply in message:
                self._note_sent(reply, now_ns)
                self._bytes -= len(reply.frame)
                waiting.popleft()  # not before: what an interrupt leaves here is sent again
        return now_ns + _RESEND_NS

    def withdraw(self, reply: Reply) -> None:
        """Drop a request that is given up: it is not sent after that."""
        if reply.resend_ns == NEVER_NS and reply in self.waiting:
            self.waiting.remove(reply)
            self._bytes -= len(reply.frame)
            if not self.waiting and self._is_timed:
                self._stop_timer()  # who watches would be woken again and again for nothing

    def __del__(self) -> None:
        """Give the descriptor back: whoever watches it has us."""
        if self._timer is not None:
            self._timer.close()

    def _note_sent(self, reply: Reply, now_ns: int) -> None:
        reply.was_sent = True
        is_small = len(reply.frame) <= LARGE_BYTES
        reply.resend_ns = now_ns + _RESEND_NS if is_small else reply.deadline_ns

    def _stop_timer(self) -> None:
        assert self._timer is not None
        self._is_timed = False
        self._timer.stop()

    def _next_message(self) -> list[Reply]:
        """Return the first of those that wait, and those that may travel with it."""
        message: list[Reply] = []
        size = 0
        for reply in islice(self.waiting, FRAMES_JOINED_MAX):
            size += len(reply.frame)
            if message and size > LARGE_BYTES:
                break
            message.append(reply)
        return message
