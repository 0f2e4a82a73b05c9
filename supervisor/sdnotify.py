"""What the supervisor tells systemd: ready, stopping, reloading, and that its loop turns.

The protocol is sd_notify(3): one datagram of ``KEY=VALUE`` lines to the socket named by
``NOTIFY_SOCKET``. Outside systemd every call does nothing. A notification that cannot be sent is
counted and never an error: the service must not fail because its manager is busy.
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Self

from actors.timers import Timers

__all__ = ["Herald", "Notifier"]


class Notifier:
    """One sender.

    Args:
        address: path of the socket, ``@name`` in the abstract namespace, or "" for none.
        watchdog_s: how often systemd wants to hear :meth:`alive`, at the latest (seconds, > 0), or
            None when it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self.failures = 0
        self._target = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            kind = socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)
            self._socket = socket.socket(socket.AF_UNIX, kind)
            self._socket.settimeout(0)  # a full queue must not stop the loop

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Self:
        """Build from NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and remove them.

        Removed, because a child that inherited them could speak in the supervisor's name.
        """
        variables = os.environ if environment is None else environment
        address = variables.pop("NOTIFY_SOCKET", "")
        period_us = variables.pop("WATCHDOG_USEC", "")
        pid = variables.pop("WATCHDOG_PID", "")
        is_watched = period_us.isdecimal() and int(period_us) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(period_us) / 1e6 if is_watched else None)

    @property
    def is_active(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Start-up is done, or a reload is."""
        self._send("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``."""
        self._send(*_status(text))

    def reloading(self, mono_ns: int) -> None:
        """A reload begins; :meth:`ready` ends it. `mono_ns` is CLOCK_MONOTONIC now."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={mono_ns // 1000}")

    def stopping(self, status: str = "") -> None:
        """The ordered stop begins."""
        self._send("STOPPING=1", *_status(status))

    def alive(self) -> None:
        """The loop turns; to be called at least twice in each `watchdog_s`."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None or not lines:
            return
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._target)
        except OSError:
            self.failures += 1


class Herald:
    """Announces states of the tree.

    Args:
        notifier: the way to systemd; mute outside it.
        timers: the loop's own.
        now_ns: monotonic time.
    """

    def __init__(self, notifier: Notifier, timers: Timers, now_ns: int) -> None:
        self._notifier = notifier
        self._told_state = "STARTING"
        if notifier.watchdog_s is not None:
            period_ns = round(notifier.watchdog_s * 1e9 / 3)
            timers.add(now_ns + period_ns, notifier.alive, period_ns)

    def tell(self, state: str, actor_count: int) -> None:
        """Announce `state` if it is news."""
        if state == self._told_state:
            return
        text = f"{state}: {actor_count} actors"
        if state == "STOPPING":
            self._notifier.stopping(text)
        elif self._told_state == "STARTING":
            self._notifier.ready(text)
        else:
            self._notifier.status(text)
        self._told_state = state


def _status(text: str) -> tuple[str, ...]:
    # A line break would begin another assignment.
    return (f"STATUS={' '.join(text.split())}",) if text else ()
