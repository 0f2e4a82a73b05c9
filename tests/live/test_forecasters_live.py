"""Forecaster plug-ins in real worker processes: they join, and whatever they do harms nobody."""

import gc
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.clock_samples import S_NS, sample, truth_ns
from fakes.plugin_packages import install_troubled
from fakes.reactor import TestReactor
from waiting import wait_until

from actors.forecasting import Forecasting
from hourbook.clock import centre, forecast, model
from hourbook.clock.forecast import Forecast
from hourbook.clock.forecast_turns import Patience
from hourbook.clock.state import Limits, State, initial
from hourbook.timebase import SystemTimebase
from protocols.why_messages import ForecasterWhy

pytestmark = pytest.mark.live

PATIENCE = Patience(load_s=20.0, answer_s=10.0, backoff_base_s=0.05, backoff_cap_s=0.2)
HASTE = replace(PATIENCE, answer_s=0.6)
POLL_S = 16


class Bench:
    """A model's state, its forecasters, and the reactor that turns them."""

    def __init__(self, options: dict[str, dict[str, Any]], patience: Patience = PATIENCE) -> None:
        self.reactor = TestReactor()
        self.state: State = initial(Limits(), 0, truth_ns(0))
        self.polls = 0
        self.forecasting = Forecasting(
            options, patience, self.reactor, SystemTimebase(), self._join
        )

    def _join(self, name: str, said: Forecast, least_handicap: float) -> None:
        self.state = forecast.join(self.state, name, said, least_handicap)

    def hear(self, count: int = 1, offset_ms: Callable[[int], float] = lambda _: 0.0) -> float:
        """Absorb samples; return the longest time (seconds) that one of them took."""
        longest_s = 0.0
        for _ in range(count):
            self.polls += 1
            one = sample(at_s=POLL_S * self.polls, offset_ms=offset_ms(self.polls))
            begun_s = time.perf_counter()
            self.state = model.absorb(self.state, one)
            self.forecasting.heard(self.state)
            longest_s = max(longest_s, time.perf_counter() - begun_s)
        return longest_s

    def why(self, name: str) -> ForecasterWhy:
        """Return how one forecaster fares."""
        raw_ns = POLL_S * self.polls * S_NS
        reports = self.forecasting.report(self.state, raw_ns)
        return next(one for one in reports if one.forecaster == name)

    def until(self, predicate: Callable[[], object], what: str, timeout_s: float = 20) -> None:
        """Turn until something holds."""
        self.reactor.run_until(predicate, timeout_s, what)

    def next_forecast(self, name: str) -> None:
        """Turn until a forecaster has answered once more."""
        before = self.why(name).answers
        self.until(lambda: self.why(name).answers > before, f"{name} to answer")


@pytest.fixture(autouse=True)
def troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plug-ins that make trouble."""
    install_troubled(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Return what makes a bench; its workers are gone afterwards."""
    made: list[Bench] = []

    def make(*names: str, patience: Patience = PATIENCE, **options: dict[str, Any]) -> Bench:
        made.append(Bench({name: options.get(name, {}) for name in names}, patience))
        return made[-1]

    yield make
    for one in made:
        one.forecasting.stop()
    gc.collect()  # a worker that was forgotten warns here, and warnings fail
    assert children() == []


def children() -> list[int]:
    """Return the pids of our workers; this process has other children, of other tests."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in pids if is_worker(Path(f"/proc/{pid}/cmdline"))]


def is_worker(cmdline: Path) -> bool:
    """Say whether a process is a worker (one that was not reaped warns, see above)."""
    try:
        return b"hourbook.forecast.worker" in cmdline.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_forecaster_joins_and_is_asked_after_each_sample(bench: Callable[..., Bench]) -> None:
    """No process before there is something to ask; then one answer for each measurement."""
    one = bench("oracle", oracle={"ahead_ns": 2e5})
    one.hear(forecast.SAMPLES_MIN - 1)
    one.reactor.run_until(lambda: not one.forecasting._is_asking, 5, "the turn after the samples")
    before = (children(), one.why("oracle"))

    one.hear()
    one.next_forecast("oracle")
    one.hear()
    one.next_forecast("oracle")

    assert before == ([], ForecasterWhy(forecaster="oracle", phase="resting"))
    why = one.why("oracle")
    assert (why.phase, why.age_ns, why.answers, why.failures) == ("idle", 0, 2, {})
    assert why.horizon_ns == 16 * POLL_S * S_NS
    assert (why.claimed_ns, why.claimed_share) == (100_000, 0.8)
    assert 0 < why.weight < 0.02


def test_forecaster_that_is_right_leads_and_one_that_is_wrong_does_not(
    bench: Callable[..., Bench],
) -> None:
    """Weight is earned: after 40 measurements one leads that knows what no other can."""
    one = bench("swinging", "oracle")

    def swing(n: int) -> float:
        return 2.0 if n % 2 else -2.0

    one.hear(8, swing)
    for _ in range(40):
        one.next_forecast("swinging")
        one.hear(1, swing)
    one.next_forecast("swinging")

    assert centre.leader(one.state.centre) == "forecaster:swinging"
    assert one.why("swinging").weight > 0.5
    assert one.why("oracle").weight < 0.01
    following = truth_ns(POLL_S * (one.polls + 1) * S_NS) + round(swing(one.polls + 1) * 1e6)
    error_ns = model.estimate(one.state, POLL_S * (one.polls + 1) * S_NS).utc_ns - following
    assert abs(error_ns) < 1_000_000


def test_snapshot_has_weight_age_and_failures(bench: Callable[..., Bench]) -> None:
    """What metrics show of each."""
    one = bench("oracle", "stillborn")
    one.hear(8)
    one.next_forecast("oracle")
    one.until(lambda: one.why("stillborn").failures, "the stillborn to fail")

    snapshot = one.forecasting.snapshot(one.state, POLL_S * 8 * S_NS)

    assert snapshot['clock_forecaster_weight{forecaster="oracle"}'] > 0
    assert snapshot['clock_forecaster_age_seconds{forecaster="oracle"}'] == 0
    assert snapshot['clock_forecaster_answers_total{forecaster="oracle"}'] == 1
    assert 'clock_forecaster_age_seconds{forecaster="stillborn"}' not in snapshot
    key = 'clock_forecaster_failures_total{forecaster="stillborn",reason="crashed"}'
    assert snapshot[key] >= 1


@pytest.mark.parametrize(
    ("name", "options", "reason", "words"),
    [
        ("hanging", {}, "late", "busy for 0.6 s"),
        ("crashing", {}, "crashed", "exit code 1: RuntimeError: cannot fit 8"),
        ("dying", {}, "crashed", "SIGSEGV"),
        ("stillborn", {}, "crashed", "FileNotFoundError: no weights here"),
        ("oracle", {"ahead": 1}, "crashed", "unexpected keyword argument 'ahead'"),
        ("nobody", {}, "crashed", "Expected an installed forecaster ("),
        ("wrong", {"kind": "nan"}, "nonsense", "got nan"),
        ("wrong", {"kind": "short"}, "nonsense", "Expected centre of 8, got 7"),
        ("wrong", {"kind": "far"}, "nonsense", "Expected centre within ±"),
        ("wrong", {"kind": "endless"}, "nonsense", "Expected centre of 8, got 17"),
        ("wrong", {"kind": "crossed"}, "nonsense", "Expected quantile 0.1 <= quantile 0.9"),
        ("wrong", {"kind": "noise"}, "nonsense", "Expected at most 16384 bytes, got 4294967295"),
    ],
)  # fmt: skip
def test_trouble_is_ended_named_and_tried_again(
    bench: Callable[..., Bench], name: str, options: dict[str, Any], reason: str, words: str
) -> None:
    """The process is gone, the reason is known, nothing was believed; later it is tried again."""
    one = bench(name, patience=HASTE if name == "hanging" else PATIENCE, **{name: options})
    one.hear(8)

    one.until(lambda: one.why(name).failures, f"{name} to fail")
    first = one.why(name)
    gone = children()
    one.until(lambda: one.why(name).phase in ("loading", "busy"), "the second attempt")

    assert first.failures == {reason: 1}
    assert words in first.problem
    assert "\n" not in first.problem
    assert (first.phase, first.weight, first.answers) == ("resting", 0.0, 0)
    assert gone == []
    assert centre.leader(one.state.centre) != forecast.expert_name(name)


def test_rests_grow_until_their_cap(bench: Callable[..., Bench]) -> None:
    """A plug-in that is broken for good costs a process start now and then."""
    one = bench("stillborn", patience=Patience(20, 1, 0.2, 0.8))
    one.hear(8)

    failed_s: list[float] = []
    while len(failed_s) < 4:
        one.until(
            lambda: one.why("stillborn").failures.get("crashed", 0) > len(failed_s), "a failure"
        )
        failed_s.append(time.monotonic())

    rests = [b - a for a, b in itertools.pairwise(failed_s)]
    assert rests[0] > 0.2
    assert rests[1] > 0.4
    assert rests[2] > 0.8


def test_printing_neither_garbles_answers_nor_waits(bench: Callable[..., Bench]) -> None:
    """Forty kilobytes on both streams: the forecast arrives all the same."""
    one = bench("loud")
    one.hear(8)

    one.next_forecast("loud")

    assert one.why("loud").failures == {}


def test_absorbing_never_waits_for_a_forecaster(bench: Callable[..., Bench]) -> None:
    """A forecaster hangs and another is slow: no sample waits for either."""
    one = bench("hanging", "slow")
    one.hear(8)
    one.until(lambda: one.why("slow").phase == "busy", "slow to be asked")
    one.until(lambda: one.why("hanging").phase == "busy", "hanging to be asked")

    longest_s = one.hear(100)

    assert longest_s < 1
    assert one.why("slow").answers <= 1


def test_break_of_the_measurements_waits_for_new_ones(bench: Callable[..., Bench]) -> None:
    """What was asked before it joins nothing; the next question has new measurements alone."""
    one = bench("slow")
    one.hear(8)
    one.until(lambda: one.why("slow").phase == "busy", "slow to be asked")

    one.state = model.disrupt(one.state, (POLL_S * one.polls + 1) * S_NS)
    one.hear()
    one.until(lambda: one.why("slow").phase == "idle", "the answer")
    late = one.why("slow")
    one.hear(7)
    one.next_forecast("slow")

    assert (late.answers, late.weight, late.failures) == (1, 0.0, {})
    assert one.why("slow").weight > 0


def test_worker_sees_nothing_of_ours(
    bench: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor, no secret, no way to gain rights; measurements, and nothing else."""
    monkeypatch.setenv("HOURBOOK_TEST_TOKEN", "secret")
    read_fd, write_fd = os.pipe()
    os.set_inheritable(write_fd, True)  # noqa: FBT003 - it has no names for its arguments
    path = tmp_path / "seen.json"
    one = bench("nosy", nosy={"path": str(path)})
    one.hear(8)

    one.next_forecast("nosy")
    os.close(read_fd)
    os.close(write_fd)

    seen = json.loads(path.read_text())
    assert seen["files"].pop("0") == "/dev/null"
    assert all(target.startswith("pipe:") for target in seen["files"].values())
    assert len(seen["files"]) == 4
    assert "HOURBOOK_TEST_TOKEN" not in seen["environment"]
    assert seen["environment"]["HF_HUB_OFFLINE"] == "1"
    assert "NoNewPrivs:\t1" in seen["status"]
    assert len(seen["samples"]) == 8
    assert seen["samples"][-1][:2] == [0, 0.0]
    assert seen["samples"][0][0] == -7 * POLL_S * S_NS


def test_stop_leaves_no_process(bench: Callable[..., Bench]) -> None:
    """Whatever a worker is doing."""
    one = bench("hanging", "oracle", "slow")
    one.hear(8)
    one.next_forecast("oracle")
    before = len(children())

    one.forecasting.stop()

    assert before == 3
    wait_until(lambda: children() == [], 5, "the workers to be gone")
