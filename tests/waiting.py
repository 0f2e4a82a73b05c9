"""Waiting for a condition with a deadline; the only place in the tests that polls."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until"]

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    """Call `predicate` until it returns something true; fail naming `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > deadline_s:
            raise AssertionError(f"waited {timeout_s:g} s for {what}, last saw {result!r}")
        time.sleep(0.005)
