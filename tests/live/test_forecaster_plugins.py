"""Plug-ins as users have them, in the real actor: the docs' example, Chronos-Bolt, mistakes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from fakes.clock_actors import ActorProcess
from fakes.plugin_packages import install, install_troubled
from waiting import wait_until

from hourbook.home import Home
from hourbook.link.actor_question import ask_actor
from protocols import errors, wire
from protocols.clock_messages import SAMPLE_KIND, ClockSample
from protocols.why_messages import WHY_KIND, AskWhy, ForecasterWhy, Why

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "FORECASTERS.md").read_text()
FAKES = ROOT / "tests" / "fakes"
S_NS = 1_000_000_000
Start = Callable[..., ActorProcess]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder where the actor's Python looks for packages."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(path))
    return path


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    """Return what starts clock_model with forecasters; it is gone afterwards."""
    running: list[ActorProcess] = []

    def launch(**config: Any) -> ActorProcess:
        path = "actors.clock_model:ClockModel"
        running.append(ActorProcess(home, path, "clock_model", config))
        wait_until(lambda: answers(home), 20, "clock_model to answer")
        wait_until(lambda: tell_samples(home, 10), 20, "the samples to be accepted")
        return running[-1]

    yield launch
    for actor in running:
        actor.kill()


def answers(home: Home) -> Why | None:
    """Return what clock_model says, None while it is silent."""
    try:
        return ask_actor(home, "clock_model", WHY_KIND, AskWhy(), Why)
    except errors.ActorUnreachable:
        return None


def forecaster(home: Home) -> ForecasterWhy:
    """Return how its one forecaster fares."""
    why = answers(home)
    assert why
    return why.forecasters[0]


def wait_for(home: Home, what: str, holds: Callable[[ForecasterWhy], object]) -> ForecasterWhy:
    """Wait until something holds of the one forecaster."""
    wait_until(lambda: holds(forecaster(home)), 20, what)
    return forecaster(home)


def tell_samples(home: Home, count: int) -> bool:
    """Send samples of the last second, 1 ms beside the wall clock; say whether they count."""
    raw_ns, wall_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), time.time_ns()
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.LINGER, 5000)
        dealer.connect(home.mailbox_uri("clock_model"))
        # What ntp_sampler says first: nobody else was asked, so nobody has to be waited for.
        alone = msgspec.Raw(msgspec.msgpack.encode({"sources": [], "for_ms": 0}))
        dealer.send(wire.encode(wire.Envelope(kind="clock.awaited", id=0, body=alone)))
        for age in range(count, 0, -1):
            sample = ClockSample(
                source="a",
                raw_ns=raw_ns - age * 100_000_000,
                utc_ns=wall_ns - age * 100_000_000 + 1_000_000,
                half_width_ns=1_000_000,
                delay_ns=1_000_000,
                poll_s=16,
                origin="ntp",
            )
            body = msgspec.Raw(msgspec.msgpack.encode(sample))
            dealer.send(wire.encode(wire.Envelope(kind=SAMPLE_KIND, id=age, body=body)))
    why = answers(home)
    return why is not None and why.samples >= count


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_gone(pid: int) -> bool:
    """Say whether a process has ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def install_example(site: Path) -> None:
    """Install what docs/FORECASTERS.md tells the reader to write."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT, re.DOTALL)
    source = next(text for kind, text in blocks if kind == "python")
    project = next(text for kind, text in blocks if "entry-points" in text)
    points = tomllib.loads(project)["project"]["entry-points"]["hourbook.forecasters"]
    code = [line for line in source.splitlines() if line.strip() and not line.startswith('"')]
    assert len(code) <= 20
    install(site, "last-line", {"last_line.py": source}, points)


def install_chronos(site: Path, *, init: str | None = None) -> Path:
    """Install stand-ins for chronos and torch, and return a folder of weights."""
    chronos = init or (FAKES / "chronos_stand_in.py").read_text()
    torch = (FAKES / "torch_stand_in.py").read_text()
    install(site, "stand-ins", {"chronos/__init__.py": chronos, "torch/__init__.py": torch}, {})
    weights = site / "weights"
    weights.mkdir()
    (weights / "config.json").write_text(json.dumps({"chronos_config": {"context_length": 512}}))
    return weights


def test_example_of_the_document_joins_the_clock(home: Home, site: Path, start: Start) -> None:
    """Twenty lines in a package with an entry point: it has a weight, and says what it claims."""
    install_example(site)

    start(forecasters=["last-line"], forecaster_options={"last-line": {"count": 9}})
    one = wait_for(home, "its forecast", lambda one: one.answers)

    assert (one.forecaster, one.failures, one.problem) == ("last-line", {}, "")
    assert 0 < one.weight < 1
    assert 0 < one.age_ns < one.horizon_ns
    assert one.claimed_share == pytest.approx(0.8)


def test_stale_forecast_has_no_say(home: Home, site: Path, start: Start) -> None:
    """Samples 0.1 s apart make a last horizon of 1.6 s: after that its weight is 0."""
    install_example(site)
    start(forecasters=["last-line"])
    wait_for(home, "its forecast", lambda one: one.weight)

    one = wait_for(home, "its end", lambda one: not one.weight)

    assert one.age_ns > one.horizon_ns
    assert one.failures == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_worker_ends_with_its_actor(
    home: Home, site: Path, start: Start, number: signal.Signals
) -> None:
    """Even a hanging one, even if the actor is killed."""
    install_troubled(site)
    actor = start(forecasters=["hanging"], forecaster_timeout_s=60)
    wait_for(home, "a question", lambda one: one.phase == "busy")
    (worker,) = children_of(actor.process.pid)

    os.kill(actor.process.pid, number)
    actor.process.wait(10)

    wait_until(lambda: is_gone(worker), 5, "the worker to be gone")


def test_chronos_bolt_forecasts_from_local_weights(home: Home, site: Path, start: Start) -> None:
    """The adapter speaks to the package's interface, offline, and claims its outer quantiles."""
    weights = install_chronos(site)

    start(forecasters=["chronos-bolt"], forecaster_options={"chronos-bolt": {"path": str(weights)}})
    one = wait_for(home, "its forecast", lambda one: one.answers or one.failures)

    assert (one.failures, one.problem) == ({}, "")
    assert one.weight > 0
    assert (one.claimed_share, one.claimed_ns) == (0.8, 40_000)


@pytest.mark.parametrize(
    ("init", "folder", "problem"),
    [
        (None, "elsewhere", "Expected a folder with config.json and weights, got none at path"),
        (
            "import part_of_torch",
            "weights",
            "Expected chronos-forecasting for chronos-bolt, got: No module named 'part_of_torch'",
        ),
    ],
)
def test_chronos_bolt_says_what_is_missing(
    home: Home, site: Path, start: Start, init: str | None, folder: str, problem: str
) -> None:
    """One line in `clock why` and in the log; the clock goes on."""
    path = install_chronos(site, init=init).with_name(folder)

    options = {"chronos-bolt": {"path": str(path)}}
    actor = start(forecasters=["chronos-bolt"], forecaster_options=options)
    one = wait_for(home, "its failure", lambda one: one.failures)

    assert one.problem.startswith(f"exit code 1: {problem}")
    assert problem in actor.log
    why = answers(home)
    assert why
    assert why.bounded


def test_unknown_forecaster_is_a_mistake_in_one_line(home: Home, site: Path) -> None:
    """`supervisor validate` lists those that are installed; nothing starts."""
    install_example(site)
    config = home.path / "hourbook.toml"
    config.write_text('[actor.clock_model.config]\nforecasters = ["last-lime"]\n')

    result = subprocess.run(
        [sys.executable, "-m", "supervisor", "validate", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    lines = (result.stdout + result.stderr).splitlines()
    assert len([line for line in lines if "last-lime" in line]) == 1
    assert "forecasters must name installed ones (chronos-bolt, last-line)" in result.stderr


def replay(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run `hourbook clock replay` on a line of 40 rows."""
    rows = [f"{64 * n},{0.5 * n},10" for n in range(40)]
    return subprocess.run(
        [sys.executable, "-m", "hourbook.command", "clock", "replay", "-", *words],
        input="\n".join(["t_s,offset_ms,delay_ms", *rows]),
        capture_output=True,
        text=True,
        check=False,
    )


def test_replay_lets_a_forecaster_join(site: Path) -> None:
    """Asked after each row; what it says shows in the prediction of the next one."""
    install_example(site)

    without = replay()
    with_it = replay("--forecaster", "last-line", "--forecaster-options", '{"count": 5}')

    assert (with_it.returncode, with_it.stderr) == (0, "")
    assert len(with_it.stdout.splitlines()) == len(without.stdout.splitlines()) == 41
    assert with_it.stdout.splitlines()[:8] == without.stdout.splitlines()[:8]
    assert with_it.stdout != without.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nobody"], 3, "Expected an installed forecaster (chronos-bolt, crashing, "),
        (["crashing"], 3, "got: exit code 1: RuntimeError: cannot fit 8"),
        (["stillborn"], 3, "got: exit code 1: FileNotFoundError: no weights here"),
        (["wrong", "--forecaster-options", '{"kind": "nan"}'], 3, "got nan"),
        (["oracle", "--forecaster-options", "ahead"], 2, "Expected JSON for --forecaster-options"),
    ],
)
def test_replay_ends_with_a_forecaster_that_fails(
    site: Path, words: list[str], code: int, message: str
) -> None:
    """One line that names it and what it said."""
    install_troubled(site)

    done = replay("--forecaster", *words)

    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
