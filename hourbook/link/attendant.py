"""The thread that sees to requests for which nobody waits.

It sends what has waited for company, and receives while no other thread does. Begun with the first
such request, or before one is to be expected; parked while none is in flight. Threads that wait
come first: it receives once none has done so for a moment, else each of them would wait for a
hand-over.
"""

import select
import threading
import time
from typing import Final

from hourbook.link.bell import Bell
from hourbook.link.leadership import Leadership
from hourbook.link.reply import NEVER_NS
from hourbook.link.traffic import Traffic

__all__ = ["Attendant"]

GRACE_MS: Final = 5
"""How long nobody must have waited before it receives."""
_MS_NS: Final = 1_000_000


class Attendant:
    """The thread of one client.

    Attributes:
        is_idle: there is no thread yet, or it may park just now: who sends a request that nobody
            waits for tells it afterwards (:meth:`attend`).
    """

    def __init__(self, name: str, traffic: Traffic, leadership: Leadership) -> None:
        """Begin no thread yet; `name` is what it will be called."""
        self._name, self._traffic, self._leadership = name, traffic, leadership
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self.is_idle = True
        self._end = Bell()

    def begin(self) -> bool:
        """Begin the thread, unless it runs; return False where the process can begin none.

        Its limit may be reached; or its main thread has ended, with Python 3.12.0 and 3.12.1.
        """
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
        return True

    def attend(self) -> None:
        """See to a request that was sent, or waits for company.

        Where no thread can begin nothing waits for company, as nobody watches the outbox, and
        answers are received when somebody waits for one.
        """
        if self.begin():
            with self._lock:
                self._wanted.notify()

    def end(self) -> None:
        """End the thread, once the traffic was stopped."""
        with self._lock:
            self._wanted.notify_all()
        self._end.ring()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        leadership, traffic = self._leadership, self._traffic
        gathered = traffic.watch_outbox()  # readable when company has been waited for long enough
        grace, everything = select.poll(), traffic.new_poll()
        for poll in (grace, everything):
            poll.register(self._end.descriptor, select.POLLIN)
            poll.register(gathered, select.POLLIN)
        waits_seen = -1
        while self._await_traffic():
            if leadership.claim is not None or leadership.waits != waits_seen:
                waits_seen = leadership.waits
                if grace.poll(GRACE_MS):
                    traffic.hasten()
                continue
            ready = traffic.pump(
                time.monotonic_ns(),
                NEVER_NS,
                lambda timeout_ns: everything.poll(max(1, timeout_ns // _MS_NS)),
            )
            if (gathered, select.POLLIN) in ready:
                traffic.hasten()

    def _await_traffic(self) -> bool:
        """Wait until a request is in flight (True), or the traffic was stopped."""
        with self._lock:
            self.is_idle = True  # before it looks whether any is in flight: none is overlooked
            while not (self._traffic.is_closed or self._traffic.flying):
                self._wanted.wait()
            self.is_idle = False
        return not self._traffic.is_closed
