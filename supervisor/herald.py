"""What systemd is told while the tree runs: each change of its state once, and that the loop turns.

Called at every turn of the loop, so that ``WATCHDOG=1`` says exactly that: a loop that hangs goes
silent.
"""

from actors.timers import Timers
from supervisor.sdnotify import Notifier

__all__ = ["Herald"]


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
