"""A process that changes the signing key of a book and is killed at a given step of it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import multiprocess
from books import STAMP, open_writer

from hourbook.book.proof import key_ring
from hourbook.book.proof.key_ring import KeyRing
from hourbook.book.proof.keys import SiteKey
from hourbook.home import Home
from protocols.entry import make_nonce
from protocols.key_messages import RotateKey

__all__ = ["CHANGE", "STEPS", "rotate_and_die"]

CHANGE: Final = RotateKey(writer="operator", nonce=make_nonce(9, 1), why="yearly")
STEPS: Final = {
    "next.key is written, without its name": (Path, "replace", "before"),
    "next.key is there": (SiteKey, "create_next", "after"),
    "the commit is there": (KeyRing, "_promote", "before"),
    "next.key is site.key": (key_ring, "sync_directory", "before"),
    "site.pub is old": (key_ring, "write_public", "before"),
    "site.pub is new": (key_ring, "write_public", "after"),
}
"""When it is killed: before or after which call."""


def rotate_and_die(home: Home, step: str) -> int:
    """Return the exit code of a process that changes the key, and is killed at `step`."""
    process = multiprocess.get_context("forkserver").Process(target=_rotate, args=(home, step))
    process.start()
    process.join(20)
    return int(process.exitcode)


def _rotate(home: Home, step: str) -> None:
    writer = open_writer(home)
    owner, name, when = STEPS[step]
    setattr(owner, name, _deadly(getattr(owner, name), when))
    writer.write([CHANGE], STAMP)


def _deadly(call: Callable[..., Any], when: str) -> Callable[..., Any]:
    def die(*arguments: Any) -> None:
        if when == "after":
            call(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return die
