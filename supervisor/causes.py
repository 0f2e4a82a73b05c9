"""Why a process ended, in one word or two: what `status`, the event log and the rules speak of."""

import signal
from typing import NamedTuple

__all__ = ["Exit", "cause_of", "is_normal"]


class Exit(NamedTuple):
    """How the kernel says that a process ended.

    Attributes:
        code: its exit code, or minus the number of the signal that ended it.
        core: a core file was written.
        oom: the kernel killed it for want of memory.
    """

    code: int
    core: bool = False
    oom: bool = False


def is_normal(end: Exit) -> bool:
    """Say whether a transient actor that ended so is done: exit 0, or as asked by SIGTERM."""
    return end.code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


def cause_of(end: Exit, *, why: str = "", killed: bool = False) -> str:
    """Return the cause to record.

    Args:
        end: what the kernel said.
        why: what we ended it for: "requested", "watchdog", "start_timeout", "rss"; "" if it left.
        killed: our stop needed SIGKILL.
    """
    if why == "requested" and killed:
        return "killed"
    if why:
        return why
    if end.oom:
        return "oom"
    if end.code >= 0:
        return f"exit {end.code}"
    return f"{'core' if end.core else 'signal'} {_signal_name(-end.code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
