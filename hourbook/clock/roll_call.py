"""Whom ntp_sampler waits for: a roll call over the servers that may have something to say. Pure.

Servers are called together at the start, when the model asks anew, and when one answers whose
voice had lapsed: the network has come back, and who answers first must not speak alone. Each is
waited for until it answers, fails, or its time is over; then it is excused. A server that may not
be asked now, since a kiss of death forbids it or no address will have us, is not called. One that
was asked a moment ago is called as soon as it may be asked again, within 16 s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hourbook.clock.polling import Server, has_voice, is_due_within

__all__ = ["NOBODY_CALLED", "PATIENCE_NS", "RollCall", "voiceless"]

PATIENCE_NS: Final = 5_000_000_000
"""From when a server is due: longer than a usual time-out, shorter than a look-up that hangs."""
SPACING_NS_MAX: Final = 18_000_000_000
"""A server that is due later was not hurried; a tenth more than the spacing of public servers."""


@dataclass(frozen=True, slots=True)
class RollCall:
    """Who is waited for.

    Attributes:
        until_mono_ns: by name, when the wait ends at the latest.
    """

    until_mono_ns: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def call(self, servers: Iterable[Server], now_mono_ns: int) -> "RollCall":
        """Return the roll with those of the servers that can be asked soon."""
        called = {
            server.name: max(server.next_mono_ns, now_mono_ns) + PATIENCE_NS
            for server in servers
            if is_due_within(server, SPACING_NS_MAX, now_mono_ns)
        }
        return RollCall(MappingProxyType({**self.until_mono_ns, **called}))

    def excuse(self, *names: str) -> "RollCall":
        """Return the roll without some that have answered, failed or gone."""
        kept = {name: until for name, until in self.until_mono_ns.items() if name not in names}
        return self if len(kept) == len(self.until_mono_ns) else RollCall(MappingProxyType(kept))

    def expire(self, now_mono_ns: int) -> "RollCall":
        """Return the roll without those whose time is over."""
        return self.excuse(*(n for n, until in self.until_mono_ns.items() if until <= now_mono_ns))

    def left_ns(self, now_mono_ns: int) -> int:
        """Return how long somebody will be waited for at most."""
        return max((*self.until_mono_ns.values(), now_mono_ns)) - now_mono_ns


NOBODY_CALLED: Final = RollCall()


def voiceless(servers: Iterable[Server], answering: str, now_mono_ns: int) -> list[Server]:
    """Return whom to call since `answering` does: the others without a voice, where it had none."""
    known = {server.name: server for server in servers}
    if has_voice(known.pop(answering), now_mono_ns):
        return []
    return [server for server in known.values() if not has_voice(server, now_mono_ns)]
