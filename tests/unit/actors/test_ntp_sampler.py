"""The sampler against servers that misbehave, on real sockets, in the test's own process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes.ntp_server import Script, has_ipv6_loopback, reply_to, scripted_server
from fakes.reactor import TestReactor

from actors import ntp_sampler, own_clock
from actors.base import ActorContext, Ready, Request
from actors.config import NtpSamplerConfig
from actors.ntp_sampler import NtpSampler
from hourbook.clock.kernel import STA_UNSYNC, KernelClock
from hourbook.home import Home
from hourbook.timebase import SystemTimebase
from protocols import wire
from protocols.clock_messages import (
    FLAG_ASSERTED,
    FLAG_KERNEL_UNPROVEN,
    UNBOUNDED_NS,
    ClockSample,
    Resample,
)
from protocols.source_messages import AskSources, AwaitedSources, Sampled, ServerReport, Withdrawn

QUICK = {
    "local_daemon": False, "poll_min_s": 1, "poll_max_s": 1, "burst_interval_s": 0.05,
    "timeout_s": 0.2, "kernel_after_s": 60,
}  # fmt: skip


class Bench:
    """A sampler and the reactor that turns it."""

    def __init__(self, home: Home, **config: Any) -> None:
        self.reactor = TestReactor()
        context = ActorContext("ntp_sampler", 1, str(home.path), str(home.run_dir))
        settings = NtpSamplerConfig(**{**QUICK, **config})
        self.sampler = NtpSampler(settings, context, home, SystemTimebase(), self.reactor)
        self.outcome = self.sampler.init()

    @property
    def samples(self) -> list[ClockSample]:
        """What was told to the model."""
        return [b for b in self.reactor.bodies("clock.sample") if isinstance(b, ClockSample)]

    def count(self, key: str) -> float:
        """Return one number of the snapshot."""
        return self.sampler.snapshot().get(key, 0.0)

    @property
    def sampled(self) -> Sampled:
        """The answer to ``clock.sources``."""
        envelope = wire.Envelope(kind="clock.sources", id=1)
        request = Request(b"", envelope, AskSources(), lambda *_: None)
        answer = self.sampler.handlers()["clock.sources"].function(request)
        assert isinstance(answer, Sampled)
        return answer

    @property
    def reports(self) -> dict[str, ServerReport]:
        """What it says of each server."""
        return {server.source: server for server in self.sampled.servers}

    def resample(self) -> None:
        """Hear that the model has lost its history."""
        body = Resample("the machine was suspended")
        request = Request(b"", wire.Envelope(kind="clock.resample", id=1), body, lambda *_: None)
        self.sampler.handlers()["clock.resample"].function(request)

    def run_until(self, predicate: Callable[[], object], what: str) -> None:
        """Turn until something holds."""
        self.reactor.run_until(predicate, 10, what)


Make = Callable[..., Bench]


@pytest.fixture
def make(home: Home) -> Iterator[Make]:
    """Return a maker of benches; every sampler is stopped afterwards and holds no descriptor."""
    made: list[Bench] = []

    def build(**config: Any) -> Bench:
        made.append(Bench(home, **config))
        return made[-1]

    yield build
    for bench in made:
        bench.sampler.stop()
        assert bench.reactor.watched == {}


def always(**fields: Any) -> Script:
    """Answer every request with these fields."""
    return lambda request, _: [reply_to(request, **fields)]


def test_ready_without_any_network(make: Make) -> None:
    """A name that does not resolve is no reason to wait, nor to fail."""
    bench = make(servers=("name.invalid",))

    assert bench.outcome == Ready()
    bench.run_until(lambda: bench.count('ntp_rejected_total{reason="name"}'), "a failed look-up")


def test_honest_server_yields_samples_in_a_burst(make: Make) -> None:
    """Four quick samples with all that the bound needs."""
    with scripted_server(always(root_delay_s=0.25)) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: len(bench.samples) >= 4, "a burst")

    sample = bench.samples[0]
    assert (sample.source, sample.origin, sample.stratum) == (server.name, "ntp", 2)
    assert sample.upstream == "c0000201"
    assert sample.half_width_ns > 125_000_000 + 1_000_000
    assert abs(sample.realtime_offset_ns) <= sample.half_width_ns
    assert bench.reactor.told[0][0] == "clock_model"


def test_who_is_waited_for_is_told_until_it_answers_or_fails(make: Make) -> None:
    """Both at first, then the dead one alone, then nobody, soon after its time-out."""
    with scripted_server(always()) as alive, scripted_server(lambda _request, _n: []) as dead:
        bench = make(servers=(alive.name, dead.name))
        bench.run_until(
            lambda: AwaitedSources((), 0) in bench.reactor.bodies("clock.awaited"), "the end"
        )

    told = [b for b in bench.reactor.bodies("clock.awaited") if isinstance(b, AwaitedSources)]
    assert [set(b.sources) for b in told[:3]] == [{alive.name, dead.name}, {dead.name}, set()]
    assert 0 < told[1].for_ms <= told[0].for_ms <= 5000
    kinds = [kind for _, kind, _ in bench.reactor.told]
    assert kinds.index("clock.sample") < kinds.index("clock.awaited", 1)


def test_what_was_under_way_at_a_disruption_excuses_nobody(make: Make) -> None:
    """Its answer would be about the time before: it is given up, and who gives it asked again."""
    with scripted_server(lambda request, n: [reply_to(request)] if n else []) as server:
        bench = make(servers=(server.name,), timeout_s=5)
        bench.run_until(lambda: bench.count(f'ntp_requests_total{{source="{server.name}"}}'), "one")
        bench.resample()
        bench.run_until(lambda: bench.samples, "an answer to the next one")

    assert bench.count('ntp_rejected_total{reason="timeout"}') == 0
    told = [b for b in bench.reactor.bodies("clock.awaited") if isinstance(b, AwaitedSources)]
    assert [b.sources for b in told] == [(server.name,), (server.name,), ()]


def test_large_offset_is_measured_not_judged(make: Make) -> None:
    """An hour of difference is a sample like any other: which clock is wrong is for the model."""
    with scripted_server(always(offset_ns=3_600 * 10**9)) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: bench.samples, "a sample")

    assert abs(bench.samples[0].realtime_offset_ns - 3_600 * 10**9) < 10**8


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (lambda _request, _n: [b"\xff" * 48], "origin"),
        (lambda _request, _n: [b"tiny"], "short"),
        (always(origin=0x1234), "origin"),
        (always(stratum=16), "stratum"),
        (always(leap=3), "leap"),
        (always(mode=5), "mode"),
        (always(version=3), "version"),
        (always(receive=0), "timestamps"),
        (always(root_dispersion_s=2.0), "root_distance"),
        (always(receive=1 << 32, transmit=900 << 32), "negative_delay"),
        (lambda _request, _n: [], "timeout"),
        (lambda _request, _n: [b"x" * 60] * 20, "flooded"),
    ],
    ids=[
        "garbage", "short", "wrong-cookie", "stratum-16", "leap-3", "broadcast", "version-3",
        "no-receive-stamp", "far-from-root", "held-too-long", "silence", "flood",
    ],
)  # fmt: skip
def test_useless_reply_is_no_sample(make: Make, script: Script, reason: str) -> None:
    """Each is counted under its reason, and nothing reaches the model."""
    with scripted_server(script) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: bench.count(f'ntp_rejected_total{{reason="{reason}"}}'), reason)

    assert bench.samples == []


def test_replayed_reply_is_foreign(make: Make) -> None:
    """The first reply, sent again to every later request, yields one sample in all."""
    first: list[bytes] = []

    def script(request: bytes, _: int) -> list[bytes]:
        first.append(reply_to(request))
        return [first[0]]

    with scripted_server(script) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: bench.count('ntp_rejected_total{reason="origin"}') >= 2, "replays")

    assert len(bench.samples) == 1


def test_duplicate_reply_counts_once(make: Make) -> None:
    """A reply that arrives three times is one sample."""
    with scripted_server(lambda request, _: [reply_to(request)] * 3) as server:
        bench = make(servers=(server.name,), burst_count=1)
        bench.run_until(lambda: len(server.requests) >= 2, "the next request")

    assert len(bench.samples) <= len(server.requests)
    assert len({s.raw_ns for s in bench.samples}) == len(bench.samples)


def test_rate_kiss_silences_us_and_denial_gives_up(make: Make) -> None:
    """After either kiss the server hears nothing more for now."""
    kiss = {"stratum": 0, "leap": 3}
    with (
        scripted_server(always(**kiss, reference_id=b"RATE")) as rate,
        scripted_server(always(**kiss, reference_id=b"DENY")) as deny,
        scripted_server(always()) as honest,
    ):
        bench = make(servers=(rate.name, deny.name, honest.name))
        bench.run_until(lambda: len(honest.requests) >= 5, "the honest one to be asked on")

        assert (len(rate.requests), len(deny.requests)) == (1, 1)
    assert bench.count('ntp_rejected_total{reason="kiss"}') == 2
    assert {s.source for s in bench.samples} == {honest.name}


def test_forged_kiss_is_ignored(make: Make) -> None:
    """A kiss of death without our cookie cannot drive us from a server."""

    def script(request: bytes, _: int) -> list[bytes]:
        return [reply_to(request, origin=5, stratum=0, reference_id=b"DENY"), reply_to(request)]

    with scripted_server(script) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: len(bench.samples) >= 2, "samples in spite of it")


def test_kernel_speaks_while_no_server_has_answered(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unsynchronised: no bound; and once a server answers, the kernel is not heard again."""
    monkeypatch.setattr(own_clock, "KERNEL_POLL_S", 0.05)
    monkeypatch.setattr(own_clock, "read_kernel_clock", lambda: KernelClock(status=STA_UNSYNC))
    may_answer: list[bool] = []

    def script(request: bytes, _: int) -> list[bytes]:
        return [reply_to(request)] if may_answer else []

    with scripted_server(script) as server:
        bench = make(servers=(server.name,), kernel_after_s=0.0)
        bench.run_until(lambda: len(bench.samples) >= 2, "kernel samples")
        assert {s.origin for s in bench.samples} == {"kernel"}
        assert bench.samples[0].half_width_ns == UNBOUNDED_NS
        assert bench.samples[0].flags == FLAG_KERNEL_UNPROVEN

        may_answer.append(True)
        bench.run_until(lambda: bench.samples[-1].origin == "ntp", "an NTP sample")
        count = sum(s.origin == "kernel" for s in bench.samples)
        bench.run_until(lambda: len(bench.samples) >= count + 2, "the next NTP sample")

    assert sum(s.origin == "kernel" for s in bench.samples) == count


def test_bounded_kernel_carries_its_error_and_the_floor(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel admits plus 100 ms."""
    clock = KernelClock(state=0, status=0, maxerror_ns=5_000_000)
    monkeypatch.setattr(own_clock, "read_kernel_clock", lambda: clock)
    bench = make(servers=(), kernel_after_s=0.0)

    bench.run_until(lambda: bench.samples, "a kernel sample")

    assert 105_000_000 <= bench.samples[0].half_width_ns < 106_000_000


def test_asserted_error_replaces_the_kernels(make: Make) -> None:
    """The operator's word goes out as `asserted`."""
    bench = make(servers=(), kernel_after_s=0.0, assume_realtime_error_s=0.5)

    bench.run_until(lambda: bench.samples, "an asserted sample")

    assert (bench.samples[0].origin, bench.samples[0].flags) == ("asserted", FLAG_ASSERTED)
    assert 500_000_000 <= bench.samples[0].half_width_ns < 501_000_000


def test_reload_takes_new_servers_and_drops_old_ones(make: Make) -> None:
    """What stays keeps its state; what goes is asked no more."""
    with scripted_server(always()) as old, scripted_server(always()) as new:
        bench = make(servers=(old.name,))
        bench.run_until(lambda: bench.samples, "a sample of the old one")

        assert bench.sampler.reload({**QUICK, "servers": [new.name]})
        bench.run_until(lambda: bench.samples[-1].source == new.name, "a sample of the new one")
        heard = len(old.requests)
        bench.run_until(lambda: len(new.requests) >= 5, "more of the new one")

        assert len(old.requests) <= heard + 1
    assert bench.reactor.bodies("clock.withdrawn") == [Withdrawn((old.name,))]
    assert list(bench.reports) == [new.name]
    assert f'ntp_reach{{source="{old.name}"}}' not in bench.sampler.snapshot()


def test_sources_are_reported_with_all_that_was_heard(make: Make) -> None:
    """Address, reach, header and counts of a server that answers."""
    with scripted_server(always(stratum=1, reference_id=b"GPS\0", leap=1)) as server:
        bench = make(servers=(server.name,), smear={server.name: "linear24"})
        assert bench.reports[server.name].condition == "new"
        bench.run_until(lambda: len(bench.samples) >= 2, "two samples")
        said = bench.reports[server.name]

    assert (said.condition, said.trouble, said.address) == ("answering", "", server.name)
    assert (said.stratum, said.reference, said.leap) == (1, "GPS", 1)
    assert said.reference_name == "Global Position System"
    assert said.reach & 1
    assert said.answers == 2 <= said.requests
    assert 0 <= said.answer_age_ms < 5000
    assert said.smear == bench.samples[0].smear == "linear24"


@pytest.mark.parametrize(
    ("script", "condition", "trouble", "counted"),
    [
        (always(leap=3), "rejected", "the server calls itself unsynchronised", "leap"),
        (always(stratum=16), "rejected", "the server has no reference", "stratum"),
        (always(mode=5), "rejected", "it is no server's answer", "mode"),
        (always(origin=7), "silent", "no reply within 0.2 s", "origin"),
        (lambda _r, _n: [b"garbage"], "silent", "no reply within 0.2 s", "short"),
        (lambda _r, _n: [], "silent", "no reply within 0.2 s", "timeout"),
        (lambda _r, _n: [b"x" * 60] * 20, "silent", "flooded with foreign datagrams", "flooded"),
        (always(stratum=0, reference_id=b"RATE"), "held", "kiss of death RATE", "kiss"),
        (always(stratum=0, reference_id=b"RSTR"), "refused", "every address denied us", "kiss"),
    ],
    ids=["leap-3", "stratum-16", "mode", "spoof", "garbage", "silence", "flood", "RATE", "RSTR"],
)
def test_trouble_is_reported_in_words(
    make: Make, script: Script, condition: str, trouble: str, counted: str
) -> None:
    """One word, one line, and a count under the reason: what `hourbook sources` shows."""
    with scripted_server(script) as server:
        bench = make(servers=(server.name,))
        bench.run_until(
            lambda: (
                bench.reports[server.name].trouble == trouble
                and bench.reports[server.name].rejected.get(counted)
            ),
            trouble,
        )
        said = bench.reports[server.name]

    assert said.condition == condition
    assert bench.samples == []


def test_name_that_does_not_resolve_is_reported(make: Make) -> None:
    """DNS failing is trouble of that source, and of no other."""
    with scripted_server(always()) as server:
        bench = make(servers=("name.invalid", server.name))
        bench.run_until(lambda: bench.reports["name.invalid"].trouble, "the failed look-up")
        bench.run_until(lambda: bench.samples, "a sample of the other")

    said = bench.reports["name.invalid"]
    assert (said.condition, said.address, said.rejected) == ("unresolved", "", {"name": 1})
    assert said.trouble.startswith("does not resolve: ")
    assert "Errno" not in said.trouble


def test_flipping_leap_bit_changes_nothing_but_the_report(make: Make) -> None:
    """Samples go on; what the bit says is carried along and believed by nobody."""
    with scripted_server(lambda request, n: [reply_to(request, leap=n % 3)]) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: len(bench.samples) >= 4, "samples")

    assert [sample.leap for sample in bench.samples[:4]] == [0, 1, 2, 0]


def test_leap_bits_that_say_unsynchronised_now_and_then_cost_only_those_replies(
    make: Make,
) -> None:
    """Every other reply counts."""
    with scripted_server(lambda request, n: [reply_to(request, leap=3 * (n % 2))]) as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: len(bench.samples) >= 2, "samples")
        said = bench.reports[server.name]

    assert said.rejected["leap"] >= 1
    assert said.condition == "answering"


def test_local_daemon_without_sources_is_no_evidence(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves this machine's own clock; configured by name, the same server is believed."""
    with scripted_server(always(stratum=10, reference_id=b"\x7f\x7f\x01\x01")) as server:
        monkeypatch.setattr(ntp_sampler, "LOCAL_DAEMON", server.name)
        found = make(servers=(), local_daemon=True)
        named = make(servers=(server.name,), local_daemon=True)
        found.run_until(lambda: server.name in found.reports, "the refusal")
        named.run_until(lambda: named.samples, "a sample")

    assert found.samples == []
    assert found.reports[server.name].trouble == "serves this machine's own clock"


def test_local_daemon_that_follows_others_is_a_source(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chronyd of this machine that answers counts, unasked."""
    with scripted_server(always(stratum=3)) as server:
        monkeypatch.setattr(ntp_sampler, "LOCAL_DAEMON", server.name)
        bench = make(servers=(), local_daemon=True)
        bench.run_until(lambda: bench.samples, "a sample")

    assert bench.samples[0].source == server.name


def test_local_daemon_that_is_not_there_is_not_reported(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for it by name, so its absence is no trouble; a configured server's is."""
    with scripted_server(always()) as gone:
        pass
    monkeypatch.setattr(ntp_sampler, "LOCAL_DAEMON", gone.name)
    refused = 'ntp_rejected_total{reason="unreachable"}'
    found, named = make(servers=(), local_daemon=True), make(servers=(gone.name,))
    found.run_until(lambda: found.count(refused), "a refusal")
    named.run_until(lambda: named.count(refused), "another")

    assert list(found.reports) == []
    assert named.reports[gone.name].trouble == "Connection refused"


def test_own_clock_is_reported_until_a_server_answers(make: Make) -> None:
    """What stands in for servers, in words."""
    bench = make(servers=(), kernel_after_s=0.0, assume_realtime_error_s=0.5)
    bench.run_until(lambda: bench.samples, "the asserted clock")

    assert bench.sampled == Sampled(own_clock="asserted to be right within 0.5 s")


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_ipv6_server_is_a_source(make: Make) -> None:
    """Named by its literal address in brackets."""
    with scripted_server(always(), host="::1") as server:
        bench = make(servers=(server.name,))
        bench.run_until(lambda: bench.samples, "a sample")

    assert bench.reports[server.name].address == server.name
