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
from hourbook.clock.surroundings import Lookout
from hourbook.faces.clock import UNBOUNDED_LATEST_NS, Clock, Status
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire
from protocols.clock_messages import DISRUPTED_KIND, ESTIMATE_KIND, ClockEstimate, Disrupted
from shm import segment

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
        request = Request(b"", envelope, news, lambda _, __: None)
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


def told(bench: Bench) -> list[Disrupted]:
    """Return what the model was told of."""
    return [b for b in bench.reactor.bodies(DISRUPTED_KIND) if isinstance(b, Disrupted)]


@pytest.mark.parametrize(
    ("cause", "change"),
    [
        ("suspend", {"suspended_ns": 10**12}),
        ("migration", {"vmclock_marker": 8}),
        ("clocksource", {"clocksource": "other"}),
        ("external_step", {"realtime_minus_raw_ns": 5}),
        ("boot", {"boot_id": "other"}),
    ],
)
def test_disruption_is_published_at_once_and_told_until_heard(
    publisher: Bench, home: Home, monkeypatch: pytest.MonkeyPatch, cause: str, change: Any
) -> None:
    """No interval until an estimate says that the model has heard; counted by cause."""
    clock = Clock(home)
    publisher.hear(estimate())
    look = Lookout.look
    if cause == "boot":
        with home.segment.open("r+b") as file:
            file.seek(32)
            file.write(bytes(16))
    calm = replace(publisher.actor._surroundings, vmclock_marker=7)
    monkeypatch.setattr(publisher.actor, "_surroundings", calm)
    monkeypatch.setattr(
        Lookout, "look", lambda self: replace(look(self), **{"vmclock_marker": 7, **change})
    )

    publisher.turn(lambda: told(publisher), "the next look")
    (first,) = told(publisher)
    disrupted = clock.now()
    publisher.hear(estimate())
    deaf = clock.now()
    publisher.hear(estimate(status=3, bounded=False, disrupted_raw_ns=first.raw_ns))
    publisher.hear(estimate(disrupted_raw_ns=first.raw_ns))

    assert first.cause == cause
    # The line of another boot means nothing here: there is no page until the model speaks.
    at_once = Status.UNKNOWN if cause == "boot" else Status.DISRUPTED
    assert disrupted.status is at_once
    assert disrupted.latest_ns == UNBOUNDED_LATEST_NS
    assert deaf.status is Status.DISRUPTED
    assert told(publisher) == [first, first]
    assert publisher.actor.snapshot()[f'publisher_disruptions_total{{cause="{cause}"}}'] == 1
    monkeypatch.undo()
    seen = clock.snapshot()
    assert seen.published_status == Status.SYNCHRONIZED
    assert seen.vmclock_marker == change.get("vmclock_marker", 7)


def test_vmclock_marker_of_a_plain_file_disrupts(home: Home, tmp_path: Path) -> None:
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
    assert [news.cause for news in told(bench)] == ["migration", "migration"]
    bench.hear(estimate(disrupted_raw_ns=told(bench)[0].raw_ns))
    assert Clock(home).now().status is Status.SYNCHRONIZED
    bench.actor.stop()


def test_successor_sees_what_happened_while_nobody_looked(home: Home, tmp_path: Path) -> None:
    """The page tells of which marker it was written under; its line is disowned at once."""
    device = tmp_path / "vmclock0"
    device.write_bytes(struct.pack("<4s12xQ80x", b"VCLK", 7))
    first = Bench(home, vmclock_path=str(device))
    first.hear(estimate())
    first.actor.stop()
    before = Clock(home).now()
    device.write_bytes(struct.pack("<4s12xQ80x", b"VCLK", 8))

    second = Bench(home, vmclock_path=str(device))

    after = Clock(home).now()
    assert (before.status, after.status) == (Status.SYNCHRONIZED, Status.DISRUPTED)
    assert after.time_ns > before.time_ns
    assert after.latest_ns == UNBOUNDED_LATEST_NS
    assert [news.cause for news in told(second)] == ["migration"]
    second.actor.stop()


def test_segment_of_another_boot_is_replaced_and_counted(home: Home) -> None:
    """What lies there counts on another RAW: a new file, no page, and the model is told."""
    segment.create(home.segment, bytes(16))
    inode = home.segment.stat().st_ino

    bench = Bench(home)

    assert home.segment.stat().st_ino != inode
    assert [news.cause for news in told(bench)] == ["boot"]
    assert Clock(home).now().status is Status.UNKNOWN
    bench.hear(estimate(disrupted_raw_ns=told(bench)[0].raw_ns))
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
