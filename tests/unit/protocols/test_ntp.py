"""NTP packets: what is sent, what is refused and why, and the arithmetic of one exchange."""

import dataclasses

import ntplib
import pytest
from fakes.ntp_server import reply_to

from protocols import ntp
from protocols.ntp import HalfWidth, Rejection, Reply

COOKIE = 0x0123_4567_89AB_CDEF
S_NS = 1_000_000_000
JAN_2026_NS = 1_767_225_600 * S_NS
ERA_1_NS = 2_085_978_496 * S_NS
"""2036-02-07 06:28:16 UTC: NTP's seconds are zero again."""


def reply(**fields: object) -> Reply:
    """Return a sound reply to COOKIE, but for `fields`."""
    sound = ntp.parse(reply_to(ntp.build_request(COOKIE)))
    assert sound is not None
    return dataclasses.replace(sound, **fields)  # type: ignore[arg-type]  # fields by name


def test_request_is_a_client_packet_that_tells_nothing() -> None:
    """A request is version 4, mode 3, and otherwise zero but for the cookie."""
    request = ntp.build_request(COOKIE)

    assert request == b"\x23" + bytes(39) + COOKIE.to_bytes(8, "big")


def test_ntplib_reads_our_request() -> None:
    """An independent implementation finds our request well-formed."""
    packet = ntplib.NTPPacket()

    packet.from_data(ntp.build_request(COOKIE))

    assert (packet.version, packet.mode, packet.stratum) == (4, 3, 0)


def test_parse_reads_what_ntplib_writes() -> None:
    """A packet built by an independent implementation comes out field by field."""
    packet = ntplib.NTPPacket(version=4, mode=4, tx_timestamp=3_976_214_400.5)
    packet.stratum, packet.precision, packet.poll, packet.leap = 3, -23, 6, 1
    packet.root_delay, packet.root_dispersion = 0.25, 0.125
    packet.ref_id, packet.recv_timestamp = 0x7F7F0101, 3_976_214_400.25

    parsed = ntp.parse(packet.to_data())

    assert parsed is not None
    assert (parsed.leap, parsed.version, parsed.mode, parsed.stratum) == (1, 4, 4, 3)
    assert (parsed.poll, parsed.precision) == (6, -23)
    assert (parsed.root_delay_ns, parsed.root_dispersion_ns) == (250_000_000, 125_000_000)
    assert parsed.reference_id == b"\x7f\x7f\x01\x01"
    assert parsed.transmit - parsed.receive == 1 << 30


def test_parse_returns_none_when_short() -> None:
    """47 bytes are no packet; extension fields after 48 do not matter."""
    data = reply_to(ntp.build_request(COOKIE))

    assert ntp.parse(data[:47]) is None
    assert ntp.parse(data + bytes(20)) == ntp.parse(data)


@pytest.mark.parametrize(
    ("fields", "rejection"),
    [
        ({}, None),
        ({"origin": COOKIE ^ 1}, Rejection.ORIGIN),
        ({"origin": 0}, Rejection.ORIGIN),
        ({"mode": 5}, Rejection.MODE),
        ({"mode": 3}, Rejection.MODE),
        ({"version": 3}, Rejection.VERSION),
        ({"stratum": 0, "reference_id": b"RATE"}, Rejection.KISS),
        ({"stratum": 0, "reference_id": b"RATE", "origin": 7}, Rejection.ORIGIN),
        ({"stratum": 15}, None),
        ({"stratum": 16}, Rejection.STRATUM),
        ({"leap": 2}, None),
        ({"leap": 3}, Rejection.LEAP),
        ({"receive": 0}, Rejection.TIMESTAMPS),
        ({"transmit": 0}, Rejection.TIMESTAMPS),
        ({"receive": 100 << 32, "transmit": 99 << 32}, Rejection.TIMESTAMPS),
        ({"receive": (1 << 64) - 1, "transmit": 1}, None),
        ({"precision": 1}, Rejection.PRECISION),
        ({"precision": -33}, Rejection.PRECISION),
        ({"root_delay_ns": 2 * S_NS, "root_dispersion_ns": 500_000_000}, Rejection.ROOT_DISTANCE),
        ({"root_delay_ns": 2 * S_NS, "root_dispersion_ns": 499_000_000}, None),
    ],
)
def test_check_names_what_is_wrong(fields: dict[str, object], rejection: Rejection | None) -> None:
    """Each fault of a header has its word; a foreign cookie hides every other."""
    assert ntp.check(reply(**fields), COOKIE) is rejection


@pytest.mark.parametrize(
    ("reference_id", "code"),
    [(b"RATE", "RATE"), (b"DENY", "DENY"), (b"RST\xff", "RST?"), (bytes(4), "????")],
)
def test_kiss_code_is_printable(reference_id: bytes, code: str) -> None:
    """A kiss code can be logged, whatever a server put there."""
    assert ntp.kiss_code(reply(reference_id=reference_id)) == code


def test_descriptions_are_words() -> None:
    """Leap indicators and references read as text."""
    assert ntp.describe_leap(0) == "no warning"
    assert ntp.describe_reference(reply(stratum=1, reference_id=b"GPS\0")) == (
        "Global Position System"
    )
    assert ntp.describe_reference(reply(stratum=1, reference_id=b"XYZ\0")) == "XYZ"
    assert ntp.describe_reference(reply()) == "192.0.2.1"


def test_timestamps_cross_the_era_of_2036() -> None:
    """The second after the last of era 0 is the first of era 1, for any pivot nearby."""
    last, first = ntp.to_timestamp(ERA_1_NS - S_NS), ntp.to_timestamp(ERA_1_NS)

    assert (last >> 32, first) == (0xFFFF_FFFF, 0)
    for pivot_ns in (JAN_2026_NS, ERA_1_NS - S_NS, ERA_1_NS + 10 * 365 * 86_400 * S_NS):
        assert ntp.from_timestamp(last, pivot_ns) == ERA_1_NS - S_NS
        assert ntp.from_timestamp(first, pivot_ns) == ERA_1_NS


def test_offset_and_delay_are_those_of_the_rfc() -> None:
    """A server 5 s ahead, 30 ms away, that holds the packet for 10 ms."""
    t1, t2, t3, t4 = 0, 5 * S_NS + 15_000_000, 5 * S_NS + 25_000_000, 40_000_000

    assert ntp.offset_ns(t1, t2, t3, t4) == 5 * S_NS
    assert ntp.round_trip_ns(t1, t2, t3, t4) == 30_000_000


def measured(held_ns: int, round_trip_ns: int, wall_ns: int) -> ntp.Measurement | Rejection:
    """Measure a server that got the request at JAN_2026 and held it for `held_ns`."""
    answer = reply(
        receive=ntp.to_timestamp(JAN_2026_NS), transmit=ntp.to_timestamp(JAN_2026_NS + held_ns)
    )
    return ntp.measure(answer, 7000, 7000 + round_trip_ns, wall_ns, 100)


def test_measure_gives_utc_on_arrival() -> None:
    """UTC on arrival is the server's transmit stamp plus half the delay."""
    result = measured(10_000_000, 30_000_000, JAN_2026_NS)

    assert result == ntp.Measurement(JAN_2026_NS + 20_000_000, 20_000_000)


def test_measure_survives_a_wall_clock_of_1970() -> None:
    """A machine without a battery does not put the server into another era."""
    assert measured(0, 2_000_000, 0) == measured(0, 2_000_000, JAN_2026_NS)


def test_measure_rejects_a_server_that_held_longer_than_the_round_trip() -> None:
    """Rounding is forgiven, a contradiction is not."""
    assert measured(10_000_000, 9_500_000, JAN_2026_NS) == (JAN_2026_NS + 9_750_000, 100)
    assert measured(10_000_000, 8_000_000, JAN_2026_NS) is Rejection.NEGATIVE_DELAY


def test_half_width_adds_every_term_rounded_up() -> None:
    """No term of the bound is lost, and none is rounded down."""
    answer = reply(root_delay_ns=3, root_dispersion_ns=7, precision=-30)

    width = HalfWidth.of(
        answer, 2001, 1001, own_precision_ns=100, bracket_ns=31, max_drift_ppb=500_000
    )

    assert width == (501, 2, 7, 1, 100, 16, 30_518, 2)
    assert width.total_ns == 501 + 2 + 7 + 1 + 100 + 16 + 30_518 + 2
