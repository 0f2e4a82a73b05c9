"""What a datagram that came for a request is worth: an answer, a kiss of death, or why nothing.

Pure; the edge around it is :mod:`hourbook.clock.exchange`. All instants are on
CLOCK_MONOTONIC_RAW, but for the stamps of the kernel, which are on CLOCK_REALTIME and converted by
the clock pairs before and after (:mod:`hourbook.clock.arrival`).

A suspend during the exchange would be missing from RAW; BOOTTIME counts it, and the exchange is
worth nothing.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from hourbook.clock.arrival import Arrival, kernel_arrival
from hourbook.clock.kernel import Reading
from protocols import ntp
from protocols.ntp import HalfWidth, Measurement, Rejection, Reply

__all__ = ["MAX_DRIFT_PPB", "OWN_PRECISION_NS", "Answer", "Kiss", "Received", "Sent", "judge"]

SUSPEND_NS_MIN: Final = 10_000_000
"""Less than this between BOOTTIME and MONOTONIC is how long reading both took."""
MAX_DRIFT_PPB: Final = 500_000
"""Of our oscillator, over the milliseconds of one exchange."""
OWN_PRECISION_NS: Final = 100
"""Reading CLOCK_MONOTONIC_RAW takes less."""


class Sent(NamedTuple):
    """A request under way.

    Attributes:
        cookie: its transmit stamp.
        before: both clocks before it left.
        suspended_ns: BOOTTIME - MONOTONIC then.
        raw_ns: when it left, at the latest.
    """

    cookie: int
    before: Reading
    suspended_ns: int
    raw_ns: int


class Received(NamedTuple):
    """A datagram that came.

    Attributes:
        raw_ns: when it was read.
        stamp_wall_ns: when the kernel had it, None where it does not tell.
        after: both clocks after that.
        suspended_ns: BOOTTIME - MONOTONIC then.
    """

    raw_ns: int
    stamp_wall_ns: int | None
    after: Reading
    suspended_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that counts, and what it says.

    Attributes:
        reply: its header.
        measurement: UTC at `raw_ns`, and the delay.
        half_width: what the measurement may hide.
        raw_ns: when it arrived.
        realtime_offset_ns: UTC minus CLOCK_REALTIME then.
        is_kernel_stamped: the kernel's stamp tells when it arrived, not ours.
    """

    reply: Reply
    measurement: Measurement
    half_width: HalfWidth
    raw_ns: int
    realtime_offset_ns: int
    is_kernel_stamped: bool


class Kiss(NamedTuple):
    """A kiss of death whose cookie was ours: the server asks for less, or for nothing more."""

    code: str


def judge(
    sent: Sent, received: Received, reply: Reply, max_drift_ppb: int
) -> Answer | Rejection | Kiss:
    """Return what a reply is worth.

    Args:
        sent: the request that was sent to where the reply came from.
        received: how the reply came.
        reply: its header.
        max_drift_ppb: how far our oscillator may be off during the exchange.
    """
    rejection = ntp.check(reply, sent.cookie)
    if rejection is Rejection.KISS:
        return Kiss(ntp.kiss_code(reply))
    if rejection is not None:
        return rejection
    if received.suspended_ns - sent.suspended_ns > SUSPEND_NS_MIN:
        return Rejection.SUSPENDED
    stamped = _stamped(sent, received)
    raw_ns, error_ns = stamped or Arrival(received.raw_ns, error_ns=0)
    after = received.after
    measured = ntp.measure(reply, sent.raw_ns, raw_ns, after.wall_ns, OWN_PRECISION_NS)
    if isinstance(measured, Rejection):
        return measured
    half_width = HalfWidth.of(
        reply,
        raw_ns - sent.raw_ns,
        measured.delay_ns,
        own_precision_ns=OWN_PRECISION_NS,
        bracket_ns=after.bracket_ns + 2 * error_ns,
        max_drift_ppb=max_drift_ppb,
    )
    return Answer(
        reply=reply,
        measurement=measured,
        half_width=half_width,
        raw_ns=raw_ns,
        realtime_offset_ns=measured.utc_ns - (after.wall_ns - (after.raw_ns - raw_ns)),
        is_kernel_stamped=stamped is not None,
    )


def _stamped(sent: Sent, received: Received) -> Arrival | None:
    if received.stamp_wall_ns is None:
        return None
    return kernel_arrival(
        received.stamp_wall_ns, sent.before, received.after, sent.raw_ns, received.raw_ns
    )
