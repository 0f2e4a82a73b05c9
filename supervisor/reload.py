"""A changed configuration, taken into force by its difference from the running one.

An actor of which only the ``config`` changed is asked to take it in while it runs; where it says
no, or nothing within its time, it is restarted. What else changed needs a new process, or none.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from protocols import control, errors
from supervisor.actions import Action
from supervisor.difference import Difference, diff
from supervisor.machine import RUNNING
from supervisor.spec import TreeSpec
from supervisor.tree import Tree

__all__ = ["Reload"]

ANSWER_WAIT_NS: Final = 5_000_000_000


class Reload:
    """One reload, from the difference to the answer of the last actor.

    Args:
        tree: what runs.
        new: what shall run.
        tell: sends ``reload`` to an actor; returns the message's id, 0 when it cannot.
        now_ns: monotonic time.

    Raises:
        ConfigError: the difference cannot be applied to a running tree.
    """

    def __init__(
        self,
        tree: Tree,
        new: TreeSpec,
        tell: Callable[[str, str, control.Reload], int],
        now_ns: int,
    ) -> None:
        self._tree = tree
        self.deadline_ns = now_ns + ANSWER_WAIT_NS
        self._difference: Difference = diff(tree.spec, new)
        # Removed by a command, or temporary and done: the configuration brings them back.
        gone = [name for name in new.actors_below("root") if name not in tree.actors]
        self._added = [*gone, *self._difference.enabled]
        self._reloaded: list[str] = []
        self._restarted: list[str] = [*self._difference.replaced]
        self._asked: dict[int, str] = {}
        self._at_rest: list[str] = []  # their next incarnations read the new configuration
        self.actions: list[Action] = tree.reshape(new, self._difference.replaced, now_ns)
        for name in self._difference.reconfigured:
            actor = tree.actors.get(name)
            if actor is None or actor.state not in RUNNING:
                self._at_rest.append(name)
                continue
            message_id = tell(name, "reload", control.Reload(actor.spec.config))
            self._asked[message_id or -len(self._asked) - 1] = name

    @property
    def is_done(self) -> bool:
        """Whether every actor that was asked has answered, or was restarted."""
        return not self._asked

    def answered(self, corr: int | None, *, is_ok: bool, now_ns: int) -> list[Action]:
        """An actor says whether its new configuration is in force."""
        name = self._asked.pop(corr, None) if corr is not None else None
        if name is None:
            return []
        if is_ok:
            self._reloaded.append(name)
            return []
        return self._restart([name], now_ns)

    def expire(self, now_ns: int) -> list[Action]:
        """Restart who cannot be asked, and once the time is over who has not answered."""
        late = [n for i, n in self._asked.items() if i < 0 or now_ns >= self.deadline_ns]
        self._asked = {i: n for i, n in self._asked.items() if n not in late}
        return self._restart(late, now_ns)

    def outcome(self) -> control.Done | None:
        """Return what was done, once it is."""
        if not self.is_done:
            return None
        removed = [*self._difference.removed, *self._difference.disabled]
        message = ", ".join(self._words(len(self._added), len(removed))) or "nothing has changed"
        return control.Done(message, self._restarted, self._reloaded, self._added, removed)

    def _words(self, added: int, removed: int) -> Iterator[str]:
        """Say what was done, and leave out what was not."""
        counts = {
            "reloaded": len(self._reloaded),
            "restarted": len(self._restarted),
            "moved": len(self._difference.moved),
            "added": added,
            "removed": removed,
        }
        yield from (f"{count} {word}" for word, count in counts.items() if count)
        nodes = (f"node {name}" for name in self._difference.nodes)
        if applied := [*self._difference.respecified, *self._at_rest, *nodes]:
            yield f"applied to {', '.join(applied)}"

    def _restart(self, names: Sequence[str], now_ns: int) -> list[Action]:
        actions: list[Action] = []
        for name in names:
            try:
                actions += self._tree.restart(name, now_ns)
            except errors.CallerError:
                continue  # between two incarnations, or gone: the next one reads the new config
            self._restarted.append(name)
        return actions
