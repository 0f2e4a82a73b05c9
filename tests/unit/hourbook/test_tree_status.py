"""One question to the supervisor: the answer, or at once the reason why there is none."""

import socket
from pathlib import Path

import pytest
from fakes.supervisor_socket import actor_row, answering_supervisor, tree_status

from hourbook.home import Home
from hourbook.tree_status import fetch_status
from protocols import errors


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home whose run directory exists and is empty."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    return Home(path=tmp_path, run_dir=run_dir)


def test_fetch_status_returns_what_the_supervisor_says(home: Home) -> None:
    """The whole status comes back typed."""
    expected = tree_status(actor_row("clock_model"), snapshots={"clock_model": {"x_total": 1.0}})
    with answering_supervisor(home, expected) as heard:
        status = fetch_status(home, src="test")

    assert status == expected
    assert [(envelope.kind, envelope.src) for envelope in heard] == [("status", "test")]


def test_fetch_status_names_home_and_command_when_nothing_runs(home: Home) -> None:
    """The user learns where it looked and what to run."""
    with pytest.raises(errors.SupervisorUnreachable) as caught:
        fetch_status(home)

    assert str(home.path) in str(caught.value)
    assert "supervisor start" in str(caught.value)


def test_fetch_status_fails_at_once_on_the_socket_of_a_dead_supervisor(home: Home) -> None:
    """A stale socket file refuses; it is not waited for."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(home.mailbox("supervisor"))

    with pytest.raises(errors.SupervisorUnreachable, match="got none"):
        fetch_status(home, timeout_s=30)


def test_fetch_status_gives_up_on_a_silent_supervisor(home: Home) -> None:
    """A wedged supervisor costs its caller the time-out, no more."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(home.mailbox("supervisor"))
        silent.listen()

        with pytest.raises(errors.SupervisorUnreachable, match=r"within 0\.05 s, got silence"):
            fetch_status(home, timeout_s=0.05)
