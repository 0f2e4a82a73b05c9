"""Names, reference ids and one exchange: the edges of the sampler, on real sockets."""

import dataclasses
import errno
import hashlib
import select
import socket
import sys
import time

import pytest
from fakes.ntp_server import has_ipv6_loopback, reply_to, scripted_server
from waiting import wait_until

from hourbook.clock import exchange, reference
from hourbook.clock.datagram import Answer, Kiss
from hourbook.clock.exchange import Exchange, keep_stamping
from hourbook.clock.polling import Address
from hourbook.clock.reference import split_name
from hourbook.clock.resolver import Resolver
from protocols import ntp
from protocols.ntp import Rejection

ROUNDS_MAX = 50
"""A kernel that was not stamping begins a moment after it was asked to."""

Outcome = Answer | Kiss | Rejection


def address_of(name: str) -> Address:
    """Return the address of a scripted server."""
    host, port = split_name(name)
    return Address(host, port, is_loopback=True)


def outcomes(name: str, count: int) -> list[Outcome]:
    """Ask once and return the first outcomes."""
    asked = Exchange(address_of(name), max_drift_ppb=500_000)
    heard: list[Outcome] = []
    while len(heard) < count:
        assert select.select([asked.fd], [], [], 5)[0], f"only {heard} within 5 s"
        outcome = asked.receive()
        assert outcome is not None
        heard.append(outcome)
    asked.close()
    return heard


def test_honest_server_gives_an_answer_that_contains_the_truth() -> None:
    """UTC by our own wall clock lies within the half-width."""
    with scripted_server(lambda request, _: [reply_to(request)]) as server:
        (answer,) = outcomes(server.name, 1)

    assert isinstance(answer, Answer)
    assert abs(answer.realtime_offset_ns) <= answer.half_width.total_ns
    assert answer.half_width.root_dispersion_ns >= 1_000_000
    assert 0 < answer.measurement.delay_ns < 1_000_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps arrivals like this")
def test_kernel_tells_the_arrival_of_a_reply_that_is_read_late() -> None:
    """A process that was busy for a while measures the delay of the network, not its own."""
    delays_ns = []
    kept = keep_stamping()
    assert kept is not None
    with (
        kept,
        scripted_server(lambda request, _: [reply_to(request)]) as server,
    ):
        for _ in range(ROUNDS_MAX):
            sent_ns = time.monotonic_ns()
            asked = Exchange(address_of(server.name), max_drift_ppb=500_000)
            select.select([asked.fd], [], [], 5)
            began_ns = time.monotonic_ns()
            while time.monotonic_ns() < began_ns + 50_000_000:
                pass  # other work
            answer = asked.receive()
            asked.close()

            assert isinstance(answer, Answer)
            assert answer.is_kernel_stamped
            assert abs(answer.realtime_offset_ns) <= answer.half_width.total_ns
            delays_ns.append(answer.measurement.delay_ns)
            if delays_ns[-1] <= began_ns - sent_ns + 1_000_000:  # however slow that was
                break
        else:
            pytest.fail(f"Expected one stamp of an arrival, got {delays_ns} ns of delay")


def test_stamps_are_no_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no IPv4 nothing keeps the kernel stamping, and that is no failure."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)

    assert keep_stamping() is None


def test_clock_that_is_set_in_mid_exchange_costs_only_the_stamp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stamp is on neither side of the step for certain; the process's own one stands."""
    read = exchange.read_clocks
    with scripted_server(lambda request, _: [reply_to(request)]) as server:
        asked = Exchange(address_of(server.name), max_drift_ppb=500_000)
        select.select([asked.fd], [], [], 5)
        stepped = dataclasses.replace(read(), wall_ns=time.time_ns() + 3_600 * 10**9)
        monkeypatch.setattr(exchange, "read_clocks", lambda: stepped)
        answer = asked.receive()
        asked.close()

    assert isinstance(answer, Answer)
    assert not answer.is_kernel_stamped


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_ipv6_server_is_measured_like_any_other() -> None:
    """The same exchange over ::1, stamps and all."""
    with scripted_server(lambda request, _: [reply_to(request)], host="::1") as server:
        (answer,) = outcomes(server.name, 1)

    assert isinstance(answer, Answer)
    assert abs(answer.realtime_offset_ns) <= answer.half_width.total_ns


def test_foreign_datagrams_do_not_end_an_exchange() -> None:
    """Garbage and a wrong cookie first: the true answer still counts."""

    def script(request: bytes, _: int) -> list[bytes]:
        return [b"garbage", reply_to(request, origin=77, offset_ns=10**12), reply_to(request)]

    with scripted_server(script) as server:
        heard = outcomes(server.name, 3)

    assert heard[:2] == [Rejection.SHORT, Rejection.ORIGIN]
    assert isinstance(heard[2], Answer)
    assert abs(heard[2].realtime_offset_ns) < 1_000_000_000


def test_kiss_carries_its_code() -> None:
    """A kiss of death with our cookie."""

    def script(request: bytes, _: int) -> list[bytes]:
        return [reply_to(request, stratum=0, reference_id=b"DENY")]

    with scripted_server(script) as server:
        assert outcomes(server.name, 1) == [Kiss("DENY")]


def test_every_request_has_a_new_port_and_cookie() -> None:
    """What one exchange taught an attacker is worth nothing in the next."""
    with scripted_server(lambda request, _: [reply_to(request)]) as server:
        ports = set()
        for _ in range(8):
            asked = Exchange(address_of(server.name), max_drift_ppb=500_000)
            with socket.socket(fileno=asked.fd) as borrowed:
                ports.add(borrowed.getsockname()[1])
                borrowed.detach()
            asked.close()
        wait_until(lambda: len(server.requests) == 8, 5, "eight requests")

    assert len({request[40:] for request in server.requests}) == 8
    assert len(ports) > 1


def test_nobody_listening_is_an_os_error() -> None:
    """A closed port answers with an ICMP error, at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked = Exchange(Address("127.0.0.1", port, is_loopback=True), max_drift_ppb=500_000)

    assert select.select([asked.fd], [], [], 5)[0]
    with pytest.raises(ConnectionRefusedError):
        asked.receive()
    asked.close()


def test_clocks_are_read_together() -> None:
    """The wall clock is read within microseconds of the raw one."""
    before_ns = time.time_ns()

    reading = exchange.read_clocks()

    assert before_ns <= reading.wall_ns <= time.time_ns()
    assert 0 < reading.bracket_ns < 100_000_000
    assert exchange.suspended_ns() >= -1_000_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pool.ntp.org", ("pool.ntp.org", 123)),
        ("host:11123", ("host", 11123)),
        ("[2001:db8::1]", ("2001:db8::1", 123)),
        ("[2001:db8::1]:124", ("2001:db8::1", 124)),
    ],
)
def test_names_split_into_host_and_port(name: str, expected: tuple[str, int]) -> None:
    """The port is 123 unless given."""
    assert split_name(name) == expected


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("127.0.0.1:11123", [Address("127.0.0.1", 11123, is_loopback=True)]),
        ("[::1]:123", [Address("::1", 123, is_loopback=True)]),
        ("192.0.2.1", [Address("192.0.2.1", 123, is_loopback=False)]),
    ],
)
def test_resolver_finds_addresses(name: str, found: list[Address]) -> None:
    """Literal addresses come back as they are, through the same thread and pipe."""
    resolver = Resolver()
    resolver.look_up(name)

    assert select.select([resolver.fd], [], [], 5)[0]
    assert resolver.results() == [(name, found)]
    resolver.close()


@pytest.mark.parametrize("name", ["name.invalid", "a" * 70 + ".org", "host:99999"])
def test_resolver_says_why_there_is_none(name: str) -> None:
    """A name that does not exist or cannot be one yields words, not an exception."""
    resolver = Resolver()
    resolver.look_up(name)

    results = wait_until(resolver.results, 20, f"the look-up of {name}")

    assert results[0][0] == name
    assert isinstance(results[0][1], str)
    resolver.close()


def test_identity_is_what_clients_carry() -> None:
    """IPv4 as it is; IPv6 by the first bytes of its MD5; nobody can follow our loopback."""
    packed = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()

    assert reference.identity_of("192.0.2.1") == "c0000201"
    assert reference.identity_of("2001:db8::1") == md5[:8]
    assert reference.identity_of("127.0.0.1") == reference.identity_of("::1") == ""


@pytest.mark.parametrize(
    ("stratum", "reference_id", "upstream"),
    [
        (2, b"\xc0\0\2\1", "c0000201"),
        (1, b"GPS\0", ""),
        (3, b"\x7f\x7f\1\1", ""),
        (3, b"\x7f\0\0\1", ""),
    ],
)
def test_upstream_is_empty_for_a_clock_of_ones_own(
    stratum: int, reference_id: bytes, upstream: str
) -> None:
    """Two servers with a GPS, or with an undisciplined clock, are two witnesses."""
    data = reply_to(ntp.build_request(1), stratum=stratum, reference_id=reference_id)
    reply = ntp.parse(data)

    assert reply is not None
    assert reference.upstream_of(reply) == upstream


@pytest.mark.parametrize(
    ("stratum", "reference_id", "is_own"),
    [
        (10, b"\x7f\x7f\1\1", True),
        (1, b"\x7f\x7f\1\1", False),  # the letters of a reference clock, whatever they spell
        (4, b"\x7f\0\0\1", False),
        (2, b"\xc0\0\2\1", False),
    ],
)
def test_undisciplined_server_is_told_from_one_that_follows_its_loopback(
    stratum: int, reference_id: bytes, *, is_own: bool
) -> None:
    """LOCL is no source of time; a proxy on 127.0.0.1 may be one."""
    reply = ntp.parse(reply_to(ntp.build_request(1), stratum=stratum, reference_id=reference_id))

    assert reply is not None
    assert reference.follows_own_clock(reply) is is_own


@pytest.mark.parametrize("era_s", [-3600, 3600])
def test_server_on_either_side_of_2036_is_measured_to_its_second(era_s: int) -> None:
    """NTP's seconds begin anew on 7 February 2036; a server beyond that is a decade ahead."""
    rollover_s = (1 << 32) - 2_208_988_800
    ahead_ns = (rollover_s + era_s) * 10**9 - time.time_ns()
    with scripted_server(lambda request, _: [reply_to(request, offset_ns=ahead_ns)]) as server:
        (answer,) = outcomes(server.name, 1)

    assert isinstance(answer, Answer)
    assert abs(answer.realtime_offset_ns - ahead_ns) <= answer.half_width.total_ns
