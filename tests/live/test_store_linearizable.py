"""Eight processes at the same few keys while journal_writer is killed, judged call by call.

On the whole tree, whose supervisor starts the writer again. HOURBOOK_LINEARIZABLE_S says for how
long (seconds): a few in the suite, minutes by hand.
"""

import contextlib
import json
import os
import random
import time
from pathlib import Path
from typing import Any, Final

import multiprocess
import pytest
from full_tree import FullTree
from linearizability import GONE, NEVER_NS, UNKNOWN, Call, explain

from hourbook.faces.book import connect
from hourbook.faces.store import Store
from protocols import errors

pytestmark = pytest.mark.live

PROCESSES: Final = 8
KEYS: Final = ("a", "b", "c")
RESTARTED: Final = ("journal_writer", "compactor")
RUN_S: Final = float(os.environ.get("HOURBOOK_LINEARIZABLE_S", "3"))
PAUSE_S: Final = 0.002
KINDS: Final = ("get", "item", "set", "cas", "increment", "delete")
WEIGHTS: Final = (30, 10, 15, 20, 20, 5)


class Agent:
    """One process: what it asks next, and what it remembers."""

    def __init__(self, store: Store, who: int, rng: random.Random) -> None:
        self._store, self._who, self._rng = store, who, rng
        self._seen = dict.fromkeys(KEYS, 0)
        self._values = 0
        self.calls: list[Call] = []

    def ask(self) -> None:
        """Do one thing, and write down what came of it."""
        key, kind = self._rng.choice(KEYS), self._rng.choices(KINDS, WEIGHTS)[0]
        given = self._given(kind, key)
        began_ns = time.monotonic_ns()
        try:
            said = self._do(kind, key, given)
        except errors.OutcomeUnknown:
            self.calls.append(Call(self._who, key, kind, given, UNKNOWN, began_ns, NEVER_NS))
            return
        except errors.ActorUnreachable:
            return  # it says that nothing was done
        self.calls.append(Call(self._who, key, kind, given, said, began_ns, time.monotonic_ns()))

    def _given(self, kind: str, key: str) -> Any:
        if kind == "increment":
            return self._rng.randint(1, 3)
        if kind not in ("set", "cas"):
            return None
        self._values += 1
        value = (self._who * 1_000_000 + self._values) * 1000  # nobody else's, whoever adds to it
        return value if kind == "set" else (value, self._rng.choice((self._seen[key],) * 9 + (0,)))

    def _do(self, kind: str, key: str, given: Any) -> Any:
        store = self._store
        if kind == "get":
            return store.get(key, GONE)
        if kind == "increment":
            with store.transaction() as steps:
                steps.increment(key, given)
            assert steps.result is not None
            return steps.result.versions[0], steps.result.numbers[0]
        if kind == "item":
            item = store.get_item(key)
            self._seen[key] = 0 if item is None else item.version
            return GONE if item is None else (item.version, item.value)
        if kind == "cas":
            try:
                self._seen[key] = store.set(key, given[0], if_version=given[1])
            except errors.VersionConflict as conflict:
                self._seen[key] = int(conflict.value)
                return -self._seen[key]
            return self._seen[key]
        version = store.set(key, given) if kind == "set" else store.delete(key)
        self._seen[key] = version if kind == "set" else 0
        return version


def work(home_path: str, who: int, seed: int, pipe: Any) -> None:
    """Ask until told to stop; send what was said."""
    rng = random.Random(seed + who)
    # Some give up soon: what they asked for may still be done, or not.
    timeout_s = 0.05 if who % 2 else 30
    with connect(f"agent-{who}", Path(home_path), shared=True, timeout_s=timeout_s) as book:
        agent = Agent(book.store("linear"), who, rng)
        pipe.send("ready")
        pipe.recv()
        try:
            while not pipe.poll():
                agent.ask()
                time.sleep(rng.uniform(0, PAUSE_S))
        except errors.HourbookError as error:  # none that a writer's end explains
            pipe.send(f"process {who}: {type(error).__name__}: {error}")
        else:
            pipe.send(agent.calls)


@pytest.mark.timeout(60 + 10 * RUN_S)  # the search for an order takes longer than what it judges
def test_eight_processes_see_one_order_while_the_writer_is_killed(
    tmp_path: Path, seed: int, rng: random.Random
) -> None:
    """Gets, sets, compared sets, increments and deletions, each at one moment of its own."""
    method = multiprocess.get_context("spawn")
    pipes, agents = [], []
    settings = ("node.root.intensity=10000", *(f"actor.{a}.backoff.base_s=0" for a in RESTARTED))
    with FullTree(tmp_path / "home", *settings) as tree:
        for who in range(PROCESSES):
            ours, theirs = method.Pipe()
            arguments = (str(tree.home.path), who, seed, theirs)
            agents.append(method.Process(target=work, args=arguments, daemon=True))
            agents[-1].start()
            pipes.append(ours)
        for pipe in pipes:
            assert pipe.recv() == "ready"
        for pipe in pipes:
            pipe.send("go")
        kills, end_s = 0, time.monotonic() + RUN_S
        while time.monotonic() < end_s:
            time.sleep(rng.uniform(0.05, 0.5))
            with contextlib.suppress(errors.HourbookError):  # a busy tree; the next time, then
                if (pid := tree.row("journal_writer").pid) is not None:
                    os.kill(pid, 9)
                    kills += 1
        for pipe in pipes:
            pipe.send("stop")
        told = [pipe.recv() for pipe in pipes]
        for agent in agents:
            agent.join(10)

    assert [each for each in told if isinstance(each, str)] == []
    history = [call for calls in told for call in calls]
    open_count = sum(call.said == UNKNOWN for call in history)
    print(f"{len(history)} calls, {open_count} without an answer, {kills} kills")
    kept = tmp_path / "history.json"
    kept.write_text(json.dumps(history))
    assert (said := explain(history)) is None, f"{said}\n(all of it is in {kept})"
    assert kills >= 2
    assert len(history) > 100
