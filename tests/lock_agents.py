"""Processes that lock and write as they are told."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from hourbook.home import Home

__all__ = ["Agent", "agents"]

_AGENT: Final = """
import os, signal, sys, hourbook
from protocols import errors
name, home, ttl_s, wait_s = sys.argv[1:]
book = hourbook.connect(name, home)
store = book.store("app")
print("up", flush=True)
lock = None
for line in sys.stdin:
    word, _, key = line.strip().partition(" ")
    try:
        if word == "lock":
            lock = store.lock(key, ttl_s=float(ttl_s), wait_s=float(wait_s)).acquire()
            said = lock.token
        elif word == "unlock":
            said = lock.release()
        elif word == "write":
            said = store.set(key, name, token=lock.token)
        elif word == "lost":
            said = lock.is_lost
        elif word == "fork":
            said = os.fork() or signal.pause()
    except errors.HourbookError as error:
        said = f"{type(error).__name__}: {error}"
    print(said, flush=True)
"""


class Agent:
    """Another process that locks and writes as it is told."""

    def __init__(self, home: Home, name: str, ttl_s: float, wait_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AGENT, name, str(home.path), str(ttl_s), str(wait_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = name

    def tell(self, words: str) -> None:
        """Say what to do."""
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """Return what came of it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, words: str) -> str:
        """Do both."""
        self.tell(words)
        return self.hear()

    def signal(self, number: int) -> None:
        """Stop, continue or kill it."""
        os.kill(self.process.pid, number)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@contextlib.contextmanager
def agents(
    home: Home, count: int, *, ttl_s: float = 5, wait_s: float = 10
) -> Iterator[list[Agent]]:
    """Run several, called a0, a1 and so on."""
    made = [Agent(home, f"a{index}", ttl_s, wait_s) for index in range(count)]
    try:
        for agent in made:
            assert agent.hear() == "up"
        yield made
    finally:
        for agent in made:
            agent.close()
