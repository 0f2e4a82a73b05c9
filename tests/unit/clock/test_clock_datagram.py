"""What a reply is worth, without a socket: answers, kisses, and a machine that slept meanwhile."""

from fakes.ntp_server import reply_to

from hourbook.clock.datagram import Answer, Kiss, Received, Sent, judge
from hourbook.clock.kernel import Reading
from protocols import ntp
from protocols.ntp import Rejection

COOKIE = 0x1234_5678_9ABC_DEF0
SHIFT_NS = 1_800_000_000 * 10**9
"""REALTIME - RAW, and the servers' time too."""
DRIFT_PPB = 500_000
MS = 1_000_000
SENT = Sent(COOKIE, Reading(990, SHIFT_NS + 990, 100), suspended_ns=0, raw_ns=1000)


def outcome(
    *, stamp_raw_ns: int | None = None, slept_ns: int = 0, wall_moved_ns: int = 0, **header: int
) -> Answer | Rejection | Kiss:
    """Judge a reply of a server 8 ms away that was read 30 ms after its request left."""
    middle = ntp.to_timestamp(SHIFT_NS + 8 * MS)
    fields = {"receive": middle, "transmit": middle, **header}
    reply = ntp.parse(reply_to(ntp.build_request(COOKIE), **fields))  # type: ignore[arg-type] # by name
    assert reply is not None
    received = Received(
        raw_ns=1000 + 30 * MS,
        stamp_wall_ns=None if stamp_raw_ns is None else SHIFT_NS + stamp_raw_ns,
        after=Reading(2000 + 30 * MS, SHIFT_NS + wall_moved_ns + 2000 + 30 * MS, 100),
        suspended_ns=slept_ns,
    )
    return judge(SENT, received, reply, DRIFT_PPB)


def answer_of(found: Answer | Rejection | Kiss) -> Answer:
    """Return an outcome that has to be an answer."""
    assert isinstance(found, Answer)
    return found


def test_stamp_of_the_kernel_shortens_the_delay_to_that_of_the_network() -> None:
    """16 ms on the way, 14 ms until somebody looked."""
    read, stamped = answer_of(outcome()), answer_of(outcome(stamp_raw_ns=1000 + 16 * MS))

    assert (read.is_kernel_stamped, stamped.is_kernel_stamped) == (False, True)
    assert (read.measurement.delay_ns, stamped.measurement.delay_ns) == (30 * MS, 16 * MS)
    assert stamped.half_width.total_ns < read.half_width.total_ns
    assert stamped.raw_ns == 1000 + 16 * MS


def test_doubt_about_the_stamp_is_part_of_the_half_width() -> None:
    """A clock that was slewed meanwhile: what it moved is added, and half of the brackets."""
    still = answer_of(outcome(stamp_raw_ns=1000 + 16 * MS))
    slewed = answer_of(outcome(stamp_raw_ns=1000 + 16 * MS, wall_moved_ns=10_000))

    assert still.half_width.bracket_ns == 50 + 100
    assert slewed.half_width.bracket_ns == 50 + 100 + 10_000


def test_stamp_of_a_clock_that_was_set_is_dropped() -> None:
    """The reply still counts, by our own stamp."""
    answer = answer_of(outcome(stamp_raw_ns=1000 + 16 * MS, wall_moved_ns=3_600 * 1000 * MS))

    assert not answer.is_kernel_stamped
    assert answer.raw_ns == 1000 + 30 * MS


def test_sleep_in_mid_exchange_is_worth_nothing() -> None:
    """RAW stood still, so the delay is unknown."""
    assert outcome(slept_ns=20 * MS) is Rejection.SUSPENDED


def test_foreign_reply_is_foreign_whatever_it_says() -> None:
    """A kiss of death without our cookie is none."""
    assert outcome(origin=5, stratum=0) is Rejection.ORIGIN


def test_kiss_has_its_letters() -> None:
    """With our cookie it is the server's word."""
    assert isinstance(outcome(stratum=0), Kiss)


def test_contradictory_stamps_are_rejected() -> None:
    """A server that held our request for longer than we waited for it."""
    held = {"receive": ntp.to_timestamp(SHIFT_NS), "transmit": ntp.to_timestamp(SHIFT_NS + 10**9)}

    assert outcome(**held) is Rejection.NEGATIVE_DELAY
