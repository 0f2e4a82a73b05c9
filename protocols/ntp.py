"""NTP's 48 bytes: how a request is built, a reply read, judged, and turned into a measurement.

Pure, and in integers throughout: a float of NTP seconds has a step of 477 ns. The formats are those
of RFC 5905 section 7.3; which replies count is in :func:`check`, which error each number may hide
in :class:`HalfWidth`.

The local clock of a measurement is CLOCK_MONOTONIC_RAW, which nobody steps: UTC on arrival follows
from the server's stamps and the round trip alone. Wall time serves one purpose, to tell in which
era of 136 years a 32-bit second lies.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import ntplib

__all__ = [
    "PACKET_BYTES",
    "ROOT_DISTANCE_NS_MAX",
    "VERSION",
    "WALL_NS_MIN",
    "HalfWidth",
    "Measurement",
    "Rejection",
    "Reply",
    "build_request",
    "check",
    "describe_leap",
    "describe_reference",
    "describe_rejection",
    "from_timestamp",
    "kiss_code",
    "measure",
    "offset_ns",
    "parse",
    "precision_ns",
    "reference_code",
    "round_trip_ns",
    "to_timestamp",
]

VERSION: Final = 4
PACKET_BYTES: Final = 48
ROOT_DISTANCE_NS_MAX: Final = 1_500_000_000
"""MAXDIST of RFC 5905: a server further from its reference than this is not synchronised."""
WALL_NS_MIN: Final = 1_735_689_600_000_000_000
"""2025: a machine that believes in an earlier time has lost it, and is no guide to the era."""
NEGATIVE_DELAY_NS_MAX: Final = 1_000_000
"""What a server may claim to have held a packet beyond the whole round trip: rounding, and its own
slew; beyond that its stamps contradict ours."""
SHORT_ROUNDING_NS: Final = 30_518
"""2^-15 s: root delay and root dispersion are each rounded to 2^-16 s."""

_PACKET: Final = struct.Struct(">BBbbII4sQQQQ")
_EPOCH_TICKS: Final = 2_208_988_800 << 32
"""From 1900 to 1970, in units of 2^-32 s."""
_ERA_TICKS: Final = 1 << 64
_S_NS: Final = 1_000_000_000
_MODE_CLIENT: Final = 3
_MODE_SERVER: Final = 4
_LEAP_UNSYNCHRONIZED: Final = 3
_STRATUM_MAX: Final = 15
_PRECISION_EXPONENTS: Final = range(-32, 1)


class Rejection(StrEnum):
    """Why a datagram is no measurement; the words appear in metrics and in ``clock why``."""

    SHORT = "short"
    ORIGIN = "origin"
    VERSION = "version"
    MODE = "mode"
    KISS = "kiss"
    LEAP = "leap"
    STRATUM = "stratum"
    TIMESTAMPS = "timestamps"
    PRECISION = "precision"
    ROOT_DISTANCE = "root_distance"
    NEGATIVE_DELAY = "negative_delay"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Reply:
    """The fields of a packet; time stamps as sent, 32.32 bits of one era.

    Attributes:
        precision: the server's clock, log2 of seconds.
        root_delay_ns: round trip from the server to its reference.
        root_dispersion_ns: error that the server claims.
        reference_id: 4 bytes: what the server follows, or a kiss code.
    """

    leap: int
    version: int
    mode: int
    stratum: int
    poll: int
    precision: int
    root_delay_ns: int
    root_dispersion_ns: int
    reference_id: bytes
    reference: int
    origin: int
    receive: int
    transmit: int


class Measurement(NamedTuple):
    """What one exchange says.

    Attributes:
        utc_ns: UTC at the arrival of the reply, if the path was symmetric.
        delay_ns: round trip without the server's share, at least our clock's precision.
    """

    utc_ns: int
    delay_ns: int


class HalfWidth(NamedTuple):
    """Every term that can hide the truth in one measurement; UTC is within their sum of it.

    Attributes:
        delay_ns: half the round trip: it may all lie on one leg.
        root_delay_ns: half of the server's own round trip to its reference.
        root_dispersion_ns: what the server claims of its error.
        server_precision_ns: grain of the server's stamps.
        own_precision_ns: grain of ours.
        bracket_ns: half of the time that taking our stamps took.
        rounding_ns: short format of the root terms.
        oscillator_ns: our oscillator's error over the exchange itself.
    """

    delay_ns: int
    root_delay_ns: int
    root_dispersion_ns: int
    server_precision_ns: int
    own_precision_ns: int
    bracket_ns: int
    rounding_ns: int
    oscillator_ns: int

    @property
    def total_ns(self) -> int:
        """The half-width of the measurement."""
        return sum(self)

    @classmethod
    def of(
        cls,
        reply: Reply,
        round_trip_raw_ns: int,
        delay_ns: int,
        *,
        own_precision_ns: int,
        bracket_ns: int,
        max_drift_ppb: int,
    ) -> "HalfWidth":
        """Add up what one exchange may hide; every term is rounded up."""
        return cls(
            delay_ns=-(-delay_ns // 2),
            root_delay_ns=-(-reply.root_delay_ns // 2),
            root_dispersion_ns=reply.root_dispersion_ns,
            server_precision_ns=precision_ns(reply.precision),
            own_precision_ns=own_precision_ns,
            bracket_ns=-(-bracket_ns // 2),
            rounding_ns=SHORT_ROUNDING_NS,
            oscillator_ns=-(-round_trip_raw_ns * max_drift_ppb // _S_NS),
        )


# -- packets ------------------------------------------------------------------------------------


def build_request(cookie: int) -> bytes:
    """Return a client's request whose transmit stamp is `cookie` (64 random bits, not 0).

    A random cookie instead of the time tells an observer nothing, and only who saw the request can
    answer it (RFC 8633, section 5; draft-ietf-ntp-data-minimization).
    """
    first = VERSION << 3 | _MODE_CLIENT
    return _PACKET.pack(first, 0, 0, 0, 0, 0, b"\0\0\0\0", 0, 0, 0, cookie)


def parse(data: bytes) -> Reply | None:
    """Read the header of a packet; None where there are not even 48 bytes. Judges nothing."""
    if len(data) < PACKET_BYTES:
        return None
    first, stratum, poll, precision, delay, dispersion, reference_id, *stamps = _PACKET.unpack(
        data[:PACKET_BYTES]
    )
    return Reply(
        leap=first >> 6,
        version=first >> 3 & 7,
        mode=first & 7,
        stratum=stratum,
        poll=poll,
        precision=precision,
        root_delay_ns=-(-delay * _S_NS >> 16),
        root_dispersion_ns=-(-dispersion * _S_NS >> 16),
        reference_id=reference_id,
        reference=stamps[0],
        origin=stamps[1],
        receive=stamps[2],
        transmit=stamps[3],
    )


def check(reply: Reply, cookie: int) -> Rejection | None:
    """Return why a reply to the request with `cookie` does not count, None where it does.

    The cookie comes first: until it matches, nothing in the packet is the server's word, a kiss of
    death least of all.
    """
    faults = (
        (Rejection.ORIGIN, reply.origin != cookie),
        (Rejection.MODE, reply.mode != _MODE_SERVER),
        (Rejection.VERSION, reply.version != VERSION),
        (Rejection.KISS, reply.stratum == 0),
        (Rejection.STRATUM, reply.stratum > _STRATUM_MAX),
        (Rejection.LEAP, reply.leap == _LEAP_UNSYNCHRONIZED),
        (Rejection.TIMESTAMPS, not reply.receive or not reply.transmit or _held_ticks(reply) < 0),
        (Rejection.PRECISION, reply.precision not in _PRECISION_EXPONENTS),
        (Rejection.ROOT_DISTANCE, _root_distance_ns(reply) >= ROOT_DISTANCE_NS_MAX),
    )
    return next((rejection for rejection, is_at_fault in faults if is_at_fault), None)


def kiss_code(reply: Reply) -> str:
    """Return the four letters of a kiss of death: RATE, DENY, RSTR, ...; "?" for unprintables."""
    return "".join(chr(b) if 0x20 < b < 0x7F else "?" for b in reply.reference_id)  # noqa: PLR2004 - printable ASCII


def describe_rejection(rejection: Rejection) -> str:
    """Return a rejection in words."""
    return _REJECTED[rejection]


def describe_leap(leap: int) -> str:
    """Return a leap indicator in words."""
    return str(ntplib.leap_to_text(leap))


def reference_code(reply: Reply) -> str:
    """Return what a server follows in short: a reference clock's letters, or an address."""
    if reply.stratum <= 1:
        return kiss_code(reply).rstrip("?")
    return ".".join(str(byte) for byte in reply.reference_id)


def describe_reference(reply: Reply) -> str:
    """Return what a server follows in words: a name of a reference clock, or an address."""
    name = ntplib.NTP.REF_ID_TABLE.get(reply.reference_id.decode("latin-1"))
    return str(name) if name and reply.stratum <= 1 else reference_code(reply)


_REJECTED: Final[Mapping[Rejection, str]] = {
    Rejection.SHORT: "it is shorter than NTP's 48 bytes",
    Rejection.ORIGIN: "it does not answer our request",
    Rejection.VERSION: "it speaks another version of NTP",
    Rejection.MODE: "it is no server's answer",
    Rejection.KISS: "the server sends us away",
    Rejection.LEAP: "the server calls itself unsynchronised",
    Rejection.STRATUM: "the server has no reference",
    Rejection.TIMESTAMPS: "its time stamps are missing or run backwards",
    Rejection.PRECISION: "its precision is none",
    Rejection.ROOT_DISTANCE: "the server is too far from its reference",
    Rejection.NEGATIVE_DELAY: "it claims to have held our request longer than we waited",
    Rejection.SUSPENDED: "this machine was suspended meanwhile",
}


# -- arithmetic ---------------------------------------------------------------------------------


def to_timestamp(utc_ns: int) -> int:
    """Return nanoseconds since 1970 as 64 bits of NTP time, whatever the era."""
    return (_ticks(utc_ns) + _EPOCH_TICKS) % _ERA_TICKS


def from_timestamp(timestamp: int, pivot_ns: int) -> int:
    """Return an NTP time stamp as nanoseconds since 1970, in the era that is nearest to `pivot_ns`.

    Right for whatever lies within 68 years of the pivot, so in 2036 as well.
    """
    pivot = _ticks(pivot_ns) + _EPOCH_TICKS
    unfolded = pivot + _signed(timestamp - pivot) - _EPOCH_TICKS
    return unfolded * _S_NS + (1 << 31) >> 32


def offset_ns(t1_ns: int, t2_ns: int, t3_ns: int, t4_ns: int) -> int:
    """Return server minus client, where the path is symmetric: ((T2 - T1) + (T3 - T4)) / 2."""
    return (t2_ns - t1_ns + t3_ns - t4_ns) // 2


def round_trip_ns(t1_ns: int, t2_ns: int, t3_ns: int, t4_ns: int) -> int:
    """Return the time on the way: (T4 - T1) - (T3 - T2). Negative where the stamps disagree."""
    return (t4_ns - t1_ns) - (t3_ns - t2_ns)


def precision_ns(exponent: int) -> int:
    """Return log2 seconds (-32..0) as nanoseconds, rounded up."""
    return -(-_S_NS >> -exponent)


def measure(
    reply: Reply, sent_raw_ns: int, received_raw_ns: int, wall_ns: int, own_precision_ns: int
) -> Measurement | Rejection:
    """Turn a reply that passed :func:`check` into UTC at `received_raw_ns`.

    Args:
        reply: the server's answer.
        sent_raw_ns: CLOCK_MONOTONIC_RAW, at the latest when the request left.
        received_raw_ns: the same clock, at the earliest when the reply was there.
        wall_ns: roughly the time, to choose the era; ignored where it is absurdly early.
        own_precision_ns: grain of our clock, the least delay.
    """
    pivot_ns = max(wall_ns, WALL_NS_MIN)
    t2_ns = from_timestamp(reply.receive, pivot_ns)
    t3_ns = from_timestamp(reply.transmit, pivot_ns)
    delay_ns = round_trip_ns(sent_raw_ns, t2_ns, t3_ns, received_raw_ns)
    if delay_ns < -NEGATIVE_DELAY_NS_MAX:
        return Rejection.NEGATIVE_DELAY
    offset = offset_ns(sent_raw_ns, t2_ns, t3_ns, received_raw_ns)
    return Measurement(received_raw_ns + offset, max(delay_ns, own_precision_ns))


def _ticks(utc_ns: int) -> int:
    """Round nanoseconds to units of 2^-32 s."""
    return ((utc_ns << 33) + _S_NS) // (2 * _S_NS)


def _signed(ticks: int) -> int:
    """Read the low 64 bits as a signed distance."""
    return (ticks + (_ERA_TICKS >> 1)) % _ERA_TICKS - (_ERA_TICKS >> 1)


def _held_ticks(reply: Reply) -> int:
    return _signed(reply.transmit - reply.receive)


def _root_distance_ns(reply: Reply) -> int:
    return reply.root_delay_ns // 2 + reply.root_dispersion_ns
