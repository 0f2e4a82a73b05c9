"""The publisher as an actor: real timerfd, real segment, real process, real kill."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from fakes.clock_actors import ActorProcess
from fakes.reactor import TestReactor
from fakes.time_pages import raw_ns
from waiting import wait_until

from actors.base import ActorContext
from actors.config import ShmPublisherConfig
from actors.contract import Request
from actors.shm_publisher import ShmPublisher
from hourbook.clock import surroundings
from hourbook.clock_face import Clock, Status
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire
from protocols.clock_messages import ESTIMATE_KIND, ClockEstimate

pytestmark = pytest.mark.live

UTC = 1_800_000_000_000_000_000


def estimate(**changes: Any) -> ClockEstimate:
    """Return a synchronized estimate as of now."""
    now_ns = raw_ns()
    made = ClockEstimate(
        as_of_raw_ns=now_ns, utc_ns=UTC + now_ns, bounded=True, earliest_off_ns=-1_000_000,
        latest_off_ns=1_000_000, growth_ppb=50_000, status=1, source="ntp",
        last_sample_raw_ns=now_ns, poll_s=16, samples=1,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


class Sender:
    """Stands in for clock_model: tells estimates to whatever publisher lives now."""

    def __init__(self, home: Home) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.RECONNECT_IVL, 5)
        self._dealer.connect(home.mailbox_uri("shm_publisher"))

    def tell_until(self, predicate: Callable[[], object]) -> None:
        """Tell the newest estimate until `predicate` holds."""

        def told() -> object:
            body = msgspec.Raw(msgspec.msgpack.encode(estimate()))
            envelope = wire.Envelope(kind=ESTIMATE_KIND, id=1, src="clock_model", body=body)
            self._dealer.send(wire.encode(envelope))
            return predicate()

        wait_until(told, 10, "the publisher to publish")

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)


class Bench:
    """One publisher in the test's own process."""

    def __init__(self, home: Home, **config: Any) -> None:
        context = ActorContext("shm_publisher", 1, str(home.path), str(home.run_dir))
        self.reactor = TestReactor()
        self.actor = ShmPublisher(
            ShmPublisherConfig(**config), context, home, SystemTimebase(), self.reactor
        )
        self.actor.init()

    def hear(self, news: ClockEstimate) -> None:
        """Deliver an estimate."""
        envelope = wire.Envelope(kind=ESTIMATE_KIND, id=1, src="clock_model")
        request = Request(b"", envelope, news, 0, lambda _, __: None)
        self.actor.handlers()[ESTIMATE_KIND].function(request)

    def turn(self, predicate: Callable[[], object], what: str) -> None:
        """Let the loop turn."""
        self.reactor.run_until(predicate, 10, what)


@pytest.fixture
def publisher(home: Home) -> Iterator[Bench]:
    """Return a publisher at 500 Hz."""
    made = Bench(home, freq_hz=500.0)
    yield made
    made.actor.stop()


def test_nothing_is_published_without_an_estimate(publisher: Bench, home: Home) -> None:
    """Ready does not wait for NTP, and the page says UNKNOWN until there is something to say."""
    assert Clock(home).now().status is Status.UNKNOWN

    publisher.hear(estimate())

    assert Clock(home).now().status is Status.SYNCHRONIZED


def test_model_that_has_just_begun_takes_nothing_back(publisher: Bench, home: Home) -> None:
    """A killed model's last interval holds on until its successor has measured."""
    publisher.hear(estimate())
    epoch = Clock(home).snapshot().epoch

    publisher.hear(estimate(bounded=False, status=0, samples=0, source="none", is_step=True))

    assert Clock(home).now().status is Status.SYNCHRONIZED
    assert Clock(home).snapshot().epoch == epoch
    publisher.hear(estimate(status=2, source="kernel"))
    assert Clock(home).now().status is Status.FREE_RUNNING
    assert Clock(home).snapshot().epoch == epoch + 1


def test_publications_follow_the_timerfd(publisher: Bench, home: Home) -> None:
    """Ticks re-anchor the page; a reload changes the pace in place."""
    clock = Clock(home)
    publisher.hear(estimate())

    publisher.turn(lambda: clock.snapshot().publications >= 20, "20 publications")

    assert clock.snapshot().age_ns < 5_000_000_000
    assert publisher.actor.reload({"freq_hz": 1.0})
    assert not publisher.actor.reload({"freq_hz": 1.0, "vmclock_path": "/elsewhere"})
    assert publisher.actor.snapshot()["publisher_publications_total"] >= 20


def test_estimates_of_the_past_and_the_future_are_not_taken(publisher: Bench, home: Home) -> None:
    """A dead model's last words come late; a foreign RAW comes early."""
    publisher.hear(estimate())
    publisher.hear(estimate(as_of_raw_ns=1, utc_ns=5))
    publisher.hear(estimate(as_of_raw_ns=raw_ns() + 10**12, utc_ns=5))

    assert Clock(home).time_ns() > UTC
    assert publisher.reactor.counters["publisher_estimates_from_the_future_total"] == 1


def test_suspend_disrupts_until_the_model_knows(
    publisher: Bench, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No interval until an estimate comes that is from after it; counted by cause."""
    clock = Clock(home)
    before = estimate()
    publisher.hear(before)
    look = surroundings.look_around

    def slept(*arguments: Any) -> Any:
        seen = look(*arguments)
        return replace(seen, suspended_ns=seen.suspended_ns + 10**9)

    monkeypatch.setattr("actors.shm_publisher.look_around", slept)
    publisher.hear(before)
    disrupted = clock.snapshot()
    monkeypatch.undo()
    publisher.hear(estimate(disruptions=1))

    assert disrupted.status is Status.DISRUPTED
    assert disrupted.boottime_minus_monotonic_ns >= 10**9 - 10**8
    assert publisher.actor.snapshot()['publisher_disruptions_total{cause="suspend"}'] >= 1
    publisher.hear(estimate(disruptions=1, last_sample_raw_ns=raw_ns()))
    assert clock.now().status is Status.SYNCHRONIZED


def test_vmclock_marker_disrupts(home: Home, tmp_path: Path) -> None:
    """A migration shows in the marker; a plain file serves as the device."""
    device = tmp_path / "vmclock0"
    device.write_bytes(struct.pack("<4s12xQ80x", b"VCLK", 7))
    bench = Bench(home, vmclock_path=str(device))
    first = estimate()
    bench.hear(first)
    with device.open("r+b") as file:
        file.seek(16)
        file.write((8).to_bytes(8, "little"))

    bench.hear(first)

    seen = Clock(home).snapshot()
    assert (seen.status, seen.vmclock_marker) == (Status.DISRUPTED, 8)
    bench.hear(estimate())
    assert Clock(home).now().status is Status.SYNCHRONIZED
    bench.actor.stop()


def test_killed_publisher_resumes_its_page(home: Home) -> None:
    """After kill -9, a second life: same epoch, rising counters, and time never ran back."""
    first = ActorProcess(home, "actors.shm_publisher:ShmPublisher", "shm_publisher", {})
    wait_until(home.segment.exists, 10, "the segment")
    mailbox = Sender(home)
    clock = Clock(home)
    mailbox.tell_until(lambda: clock.snapshot().publications > 5)
    before = clock.snapshot()
    first.kill()

    second = ActorProcess(home, "actors.shm_publisher:ShmPublisher", "shm_publisher", {})
    mailbox.tell_until(lambda: clock.snapshot().publications > before.publications + 5)

    after = clock.snapshot()
    assert after.epoch == before.epoch == 1
    assert after.time_ns > before.time_ns
    assert second.stop() == 0
    mailbox.close()
