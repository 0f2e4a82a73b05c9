"""What holds for every time stamp and every exchange."""

from hypothesis import given
from hypothesis import strategies as st

from protocols import ntp
from protocols.ntp import HalfWidth, Rejection

S_NS = 1_000_000_000
YEAR_NS = 365 * 86_400 * S_NS
utc_ns = st.integers(min_value=0, max_value=130 * YEAR_NS)
cookies = st.integers(min_value=1, max_value=(1 << 64) - 1)


@given(utc_ns, st.integers(min_value=-67 * YEAR_NS, max_value=67 * YEAR_NS))
def test_timestamp_round_trips_for_any_pivot_within_67_years(moment: int, away: int) -> None:
    """64 bits of NTP hold a nanosecond, and the era is found from half an era away."""
    assert ntp.from_timestamp(ntp.to_timestamp(moment), moment + away) == moment


@given(st.binary(min_size=0, max_size=200), cookies)
def test_any_datagram_is_judged(data: bytes, cookie: int) -> None:
    """Random bytes are short or foreign; nothing raises."""
    reply = ntp.parse(data)

    assert (reply is None) == (len(data) < 48)
    assert reply is None or ntp.check(reply, cookie) in set(Rejection) | {None}
    assert reply is None or len(ntp.kiss_code(reply)) == 4


@given(
    utc_at_send=st.integers(ntp.WALL_NS_MIN, 130 * YEAR_NS),
    there_ns=st.integers(0, S_NS),
    held_ns=st.integers(0, S_NS),
    back_ns=st.integers(0, S_NS),
    server_error_ns=st.integers(-S_NS, S_NS),
)
def test_truth_is_inside_every_measurement_of_an_honest_server(
    utc_at_send: int, there_ns: int, held_ns: int, back_ns: int, server_error_ns: int
) -> None:
    """However lopsided the path, UTC is within the half-width when the server admits its error."""
    t2 = utc_at_send + there_ns + server_error_ns
    sent_raw_ns = 5 * S_NS
    received_raw_ns = sent_raw_ns + there_ns + held_ns + back_ns
    reply = ntp.Reply(
        leap=0, version=4, mode=4, stratum=1, poll=6, precision=-30, root_delay_ns=0,
        root_dispersion_ns=abs(server_error_ns), reference_id=b"GPS\0", reference=0, origin=1,
        receive=ntp.to_timestamp(t2), transmit=ntp.to_timestamp(t2 + held_ns),
    )  # fmt: skip

    measured = ntp.measure(reply, sent_raw_ns, received_raw_ns, utc_at_send, 100)

    assert isinstance(measured, ntp.Measurement)
    width = HalfWidth.of(
        reply, received_raw_ns - sent_raw_ns, measured.delay_ns,
        own_precision_ns=100, bracket_ns=0, max_drift_ppb=0,
    )  # fmt: skip
    truth_ns = utc_at_send + there_ns + held_ns + back_ns
    assert abs(measured.utc_ns - truth_ns) <= width.total_ns
