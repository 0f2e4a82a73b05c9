"""What systemd hears, on real sockets, and that nobody else may speak for the supervisor."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return NOTIFY_SOCKET and the socket behind it, of both kinds."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@hourbook-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
        heard.settimeout(2)
        yield name, heard


def test_life_of_a_service(systemd: tuple[str, socket.socket]) -> None:
    """Ready, reloading with its time, status, watchdog and stopping are one datagram each."""
    name, heard = systemd
    notifier = Notifier(name, watchdog_s=30)

    notifier.ready("7 actors")
    notifier.status("two\nlines")
    notifier.reloading(1_234_567_890)
    notifier.alive()
    notifier.stopping()

    assert [heard.recv(4096) for _ in range(5)] == [
        b"READY=1\nSTATUS=7 actors",
        b"STATUS=two lines",
        b"RELOADING=1\nMONOTONIC_USEC=1234567",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]
    notifier.close()


def test_environment_is_read_and_taken_away(systemd: tuple[str, socket.socket]) -> None:
    """Children must not inherit the right to speak in our name."""
    environment = {
        "NOTIFY_SOCKET": systemd[0],
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }

    notifier = Notifier.from_environment(environment)

    assert notifier.is_active
    assert notifier.watchdog_s == 30.0
    assert environment == {"PATH": "/bin"}
    notifier.close()


@pytest.mark.parametrize(
    ("period", "pid"), [("30000000", "1"), ("0", ""), ("soon", ""), ("", ""), ("-5", "")]
)
def test_watchdog_of_another_is_not_ours(period: str, pid: str) -> None:
    """A period meant for another process, or none, switches the watchdog off."""
    notifier = Notifier.from_environment({"WATCHDOG_USEC": period, "WATCHDOG_PID": pid})

    assert notifier.watchdog_s is None


def test_nothing_is_sent_outside_systemd() -> None:
    """Without a socket every call is silent."""
    notifier = Notifier.from_environment({})

    notifier.ready()
    notifier.alive()
    notifier.close()

    assert (notifier.is_active, notifier.failures) == (False, 0)


def test_systemd_that_does_not_listen_is_counted(tmp_path: Path) -> None:
    """A manager that is gone or busy is no reason to fail or to wait."""
    notifier = Notifier(str(tmp_path / "nobody"), watchdog_s=1)

    notifier.ready()
    notifier.alive()

    assert notifier.failures == 2
    notifier.close()
