"""The ClockBound export: its bound, its status, and what a real client reads."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clockbound_wheel import import_clockbound
from fakes.reactor import TestReactor
from fakes.time_pages import page_now, raw_ns, state

from actors.base import ActorContext
from actors.clockbound_export import PERIOD_S, ClockBoundExport
from actors.config import ShmPublisherConfig
from actors.contract import Request
from actors.shm_publisher import ShmPublisher
from hourbook.clock import clockbound
from hourbook.clock.clockbound import BOUND_NS_MAX, REALTIME_SLEW_PPB, Clocks
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire
from protocols.clock_messages import ESTIMATE_KIND, ClockEstimate

pytestmark = pytest.mark.live

MS = 1_000_000
S = 1_000_000_000
FIELDS = struct.Struct("=IIIHHqqqqqQIiB7s")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """Return the package `clockbound`."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is None:
        return import_clockbound(tmp_path_factory.mktemp("clockbound"))
    return import_clockbound(cache.mkdir("clockbound"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where to publish."""
    return tmp_path / "shm0"


def read(path: Path) -> tuple[Any, ...]:
    """Return the fields of the segment."""
    return FIELDS.unpack(path.read_bytes())


def test_bound_holds_utc_about_realtime() -> None:
    """Whatever REALTIME says: the far end of the interval, grown, and the reading's own bracket."""
    page = page_now(as_of_raw_ns=10 * S, utc_at_as_of_ns=1000 * S, rate=0)
    ahead = Clocks(raw_ns=11 * S, realtime_ns=1001 * S + 5 * MS, bracket_ns=100, coarse_ns=7)
    behind = ahead._replace(realtime_ns=1001 * S - 5 * MS)

    bounds = [clockbound.record(page, now, None, None).bound_ns for now in (ahead, behind)]

    assert bounds == [6 * MS + 50_000 + 1 + 100] * 2  # 1 ms, and 50 ppm for a second


def test_drift_covers_what_realtime_does() -> None:
    """The interval's growth, what a daemon may slew, and what one was seen to slew."""
    page = page_now()
    before = Clocks(raw_ns=raw_ns(), realtime_ns=50 * S, bracket_ns=0, coarse_ns=0)
    slewed = before._replace(raw_ns=before.raw_ns + S, realtime_ns=51 * S + 83 * MS)

    calm = clockbound.record(page, before, None, 7)
    fast = clockbound.record(page, slewed, before, None)

    assert calm.max_drift_ppb == page.growth_ppb + REALTIME_SLEW_PPB
    assert fast.max_drift_ppb == page.growth_ppb + REALTIME_SLEW_PPB + 83_000_000
    assert (calm.disruption_marker, calm.has_disruption_support) == (7, True)
    assert (fast.disruption_marker, fast.has_disruption_support) == (0, False)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 1),
        ({"state": state(2)}, 2),
        ({"state": state(3), "earliest_off_ns": -(1 << 63)}, 3),
        ({"state": state(1), "earliest_off_ns": -(1 << 63)}, 0),
        ({"last_sample_raw_ns": 1, "poll_ns": S}, 2),
        ({"void_after_raw_ns": 1}, 0),
    ],
)
def test_status_is_that_of_a_reader(changes: dict[str, Any], status: int) -> None:
    """A dead model does not look alive, and what is unbounded is not called known."""
    made = {"last_sample_raw_ns": raw_ns(), "void_after_raw_ns": raw_ns() + 1000 * S, **changes}
    if made["last_sample_raw_ns"] == 1:
        made["void_after_raw_ns"] = 1 + 10**18
    now = Clocks(raw_ns=raw_ns(), realtime_ns=1_800_000_000 * S, bracket_ns=0, coarse_ns=5 * S)

    record = clockbound.record(page_now(**made), now, None, None)

    assert record.status == status
    assert 0 <= record.bound_ns <= BOUND_NS_MAX
    assert (record.void_after_ns == record.as_of_ns) == ("void_after_raw_ns" in changes)


def test_before_the_first_page_nothing_is_known() -> None:
    """UNKNOWN, void at once."""
    now = Clocks(raw_ns=5, realtime_ns=6, bracket_ns=0, coarse_ns=7)

    record = clockbound.record(None, now, None, None)

    assert (record.status, record.bound_ns, record.void_after_ns) == (0, BOUND_NS_MAX, 7)


class Bench:
    """A publisher that exports, in the test's own process."""

    def __init__(self, home: Home, path: Path) -> None:
        context = ActorContext("shm_publisher", 1, str(home.path), str(home.run_dir))
        self.reactor = TestReactor()
        config = ShmPublisherConfig(clockbound_path=str(path), vmclock_path="")
        self.actor = ShmPublisher(config, context, home, SystemTimebase(), self.reactor)
        self.actor.init()

    def hear(self, **changes: Any) -> None:
        """Deliver an estimate by which REALTIME is right, within 1 ms."""
        now_ns = raw_ns()
        made = ClockEstimate(
            as_of_raw_ns=now_ns, utc_ns=time.time_ns(), bounded=True, earliest_off_ns=-MS,
            latest_off_ns=MS, growth_ppb=50_000, status=1, source="ntp",
            last_sample_raw_ns=now_ns, poll_s=16, samples=1,
        )  # fmt: skip
        envelope = wire.Envelope(kind=ESTIMATE_KIND, id=1, src="clock_model")
        body = msgspec.structs.replace(made, **changes)
        handler = self.actor.handlers()[ESTIMATE_KIND]
        handler.function(Request(b"", envelope, body, lambda _, __: None))


@pytest.fixture
def bench(home: Home, path: Path) -> Iterator[Bench]:
    """Return a publisher that exports to `path`."""
    made = Bench(home, path)
    yield made
    made.actor.stop()


def test_real_client_reads_what_we_publish(bench: Bench, path: Path, client: Any) -> None:
    """The PyPI package: nothing at first, then UTC within a bound a little above our own."""
    with client.Clockbound(str(path)) as reader:
        with pytest.raises(client.ClockboundError, match="not synchronized"):
            reader.now()
        bench.hear()
        before_ns = time.time_ns()
        bound = reader.now()
        after_ns = time.time_ns()
        snapshot = reader.snapshot()
        bench.hear(status=3, bounded=False)
        with pytest.raises(client.ClockboundError, match="not synchronized"):
            reader.now()

    assert bound.earliest <= after_ns
    assert bound.latest >= before_ns
    assert MS <= bound.error_ns < 3 * MS
    assert (snapshot.clock_status, snapshot.version, snapshot.segment_size) == (1, 2, 80)
    assert snapshot.disruption_support == 0


def test_records_come_more_often_than_once_a_second(bench: Bench, path: Path) -> None:
    """Without a change of status, by the timer alone, which leaves room for one that is late."""
    bench.hear()
    first = read(path)[4]

    bench.reactor.run_until(lambda: read(path)[4] >= first + 4, 30, "two records")

    assert PERIOD_S <= 0.5


def test_foreign_path_degrades_until_it_is_free(
    home: Home, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock itself goes on; the path is taken as soon as it can be."""
    monkeypatch.setattr("actors.clockbound_export.RETRY_S", 0.05)
    path.write_bytes(b"theirs")
    bench = Bench(home, path)
    bench.hear()
    reason = bench.reactor.degraded

    path.unlink()
    bench.reactor.run_until(lambda: not bench.reactor.degraded, 5, "recovery")

    assert "a file of somebody else" in reason
    assert read(path)[12] == 1
    assert not bench.actor.reload({"clockbound_path": ""})
    bench.actor.stop()


def test_export_that_loses_its_file_says_so(path: Path) -> None:
    """Somebody replaced it: degraded, and their file stays as it is."""
    reactor = TestReactor()
    export = ClockBoundExport(path, reactor)
    export.start()
    path.unlink()
    path.write_bytes(b"theirs")

    export.tell(page_now(), None)

    assert "another program" in reactor.degraded
    assert path.read_bytes() == b"theirs"
    export.stop()
