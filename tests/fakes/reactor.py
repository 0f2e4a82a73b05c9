"""A reactor that runs in the test itself: real descriptors and time, and it keeps what is told."""

import select
import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import zmq

from actors.contract import OnReply
from actors.timers import Timer, Timers

__all__ = ["TestReactor"]


class TestReactor:
    """Implements ``actors.contract.Reactor`` for one actor under test."""

    __test__ = False

    def __init__(self) -> None:
        self.told: list[tuple[str, str, msgspec.Struct]] = []
        self.counters: Counter[str] = Counter()
        self.degraded = ""
        self.watched: dict[int, Callable[[], None]] = {}
        self._timers = Timers()

    def watch(self, source: int | zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        assert isinstance(source, int), "only plain descriptors are watched in these tests"
        self.watched[source] = callback

    def unwatch(self, source: int | zmq.Socket[bytes]) -> None:
        assert isinstance(source, int), "only plain descriptors are watched in these tests"
        del self.watched[source]

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        period_ns = round(period_s * 1e9)
        return self._timers.add(time.monotonic_ns() + period_ns, callback, period_ns)

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self._timers.add(time.monotonic_ns() + round(delay_s * 1e9), callback)

    def tell(self, peer: str, kind: str, body: msgspec.Struct) -> bool:
        self.told.append((peer, kind, body))
        return True

    def ask(
        self, peer: str, kind: str, body: msgspec.Struct, on_reply: OnReply, timeout_s: float
    ) -> None:
        raise AssertionError(f"nothing is asked of {peer}: {kind} {body} {on_reply} {timeout_s}")

    def degrade(self, reason: str) -> None:
        self.degraded = reason

    def recover(self, endpoints: Mapping[str, str] | None = None) -> None:
        assert endpoints is None, "the clock has no endpoints"
        self.degraded = ""

    def count(self, name: str, number: int = 1) -> None:
        self.counters[name] += number

    def run_until(self, predicate: Callable[[], object], timeout_s: float, what: str) -> None:
        """Turn until `predicate` holds; fail naming `what` after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"waited {timeout_s:g} s for {what}; told {self.told}")
            ready, _, _ = select.select(list(self.watched), [], [], 0.005)
            for fd in ready:
                if fd in self.watched:
                    self.watched[fd]()
            self._timers.fire(time.monotonic_ns())

    def bodies(self, kind: str) -> list[msgspec.Struct]:
        """Return what was told of one kind."""
        return [body for _, told_kind, body in self.told if told_kind == kind]
