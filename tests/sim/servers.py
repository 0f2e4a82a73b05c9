"""The servers of the simulation: bytes in, bytes out, honest or not as told.

A server's clock is the true time plus an error. It is honest at an instant if that error is within
what its packet admits, root delay / 2 + root dispersion, and its packet tells no other lie. Its
stamps are cut to its precision, and its short-format fields rounded down: the worst that the format
allows.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from protocols import ntp
from sim.network import Path

__all__ = ["Error", "Fields", "Reply", "Server", "always", "honest_error"]

_PACKET: Final = struct.Struct(">BBbbII4sQQQQ")
_S_NS: Final = 1_000_000_000

Error = Callable[[int], int]
"""From true time to the error of a server's clock then (ns)."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What a server says of itself, and what it does at one instant."""

    stratum: int = 2
    leap: int = 0
    root_delay_ns: int = 5_000_000
    root_dispersion_ns: int = 2_000_000
    precision: int = -22
    reference_id: bytes = b"\0\0\0\0"
    kiss: str = ""

    @property
    def admitted_ns(self) -> int:
        """How far its clock may be off, by its own word; packed, so that rounding counts."""
        delay, dispersion = _short(self.root_delay_ns), _short(self.root_dispersion_ns)
        return (delay * _S_NS >> 17) + (dispersion * _S_NS >> 16)


class Reply(NamedTuple):
    """One datagram, and whether the server told the truth in it."""

    data: bytes
    is_honest: bool


@dataclass
class Server:
    """One server at one address.

    Attributes:
        host: its IPv4 address.
        path: the way to it.
        error: of its clock.
        fields: what it says, by true time.
        upstream: the ultimate source of its time. Servers that share one are one witness; by
            default each has its own.
        is_online: whether it answers, by true time.
        lies: it is in league against us; only for the tally, honesty is judged by each reply.
    """

    host: str
    path: Path
    error: Error
    fields: Callable[[int], Fields]
    upstream: str = ""
    is_online: Callable[[int], bool] = field(default=lambda _true_ns: True)
    lies: bool = False

    def __post_init__(self) -> None:
        self.upstream = self.upstream or self.host

    def reply(self, request: bytes, received_ns: int, sent_ns: int, utc_ns: int) -> Reply:
        """Answer a request.

        Args:
            request: the client's datagram.
            received_ns: true time of its arrival.
            sent_ns: true time at which the answer leaves.
            utc_ns: UTC at `received_ns`.
        """
        says = self.fields(received_ns)
        errors_ns = self.error(received_ns), self.error(sent_ns)
        grain_ns = max(_S_NS >> -says.precision, 1)
        t2_ns = utc_ns + errors_ns[0]
        t3_ns = utc_ns + (sent_ns - received_ns) + errors_ns[1]
        origin = request[40:48]
        data = _PACKET.pack(
            says.leap << 6 | ntp.VERSION << 3 | 4,
            0 if says.kiss else says.stratum,
            6,
            says.precision,
            _short(says.root_delay_ns),
            _short(says.root_dispersion_ns),
            says.kiss.encode() if says.kiss else says.reference_id,
            ntp.to_timestamp(t2_ns - t2_ns % grain_ns),
            int.from_bytes(origin, "big"),
            ntp.to_timestamp(t2_ns - t2_ns % grain_ns),
            ntp.to_timestamp(t3_ns - t3_ns % grain_ns),
        )
        return Reply(data, all(abs(error) <= says.admitted_ns for error in errors_ns))


def always(says: Fields) -> Callable[[int], Fields]:
    """Say the same at any time."""
    return lambda _true_ns: says


def honest_error(rng: Random, admitted_ns: int) -> Error:
    """Return an error that swings within what the server admits, in some servers to its edge."""
    amplitude_ns = admitted_ns * rng.choice((0.1, 0.5, rng.random(), 1.0))
    turn_ns = rng.uniform(300, 20_000) * _S_NS / (2 * math.pi)
    phase = rng.uniform(0, 2 * math.pi)
    return lambda true_ns: int(amplitude_ns * math.sin(phase + true_ns / turn_ns))


def _short(duration_ns: int) -> int:
    """Return 16.16 bits of seconds, rounded down."""
    return (duration_ns << 16) // _S_NS
