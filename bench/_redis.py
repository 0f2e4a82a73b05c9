"""Redis Streams as a peer: ``appendfsync always``, so that XADD answers after the fsync, as we do.

Speaks RESP over a Unix socket itself, since no more of a client is needed. It chains no hashes,
signs nothing and keeps nonces unchecked: the least that a log can do.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["HINT", "RedisKeys", "RedisStream", "running_redis"]

HINT: Final = "Redis is missing, and its rows show -: apt-get install redis-server"
SOCKET: Final = "redis.sock"
_STREAM: Final = b"book"


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[Path | None]:
    """Run a Redis with its files in `directory`; yield its socket, None where there is no Redis."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    path = directory / SOCKET
    options = {
        "port": "0",
        "unixsocket": str(path),
        "dir": str(directory),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "auto-aof-rewrite-percentage": "0",
        "loglevel": "warning",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        yield path
    finally:
        server.terminate()
        server.wait(10)


class RedisStream:
    """A connection that appends to one stream."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._replies = self._socket.makefile("rb")

    def send(self, fields: tuple[str, ...], count: int = 1) -> None:
        """Send `count` XADD of the same fields, without waiting."""
        words = [b"XADD", _STREAM, b"*", *(field.encode() for field in fields)]
        command = b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%b\r\n" % (len(word), word) for word in words
        )
        self._socket.sendall(command * count)

    def receive(self, count: int = 1) -> None:
        """Wait for the answers of `count` XADD: their ids."""
        for _ in range(count):
            size = self._replies.readline()
            if size[:1] != b"$":
                raise RuntimeError(f"Expected the id of an entry, got {size!r}, from Redis")
            self._replies.readline()

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._socket.close()


class RedisKeys:
    """A connection that gets and sets keys."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._replies = self._socket.makefile("rb")

    def get(self, key: str) -> bytes:
        """Return the value of a key that is there."""
        name = key.encode()
        self._socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name))
        size = int(self._replies.readline()[1:])
        return self._replies.read(size + 2)[:size]

    def send_set(self, keys: list[str], value: bytes) -> None:
        """Send a SET of each key, without waiting; several are one transaction."""
        commands = b"".join(
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
            for name in (key.encode() for key in keys)
        )
        if len(keys) > 1:
            commands = b"*1\r\n$5\r\nMULTI\r\n" + commands + b"*1\r\n$4\r\nEXEC\r\n"
        self._socket.sendall(commands)

    def receive_set(self, count: int) -> None:
        """Wait for the answer to :meth:`send_set` of `count` keys."""
        lines = 1 if count == 1 else 2 + 2 * count  # MULTI, QUEUED each; the array, OK each
        for _ in range(lines):
            line = self._replies.readline()
            if line[:1] not in b"+*":
                raise RuntimeError(f"Expected an OK, got {line!r}, from Redis")

    def lock(self, key: str, token: bytes, ttl_ms: int) -> None:
        """Take a lock that is free: SET with NX and PX."""
        self._ask(b"SET", key.encode(), token, b"NX", b"PX", b"%d" % ttl_ms, answer=b"+OK")

    def unlock(self, key: str) -> None:
        """Let it go: DEL."""
        self._ask(b"DEL", key.encode(), answer=b":1")

    def _ask(self, *words: bytes, answer: bytes) -> None:
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self._socket.sendall(b"*%d\r\n%b" % (len(words), parts))
        line = self._replies.readline().rstrip()
        if line != answer:
            raise RuntimeError(f"Expected {answer!r}, got {line!r}, from Redis")

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._socket.close()
