"""Edge: look names up without holding up the loop that wants to know.

getaddrinfo(3) may block for half a minute, so each look-up has a thread of its own. The threads are
daemons: a resolver that hangs must not keep a process from ending. Results wait in a queue, and a
byte in a pipe wakes the loop.
"""

import contextlib
import ipaddress
import os
import queue
import socket
import threading

from hourbook.clock.polling import Address
from hourbook.clock.reference import split_name

__all__ = ["Resolver"]


class Resolver:
    """Looks names up; watch `fd`, then call :meth:`results`."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._results: queue.SimpleQueue[tuple[str, list[Address] | str]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False

    def look_up(self, name: str) -> None:
        """Begin to look up "host" or "host:port"; the result comes through :meth:`results`."""
        threading.Thread(
            target=self._work, args=(name,), name=f"resolve {name}", daemon=True
        ).start()

    def results(self) -> list[tuple[str, list[Address] | str]]:
        """Return what has come in: the addresses of a name, or why there are none."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)
        found = []
        while not self._results.empty():
            found.append(self._results.get_nowait())
        return found

    def close(self) -> None:
        """Forget about look-ups under way."""
        with self._lock:
            self._is_closed = True
            os.close(self.fd)
            os.close(self._write_fd)

    def _work(self, name: str) -> None:
        self._results.put((name, _look_up(name)))
        with self._lock:
            # A pipe so full of wake-ups that one more does not fit needs no other.
            if not self._is_closed:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._write_fd, b"\0")


def _look_up(name: str) -> list[Address] | str:
    host, port = split_name(name)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        return f"does not resolve: {error.strerror}"
    except (UnicodeError, OverflowError) as error:
        return f"does not resolve: {error}"
    hosts = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [Address(h, port, ipaddress.ip_address(h.split("%")[0]).is_loopback) for h in hosts]
