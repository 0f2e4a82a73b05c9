"""`supervisor stop`, and what every slow command says while it waits. An edge."""

import sys
from typing import Final

from hourbook.home import Home
from protocols import control, errors
from supervisor import exit_codes, portable, render
from supervisor.client import Client

__all__ = ["COMMAND_TIMEOUT_S", "stop_tree", "tell_waiting"]

COMMAND_TIMEOUT_S: Final = 60.0
"""For one actor: its start (30 s by default) or its stop, and some."""
_TICK_S: Final = 1.0


def stop_tree(home: Home, *, is_now: bool) -> int:
    """Ask the supervisor to stop, and wait until its process has ended.

    Says once a second whom it still waits for. There is no time-out: each actor has its own, and a
    stop that is reported as failed while it goes on would be a lie.

    Raises:
        SupervisorUnreachable: there is none.
    """
    with Client(home) as client:
        pid = client.status().supervisor.pid
        client.send("stop", control.Command(now=is_now))
        with portable.EndWatch(pid) as end:
            while not end.wait(_TICK_S):
                tell_waiting(home)
    return exit_codes.OK


def tell_waiting(home: Home) -> None:
    """Say on stderr which actors are on their way down or up."""
    try:
        with Client(home) as client:
            status = client.status(_TICK_S)
    except errors.WorldError:
        return
    waiting = render.find_waiting(status, render.UNSETTLED)
    if waiting:
        text = f"waiting for {', '.join(waiting)}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's own output
