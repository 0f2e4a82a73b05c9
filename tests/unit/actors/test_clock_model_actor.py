"""The model's actor: what it tells whom, what it keeps, and what it refuses."""

from typing import Any

import pytest
from fakes.clock_samples import S_NS
from fakes.reactor import TestReactor
from waiting import wait_until

from actors.base import ActorContext, Request
from actors.clock_model import ClockModel
from actors.config import ClockModelConfig
from hourbook.clock.disruption import MEANING
from hourbook.clock.drift_file import Epoch
from hourbook.clock.leap import LeapTable
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire
from protocols.clock_messages import ClockEstimate, ClockSample, Disrupted, Resample
from protocols.source_messages import AskSources, AwaitedSources, Judged, Withdrawn
from protocols.why_messages import AskWhy, Why


class Bench:
    """A model and the reactor that turns it."""

    def __init__(self, home: Home, **config: Any) -> None:
        self.reactor = TestReactor()
        self.timebase = SystemTimebase()
        context = ActorContext("clock_model", 1, str(home.path), str(home.run_dir))
        self.model = ClockModel(
            ClockModelConfig(**config), context, home, self.timebase, self.reactor
        )
        self.model.init()

    def hear(
        self,
        offset_ns: int,
        *,
        ahead_ns: int = 0,
        delay_ns: int = 1_000_000,
        source: str = "a",
        waits_for: tuple[str, ...] = (),
    ) -> None:
        """Let a sample of now arrive: UTC is the wall clock plus `offset_ns`, within 1 ms."""
        raw_ns, wall_ns = self.timebase.raw_ns(), self.timebase.wall_ns()
        sample = ClockSample(
            source=source,
            raw_ns=raw_ns + ahead_ns,
            utc_ns=wall_ns + offset_ns,
            half_width_ns=1_000_000,
            delay_ns=delay_ns,
            poll_s=16,
            origin="ntp",
        )
        self.wait_for(*waits_for)
        envelope = wire.Envelope(kind="clock.sample", id=1)
        handler = self.model.handlers()["clock.sample"]
        handler.function(Request(b"", envelope, sample, lambda *_: None))

    def wait_for(self, *names: str, for_ms: int = 5000) -> None:
        """Let the sampler say whom it waits for."""
        envelope = wire.Envelope(kind="clock.awaited", id=1)
        handler = self.model.handlers()["clock.awaited"]
        body = AwaitedSources(names, for_ms)
        handler.function(Request(b"", envelope, body, lambda *_: None))

    @property
    def estimates(self) -> list[ClockEstimate]:
        """What was told to the publisher."""
        return [b for b in self.reactor.bodies("clock.estimate") if isinstance(b, ClockEstimate)]

    @property
    def resamples(self) -> list[str]:
        """Why the sampler was asked to ask again."""
        return [b.cause for b in self.reactor.bodies("clock.resample") if isinstance(b, Resample)]


def test_beginning_tells_an_estimate_and_asks_for_samples(home: Home) -> None:
    """The publisher has something to publish at once, and the sampler knows that we begin."""
    bench = Bench(home)

    assert [(p, k) for p, k, _ in bench.reactor.told] == [
        ("ntp_sampler", "clock.resample"), ("shm_publisher", "clock.estimate")
    ]  # fmt: skip
    assert (bench.estimates[0].source, bench.estimates[0].is_step) == ("none", True)


def test_each_sample_is_told_and_a_step_once(home: Home) -> None:
    """Ten seconds of correction begin an epoch in one estimate only."""
    bench = Bench(home)

    bench.hear(10 * S_NS)
    bench.hear(10 * S_NS)

    assert [(e.status, e.is_step) for e in bench.estimates[1:]] == [(1, True), (1, False)]
    assert bench.estimates[-1].steps == 1


def test_estimate_is_told_each_second(home: Home) -> None:
    """A publisher that comes later hears the newest within a second."""
    bench = Bench(home)

    bench.reactor.run_until(lambda: len(bench.estimates) >= 2, 5, "the next second")

    assert bench.estimates[1].as_of_raw_ns > bench.estimates[0].as_of_raw_ns
    assert not bench.estimates[1].is_step


def test_snapshot_counts_and_measures(home: Home) -> None:
    """The numbers that ride in the beat."""
    bench = Bench(home)
    bench.hear(0)
    bench.hear(0, ahead_ns=10**12)

    snapshot = bench.model.snapshot()

    assert snapshot["clock_samples_total"] == 1.0
    assert snapshot['clock_samples_rejected_total{reason="from_the_future"}'] == 1.0
    assert snapshot["clock_status"] == 1.0
    assert snapshot["clock_sources"] == snapshot["clock_sources_selected"] == 1.0
    assert 0.001 <= snapshot["clock_half_width_seconds"] < 0.01
    assert abs(snapshot["clock_offset_seconds"]) < 0.01


def test_contradiction_disrupts_and_asks_again(home: Home) -> None:
    """A source that jumps by an hour: DISRUPTED is told, and the sampler is hurried."""
    bench = Bench(home)
    bench.hear(0)

    bench.hear(3600 * S_NS)

    assert bench.estimates[-1].status == 3
    assert bench.resamples[1:] == ["the new interval contradicts the old one"]


def test_suspend_disrupts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw clock stood still for an hour: nothing measured before is worth anything."""
    bench = Bench(home)
    bench.hear(0)

    monkeypatch.setattr("actors.clock_memory.suspended_ns", lambda: 3600 * S_NS)
    bench.reactor.run_until(lambda: bench.estimates[-1].status == 3, 5, "the disruption")

    assert bench.resamples[1:] == ["the machine was suspended"]
    assert not bench.estimates[-1].bounded


def told_of(bench: Bench, cause: Any, raw_ns: int) -> ClockEstimate:
    """Tell of a disruption; return the estimate that answers it."""
    handler = bench.model.handlers()["clock.disrupted"]
    envelope = wire.Envelope(kind="clock.disrupted", id=1)
    handler.function(Request(b"", envelope, Disrupted(cause, raw_ns), lambda *_: None))
    return bench.estimates[-1]


@pytest.mark.parametrize("cause", ["migration", "clocksource"])
def test_what_spoils_raw_throws_the_history_away(home: Home, cause: str) -> None:
    """Unbounded at once, resampled, counted; a sample that was under way is not believed."""
    bench = Bench(home)
    bench.hear(0)

    answer = told_of(bench, cause, 77)
    bench.hear(0, delay_ns=10**12)  # its request left before
    deaf = bench.estimates[-1]
    left_ns = answer.as_of_raw_ns + 2_000_000  # longer ago than the next sample was under way
    wait_until(lambda: bench.timebase.raw_ns() > left_ns, 5, "the next request to leave after")
    bench.hear(0)

    assert (answer.status, answer.bounded, answer.disrupted_raw_ns) == (3, False, 77)
    assert deaf is answer
    assert bench.model.snapshot()['clock_samples_rejected_total{reason="before_disruption"}'] == 1
    assert bench.resamples[1:] == [MEANING[cause]]  # type: ignore[index]
    assert (bench.estimates[-1].status, bench.estimates[-1].bounded) == (1, True)


def test_external_step_is_confirmed_and_spoils_nothing(home: Home) -> None:
    """What NTP has measured on RAW stands: DISRUPTED with its interval, until the next sample."""
    bench = Bench(home)
    bench.hear(0)

    answer = told_of(bench, "external_step", 77)
    bench.hear(0)

    assert (answer.status, answer.bounded, answer.disruptions) == (3, True, 0)
    assert bench.resamples[1:] == ["the kernel's clock was set"]
    assert bench.estimates[-1].status == 1


def test_disruption_counts_once_however_often_it_is_told(home: Home) -> None:
    """The same raw time is the same disruption; a suspend that we see ourselves is one, too."""
    bench = Bench(home)
    bench.hear(0)

    told_of(bench, "migration", 77)
    again = told_of(bench, "migration", 77)
    known = told_of(bench, "suspend", 78)
    here = told_of(bench, "boot", 79)

    assert again.disruptions == known.disruptions == here.disruptions == 1
    assert here.disrupted_raw_ns == 79
    assert len(bench.resamples) == 2


def test_another_boot_begins_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that lives on in another boot forgets its RAW and keeps the rate it learned."""
    bench = Bench(home)
    bench.hear(0)
    monkeypatch.setattr(
        "hourbook.clock.drift_file.read_epoch", lambda slept_ns: Epoch("other", slept_ns)
    )

    answer = told_of(bench, "boot", 77)

    assert (answer.status, answer.bounded, answer.disruptions) == (0, False, 1)
    assert (answer.samples, answer.source) == (0, "none")


def test_estimates_carry_the_leap_table(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """TAI - UTC and the next event ride in every estimate; `clock.why` says where they are from."""
    now_s = SystemTimebase().wall_ns() // S_NS
    table = LeapTable("/table", now_s + 9000, ((0, 37), (now_s + 3600, 38)))
    monkeypatch.setattr("hourbook.clock.leap_file.find_table", lambda: table)
    bench = Bench(home)
    bench.hear(0)

    estimate = bench.estimates[-1]
    handler = bench.model.handlers()["clock.why"]
    envelope = wire.Envelope(kind="clock.why", id=1)
    answer = handler.function(Request(b"", envelope, AskWhy(), lambda *_: None))

    assert estimate.leap_utc_s == now_s + 3600
    assert (estimate.leap_tai_before_s, estimate.leap_tai_after_s) == (37, 38)
    assert isinstance(answer, Why)
    assert (answer.leap_table, answer.tai_minus_utc_s) == ("/table", 37)
    assert answer.sources[0].source == "a"


def test_restart_goes_on_from_the_file(home: Home) -> None:
    """A model killed after its first sample is bounded again before its successor hears any."""
    Bench(home).hear(10 * S_NS)

    (first, *_) = Bench(home).estimates

    assert (first.status, first.bounded, first.is_step, first.source) == (2, True, False, "ntp")
    wall_ns = SystemTimebase().wall_ns()
    assert abs(first.utc_ns - 10 * S_NS - wall_ns) < S_NS


def test_garbage_in_the_drift_file_is_reported(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with the path; the model begins with nothing, and replaces the file."""
    home.drift_file.write_bytes(b"\x00 not json")

    bench = Bench(home)
    bench.hear(0)

    assert f"at {home.drift_file}" in caplog.text
    assert bench.estimates[0].status == 0
    assert b'"version": 1' in home.drift_file.read_bytes()


def test_drift_file_that_cannot_be_written_degrades(home: Home) -> None:
    """The clock goes on, says so, and recovers with the next save."""
    blocked = home.path / "drift.new"
    blocked.mkdir()
    bench = Bench(home)
    bench.hear(0)
    assert bench.reactor.degraded.startswith("cannot save the drift file")

    blocked.rmdir()
    bench.model.stop()

    assert bench.reactor.degraded == ""
    assert bench.model.snapshot()["clock_saves_failed_total"] == 1.0
    assert home.drift_file.exists()


def test_reload_of_other_limits_asks_for_a_restart(home: Home) -> None:
    """The same configuration is in force already; another one needs a new beginning."""
    bench = Bench(home)

    assert bench.model.reload({})
    assert not bench.model.reload({"max_drift_ppb": 20_000})


def test_sources_are_answered_and_forgotten_when_withdrawn(home: Home) -> None:
    """What ``clock.sources`` says, before and after a server was removed from the configuration."""
    bench = Bench(home)
    bench.hear(0)
    bench.hear(0, source="b")

    def asked() -> list[tuple[str, str]]:
        request = Request(b"", wire.Envelope(kind="x", id=1), AskSources(), lambda *_: None)
        judged = bench.model.handlers()["clock.sources"].function(request)
        assert isinstance(judged, Judged)
        return [(one.source, one.standing) for one in judged.sources]

    before = asked()
    removal = Request(b"", wire.Envelope(kind="x", id=2), Withdrawn(("b",)), lambda *_: None)
    bench.model.handlers()["clock.withdrawn"].function(removal)

    assert before == [("a", "selected"), ("b", "selected")]
    assert asked() == [("a", "selected")]


def test_nobody_is_believed_before_the_sampler_has_said_whom_it_asks(home: Home) -> None:
    """A sample that was on its way when the model began waits for the others; then it decides."""
    bench = Bench(home)
    bench.hear(0)
    told_of(bench, "migration", 77)
    left_ns = bench.timebase.raw_ns() + 2_000_000
    wait_until(lambda: bench.timebase.raw_ns() > left_ns, 5, "the next request to leave after")

    bench.wait_for("a", "b")
    bench.hear(0, waits_for=("b",))
    waiting = bench.estimates[-1]
    bench.wait_for()

    assert (waiting.status, waiting.bounded) == (3, False)
    assert (bench.estimates[-1].status, bench.estimates[-1].bounded) == (1, True)


def test_leap_second_covers_both_sides_and_asks_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second is inserted soon: DISRUPTED with an interval, and the sources are asked after."""
    now_s = SystemTimebase().wall_ns() // S_NS
    table = LeapTable("table", now_s + 10**6, ((now_s - 10**6, 37), (now_s + 3, 38)))
    monkeypatch.setattr("hourbook.clock.leap_file.find_table", lambda: table)
    bench = Bench(home)
    bench.hear(0)

    bench.reactor.run_until(lambda: bench.estimates[-1].status == 3, 5, "the leap second")
    leapt = bench.estimates[-1]
    bench.hear(0)
    bench.reactor.run_until(lambda: len(bench.resamples) > 1, 5, "the next question")

    assert bench.estimates[1].leap_utc_s == now_s + 3
    assert (leapt.is_step, leapt.leap_utc_s, leapt.disruptions) == (True, 0, 0)
    assert leapt.bounded
    assert S_NS < leapt.latest_off_ns - leapt.earliest_off_ns < S_NS + 100_000_000
    assert bench.model.snapshot()['clock_samples_rejected_total{reason="before_disruption"}'] == 1
    assert bench.resamples[-1] == "a leap second has passed"
