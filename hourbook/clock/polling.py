"""When to ask which server: the state of one of them, and what every happening does to it. Pure.

A server begins with a look-up of its name, then a burst of a few requests two seconds apart, then
polls that lengthen while all is calm, as long as the interval gains less by waiting than a
measurement leaves open anyway: a server next door is asked often, one beyond an ocean seldom.
Time-outs back off exponentially, and from the third on the name is looked up again before each
request; another address of it is preferred then, and while names do not resolve the old one is
asked on. A kiss of death is obeyed: RATE doubles the poll and holds for a minute, DENY and RSTR
give the address up for good. Public servers are never asked faster than every 16 s once the burst
is over (RFC 8633, 2.1; the rules of pool.ntp.org); the loopback is exempt.

Every function takes the present monotonic time and returns a new state, whose `next_mono_ns` says
when `next_action` is due. `jitter` (0..1) comes from outside and spreads requests by a tenth.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from protocols.source_messages import Condition

__all__ = [
    "Address",
    "Pace",
    "Server",
    "answered",
    "asked",
    "condition",
    "failed",
    "has_voice",
    "hurry",
    "is_due_within",
    "kissed",
    "new",
    "resolved",
    "unresolved",
]

PUBLIC_POLL_S_MIN: Final = 16
PUBLIC_BURST_S_MIN: Final = 2.0
HOLD_S: Final = 60
"""After a RATE kiss (RFC 5905, 7.4, asks only to slow down; a minute lets a bucket refill)."""
CALM_ANSWERS: Final = 4
"""Answers in a row before the poll doubles."""
AGEING_PPB: Final = 50_000
"""What an interval gains with age under the default premise (``ClockModelConfig.max_drift_ppb``).
It weighs a longer poll against the width of a measurement; no bound rests on it."""
LOST_MAX: Final = 3
"""Time-outs in a row before the address is doubted."""
SILENT_POLLS: Final = 8
"""Of silence, after which a source has no vote: the length of its register."""
DENIED_MAX: Final = 64
"""Addresses remembered as closed to us; a pool has more than we may try."""
RETRY_NAME_S_MIN: Final = 2
RETRY_DENIED_S: Final = 3600
_JITTER: Final = 0.1
_REACH_BITS: Final = 0xFF
_S_NS: Final = 1_000_000_000


class Address(NamedTuple):
    """Where a name leads: a numeric host, a port, and whether it is this very machine."""

    host: str
    port: int
    is_loopback: bool


class Pace(NamedTuple):
    """How often to ask; units and ranges in ``NtpSamplerConfig``."""

    poll_s_min: int
    poll_s_max: int
    burst_count: int
    burst_interval_s: float


@dataclass(frozen=True, slots=True)
class Server:
    """One configured server.

    Attributes:
        name: as configured; the name of the source.
        next_action: what is due at `next_mono_ns`.
        next_mono_ns: when.
        address: whom to ask, None before the name was looked up.
        poll_s: present poll.
        burst_left: requests of the burst still to come.
        calm: answers in a row since the poll last changed.
        lost: requests in a row without a measurement, since the burst was over.
        reach: the last eight requests, newest in the lowest bit, as in NTP.
        asked_mono_ns: when the last request left; 0 before the first.
        denied: addresses that have sent us away.
        trouble: why there was no measurement last time, "" where there was.
        names_failed: look-ups in a row that failed.
        held_mono_ns: a RATE kiss forbids to ask before; 0 where none does.
        kissed_poll_s: the poll that the last RATE kiss of this address made; it is not undercut.
        is_heard: the last request brought a reply, whatever it was worth.
        voice_mono_ns: until when its last answer gives it a vote; 0: it has none.
    """

    name: str
    next_action: Literal["resolve", "ask"] = "resolve"
    next_mono_ns: int = 0
    address: Address | None = None
    poll_s: int = PUBLIC_POLL_S_MIN
    burst_left: int = 0
    calm: int = 0
    lost: int = 0
    reach: int = 0
    asked_mono_ns: int = 0
    denied: tuple[str, ...] = ()
    trouble: str = ""
    names_failed: int = 0
    held_mono_ns: int = 0
    kissed_poll_s: int = 0
    is_heard: bool = False
    voice_mono_ns: int = 0


def condition(server: Server, now_mono_ns: int) -> Condition:
    """Return in one word how things stand with a server."""
    if server.held_mono_ns > now_mono_ns:
        return "held"
    if server.address is None:
        if server.names_failed:
            return "unresolved"
        return "refused" if server.trouble else "new"
    if not server.asked_mono_ns or (not server.reach and not server.trouble):
        return "new"
    if server.reach:
        return "answering"
    return "rejected" if server.is_heard else "silent"


def has_voice(server: Server, now_mono_ns: int) -> bool:
    """Say whether a server has answered lately enough to have a vote, as far as is known here."""
    return now_mono_ns < server.voice_mono_ns


def is_due_within(server: Server, span_ns: int, now_mono_ns: int) -> bool:
    """Say whether a server may be asked, or looked up, so soon."""
    return server.next_mono_ns <= now_mono_ns + span_ns


def new(name: str, pace: Pace, now_mono_ns: int) -> Server:
    """Return a server that is to be looked up at once."""
    return Server(name, next_mono_ns=now_mono_ns, poll_s=pace.poll_s_min)


def resolved(
    server: Server,
    addresses: Sequence[Address],
    taken: Collection[Address],
    pace: Pace,
    now_mono_ns: int,
) -> Server:
    """Return the server at an address that neither denied us nor is asked already.

    One that has just failed us again and again gives way to the next, where there is one: a name
    may lead to IPv6 first in a network that drops it.
    """
    usable = [a for a in addresses if a.host not in server.denied and a not in taken]
    if not usable:
        is_denied = bool(server.denied)
        trouble = "every address denied us" if is_denied else "asked under another name"
        wait_s = RETRY_DENIED_S if is_denied else pace.poll_s_max
        due_ns = now_mono_ns + wait_s * _S_NS
        return replace(
            server, address=None, trouble=trouble, next_mono_ns=due_ns, names_failed=0, reach=0
        )
    choice = _choose(server, usable)
    if choice == server.address:  # still there; it is merely not answering
        return replace(server, next_action="ask", names_failed=0)
    return replace(
        server,
        address=choice,
        next_action="ask",
        next_mono_ns=now_mono_ns,
        poll_s=_poll_s_min(choice, pace),
        # Where UDP is blocked, a pool yields new addresses for ever: they share the back-off.
        burst_left=pace.burst_count if server.lost < LOST_MAX else 0,
        calm=0,
        names_failed=0,
        kissed_poll_s=0,
    )


def unresolved(server: Server, trouble: str, pace: Pace, now_mono_ns: int, jitter: float) -> Server:
    """Return the server after a look-up that failed; the next comes later each time.

    An address that was found before is asked on in between: resolvers fail more often than
    addresses change.
    """
    wait_s = min(RETRY_NAME_S_MIN << min(server.names_failed, 16), pace.poll_s_max)
    return replace(
        server,
        next_action="resolve" if server.address is None else "ask",
        next_mono_ns=now_mono_ns + _jittered_ns(wait_s, jitter),
        names_failed=server.names_failed + 1,
        trouble=trouble,
    )


def asked(server: Server, now_mono_ns: int) -> Server:
    """Return the server after a request was sent."""
    return replace(
        server,
        asked_mono_ns=now_mono_ns,
        burst_left=max(server.burst_left - 1, 0),
        reach=server.reach << 1 & _REACH_BITS,
    )


def answered(
    server: Server, half_width_ns: int, pace: Pace, now_mono_ns: int, jitter: float
) -> Server:
    """Return the server after a good reply; the poll doubles while all is calm and it is worth it.

    Args:
        server: that answered.
        half_width_ns: of the measurement. A poll whose ageing adds more than that is too long.
        pace: what the operator decides.
        now_mono_ns: the present.
        jitter: 0..1.
    """
    calm, poll_s = server.calm + 1, server.poll_s
    worth_s = half_width_ns // AGEING_PPB
    if poll_s > 2 * worth_s:
        poll_s, calm = max(poll_s // 2, _poll_s_least(server, pace)), 0
    elif calm >= CALM_ANSWERS and not server.burst_left and poll_s * 2 <= worth_s:
        poll_s, calm = min(poll_s * 2, pace.poll_s_max), 0
    server = replace(
        server,
        reach=server.reach | 1,
        lost=0,
        calm=calm,
        poll_s=poll_s,
        trouble="",
        is_heard=True,
        voice_mono_ns=now_mono_ns + SILENT_POLLS * poll_s * _S_NS,
    )
    return _next_poll(server, pace, now_mono_ns, poll_s, jitter)


def failed(
    server: Server,
    trouble: str,
    pace: Pace,
    now_mono_ns: int,
    jitter: float,
    *,
    is_heard: bool = False,
) -> Server:
    """Return the server after a time-out, or (`is_heard`) a reply that does not count."""
    lost = server.lost + (not server.burst_left)
    server = replace(server, lost=lost, calm=0, trouble=trouble, is_heard=is_heard)
    wait_s = min(server.poll_s << min(lost, 16), pace.poll_s_max)
    server = _next_poll(server, pace, now_mono_ns, wait_s, jitter)
    if lost >= LOST_MAX and not server.burst_left:
        return replace(server, next_action="resolve")
    return server


def kissed(server: Server, code: str, pace: Pace, now_mono_ns: int, jitter: float) -> Server:
    """Return the server after a kiss of death whose cookie was ours."""
    server = replace(server, calm=0, burst_left=0, trouble=f"kiss of death {code}", is_heard=True)
    if code in ("DENY", "RSTR") and server.address is not None:
        denied = (*server.denied, server.address.host)[-DENIED_MAX:]
        due_ns = now_mono_ns + _jittered_ns(RETRY_NAME_S_MIN, jitter)
        return replace(
            server,
            address=None,
            denied=denied,
            next_action="resolve",
            next_mono_ns=due_ns,
            reach=0,
        )
    if code == "RATE":
        poll_s = min(server.poll_s * 2, pace.poll_s_max)
        due_ns = now_mono_ns + _jittered_ns(max(poll_s, HOLD_S), jitter)
        return replace(
            server,
            poll_s=poll_s,
            next_mono_ns=due_ns,
            held_mono_ns=due_ns,
            kissed_poll_s=poll_s,
        )
    return failed(server, server.trouble, pace, now_mono_ns, jitter, is_heard=True)


def hurry(server: Server, pace: Pace, now_mono_ns: int) -> Server:
    """Return the server asked anew, as soon and as densely as its address allows.

    A RATE hold and a denial stand as they are; a name that did not resolve is tried again.
    """
    server = replace(server, voice_mono_ns=0)
    if server.held_mono_ns > now_mono_ns:
        return server
    if server.address is None:
        is_unresolved = server.names_failed > 0
        return replace(server, next_mono_ns=now_mono_ns) if is_unresolved else server
    poll_s = _poll_s_least(server, pace)
    earliest_ns = server.asked_mono_ns + _spacing_ns(server.address, pace)
    return replace(
        server,
        poll_s=poll_s,
        calm=0,
        burst_left=pace.burst_count if server.address.is_loopback else 0,
        next_mono_ns=min(server.next_mono_ns, max(now_mono_ns, earliest_ns)),
    )


def _choose(server: Server, usable: Sequence[Address]) -> Address:
    """Return the address to ask: the present one while it serves, else the one after it."""
    if server.address not in usable:
        return usable[0]
    is_doubted = server.lost >= LOST_MAX
    return usable[(usable.index(server.address) + is_doubted) % len(usable)]


def _next_poll(
    server: Server, pace: Pace, now_mono_ns: int, wait_s: float, jitter: float
) -> Server:
    assert server.address is not None, "only a server with an address is asked"
    if server.burst_left:
        floor_s = 0.0 if server.address.is_loopback else PUBLIC_BURST_S_MIN
        wait_s = max(pace.burst_interval_s, floor_s)
    due_ns = max(server.asked_mono_ns + _jittered_ns(wait_s, jitter), now_mono_ns)
    return replace(server, next_action="ask", next_mono_ns=due_ns)


def _poll_s_min(address: Address, pace: Pace) -> int:
    return pace.poll_s_min if address.is_loopback else max(pace.poll_s_min, PUBLIC_POLL_S_MIN)


def _poll_s_least(server: Server, pace: Pace) -> int:
    assert server.address is not None, "only a server with an address has a poll"
    return max(_poll_s_min(server.address, pace), server.kissed_poll_s)


def _spacing_ns(address: Address, pace: Pace) -> int:
    if address.is_loopback:
        return round(pace.burst_interval_s * _S_NS)
    return PUBLIC_POLL_S_MIN * _S_NS


def _jittered_ns(wait_s: float, jitter: float) -> int:
    """Return the wait, lengthened by up to a tenth: never shorter than the rules allow."""
    return round(wait_s * (1 + _JITTER * jitter) * _S_NS)
