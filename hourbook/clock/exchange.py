"""Edge: one request and its one reply over a connected UDP socket, with the clocks around them.

A new socket for each exchange gives a new source port, which together with the cookie makes a reply
hard to forge; a connected one hears only the address that was asked. The request is stamped before
it leaves and the reply after it came, both on CLOCK_MONOTONIC_RAW, so that whatever the stamps cost
lengthens the measured delay and with it the interval, never the reverse. Where the kernel stamps
arrivals, its stamp stands for ours if the clocks around it agree (:mod:`hourbook.clock.arrival`).

What a reply is worth is decided in :mod:`hourbook.clock.datagram`.
"""

import contextlib
import secrets
import socket
import struct
import time
from typing import Any, Final

from hourbook.clock.datagram import Answer, Kiss, Received, Sent, judge
from hourbook.clock.kernel import Reading
from hourbook.clock.polling import Address
from protocols import ntp
from protocols.ntp import Rejection, Reply

__all__ = ["Exchange", "keep_stamping", "read_clocks", "suspended_ns"]

DATAGRAMS_MAX: Final = 16
"""Datagrams heard in one exchange; more than this is somebody's flood."""
_DATAGRAM_BYTES_MAX: Final = 1024
_SO_TIMESTAMPNS: Final = 35
"""<asm-generic/socket.h>; Python names it only where its C library does."""
_TIMESPEC: Final = struct.Struct("@qq")
_READINGS: Final = 3
_S_NS: Final = 1_000_000_000


class Exchange:
    """One exchange; sends in its constructor. Watch `fd` and call :meth:`receive`.

    Attributes:
        reply: header of the last datagram that carried our cookie, None before one did.

    Args:
        address: whom to ask.
        max_drift_ppb: how far our oscillator may be off during the exchange.

    Raises:
        OSError: no route, no permission, no socket.
    """

    def __init__(self, address: Address, max_drift_ppb: int) -> None:
        self._max_drift_ppb = max_drift_ppb
        self.reply: Reply | None = None
        self._heard = 0
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((address.host, address.port))
            _ask_for_stamps(self._socket)
            cookie = secrets.randbits(64) or 1
            request = ntp.build_request(cookie)
            # The last thing that is read: whatever comes later counts as delay.
            self._sent = Sent(cookie, read_clocks(), suspended_ns(), raw_ns=_raw_ns())
            self._socket.send(request)
        except OSError:
            self._socket.close()
            raise

    @property
    def fd(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    @property
    def is_flooded(self) -> bool:
        """Whether more came than one exchange may cost."""
        return self._heard >= DATAGRAMS_MAX

    def receive(self) -> Answer | Rejection | Kiss | None:
        """Read one datagram; None when there is none.

        A datagram that is SHORT or whose ORIGIN is wrong is not from the server that was asked:
        keep listening. Every other outcome ends the exchange.

        Raises:
            OSError: nobody listens there (an ICMP error).
        """
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _DATAGRAM_BYTES_MAX, socket.CMSG_SPACE(_TIMESPEC.size)
            )
        except BlockingIOError:
            return None
        raw_ns = _raw_ns()
        received = Received(raw_ns, _stamp_wall_ns(ancillary), read_clocks(), suspended_ns())
        self._heard += 1
        reply = ntp.parse(data)
        if reply is None:
            return Rejection.SHORT
        outcome = judge(self._sent, received, reply, self._max_drift_ppb)
        if outcome is not Rejection.ORIGIN:
            self.reply = reply
        return outcome

    def close(self) -> None:
        """Close the socket: a second reply to the same request finds nobody."""
        self._socket.close()


def keep_stamping() -> socket.socket | None:
    """Return a socket that keeps the kernel stamping for as long as it is open.

    Linux stamps arrivals only while some socket wants that, and begins a moment after the first has
    said so (net_enable_timestamp, net/core/dev.c): a reply that is there sooner is stamped when it
    is read. Who has this one open finds the stamps on, however quickly a server answers. None
    where no such socket is to be had, as without IPv4: the stamps are a help and no need.
    """
    try:
        kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return None
    _ask_for_stamps(kept)
    return kept


def read_clocks() -> Reading:
    """Read CLOCK_REALTIME between two readings of CLOCK_MONOTONIC_RAW; the tightest of three."""
    readings = []
    for _ in range(_READINGS):
        before_ns = _raw_ns()
        wall_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after_ns = _raw_ns()
        readings.append(
            Reading((before_ns + after_ns) // 2, wall_ns, bracket_ns=after_ns - before_ns)
        )
    return min(readings, key=lambda reading: reading.bracket_ns)


def suspended_ns() -> int:
    """Return how long this machine has been suspended since boot.

    The tightest of three: a process that is preempted between two readings has not slept.
    """
    readings = []
    for _ in range(_READINGS):
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        readings.append((after_ns - before_ns, boot_ns - (before_ns + after_ns) // 2))
    return min(readings)[1]


def _ask_for_stamps(asking: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a kernel without stamps: ours will do
        asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def _stamp_wall_ns(ancillary: list[tuple[int, int, Any]]) -> int | None:
    """Return the kernel's stamp of a datagram, None where it gave none that we can read."""
    for level, kind, data in ancillary:
        if (level, kind, len(data)) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS, _TIMESPEC.size):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds * _S_NS + nanoseconds)
    return None


def _raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
