"""Sampler and model as real processes against a real chronyd, whose time libfaketime shifts."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fakes.chronyd import serving_chronyd
from fakes.clock_actors import ActorProcess, TestMailbox
from fakes.ntp_server import scripted_server
from fakes.ntplib_client import answers
from waiting import wait_until

from hourbook.home import Home
from hourbook.link.actor_question import ask_actor
from hourbook.source_json import sources_json, why_no_server
from protocols.clock_messages import ClockEstimate
from protocols.source_messages import SOURCES_KIND, AskSources, Judged, Sampled
from protocols.why_messages import WHY_KIND, AskWhy, Why

pytestmark = pytest.mark.live

S_NS = 1_000_000_000
Start = Callable[..., tuple[ActorProcess, ActorProcess]]


@pytest.fixture
def publisher(home: Home) -> Iterator[TestMailbox]:
    """Return the mailbox to which estimates go."""
    mailbox = TestMailbox(home, "shm_publisher")
    yield mailbox
    mailbox.close()


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    """Return what starts both actors; they are gone afterwards."""
    running: list[ActorProcess] = []

    def launch(**sampler: Any) -> tuple[ActorProcess, ActorProcess]:
        config = {"local_daemon": False, "burst_interval_s": 0.25, **sampler}
        for path, name, settings in (
            ("actors.ntp_sampler:NtpSampler", "ntp_sampler", config),
            ("actors.clock_model:ClockModel", "clock_model", {}),
        ):
            running.append(ActorProcess(home, path, name, settings))
        return running[-2], running[-1]

    yield launch
    for actor in running:
        actor.kill()


def offset_ns(estimate: ClockEstimate) -> int:
    """Return the estimate minus our wall clock."""
    age_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - estimate.as_of_raw_ns
    return estimate.utc_ns + age_ns - time.time_ns()


def test_offset_of_a_real_chronyd_is_measured(
    tmp_path: Path, publisher: TestMailbox, start: Start
) -> None:
    """Ten seconds ahead: measured within 1 ms, inside the interval, as ntplib sees it too."""
    with serving_chronyd(tmp_path / "chronyd", "+10.0s") as name:
        seen = wait_until(lambda: answers(name), 10, "chronyd to answer ntplib")
        start(servers=[name], burst_count=8)
        estimate = publisher.next_estimate(10, lambda e: e.samples >= 8)
        error_ns = offset_ns(estimate) - 10 * S_NS

    assert (estimate.status, estimate.source, estimate.sources_selected) == (1, "ntp", 1)
    assert abs(error_ns) < 1_000_000
    assert estimate.earliest_off_ns <= -error_ns <= estimate.latest_off_ns
    assert abs(seen.offset - 10) < 0.005
    assert estimate.latest_off_ns - estimate.earliest_off_ns < 50_000_000


def test_one_falseticker_of_three_chronyds_is_rejected(
    home: Home, tmp_path: Path, publisher: TestMailbox, start: Start
) -> None:
    """Two agree on +10 s; the one that says +12 s is named with the distance, and has no weight."""
    with ExitStack() as stack:
        names = [
            stack.enter_context(serving_chronyd(tmp_path / shift, f"+{shift}s"))
            for shift in ("10.0", "10.0000", "12.0")
        ]
        wait_until(lambda: all(answers(name) for name in names), 10, "all three to answer ntplib")
        _, model = start(servers=names)
        estimate = publisher.next_estimate(
            10, lambda e: e.sources_total == 3 and e.sources_selected == 2 and e.samples >= 4
        )
        error_ns = offset_ns(estimate) - 10 * S_NS
        judged = ask_actor(home, "clock_model", SOURCES_KIND, AskSources(), Judged)
        wait_until(lambda: "falseticker" in model.log, 5, "the verdict in the log")

    reasons = {source.source: (source.standing, source.reason) for source in judged.sources}
    assert estimate.status == 1
    assert abs(error_ns) < 5_000_000
    assert [reasons[name][0] for name in names] == ["selected", "selected", "falseticker"]
    assert re.fullmatch(r"begins 19\d\d\.\d+ ms after the majority.*", reasons[names[2]][1])
    assert f"{names[2]}: falseticker: begins" in model.log


def test_kernel_is_published_long_before_a_server_is_given_up(
    publisher: TestMailbox, start: Start
) -> None:
    """Silence from every server: this machine's clock, honestly, and never SYNCHRONIZED."""
    with scripted_server(lambda _request, _n: []) as silent:
        start(servers=[silent.name, "name.invalid"], timeout_s=10)
        estimate = publisher.next_estimate(9, lambda e: e.source == "kernel")

    assert estimate.status in (0, 2)
    assert estimate.bounded == (estimate.status == 2)
    assert abs(offset_ns(estimate)) < 5_000_000


def test_names_that_do_not_resolve_are_told_while_the_own_clock_stands_in(
    home: Home, publisher: TestMailbox, start: Start
) -> None:
    """What the time rests on, and why no server is heard, in the words of `hourbook clock why`."""
    start(servers=["name.invalid", "other.invalid"], assume_realtime_error_s=0.5)
    publisher.next_estimate(9, lambda e: e.source == "asserted")

    def said() -> tuple[str, str]:
        sampled = ask_actor(home, "ntp_sampler", SOURCES_KIND, AskSources(), Sampled)
        judged = ask_actor(home, "clock_model", SOURCES_KIND, AskSources(), Judged)
        model = ask_actor(home, "clock_model", WHY_KIND, AskWhy(), Why)
        return model.reason, why_no_server(sources_json(sampled, judged))

    told = (
        "only this machine's own clock vouches for the interval (asserted)",
        "no server is heard: 2 names do not resolve",
    )
    wait_until(lambda: said() == told, 10, "both names to be given up")


def test_killed_model_resumes_bounded(
    home: Home, tmp_path: Path, publisher: TestMailbox, start: Start
) -> None:
    """After kill -9 the next incarnation begins with a bounded estimate on the same line."""
    with serving_chronyd(tmp_path / "chronyd", "+10.0s") as name:
        wait_until(lambda: answers(name), 10, "chronyd to answer ntplib")
        sampler, model = start(servers=[name])
        publisher.next_estimate(10, lambda e: e.status == 1)
        wait_until(home.drift_file.exists, 5, "the drift file")

        sampler.kill()
        model.kill()
        publisher.messages("clock.estimate", 0.1)
        start(servers=[])
        first = publisher.next_estimate(10)

    assert (first.status, first.bounded, first.is_step) == (2, True, False)
    assert abs(offset_ns(first) - 10 * S_NS) < 20_000_000
