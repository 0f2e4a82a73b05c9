"""kill -9 at 200 random points of a storm of appends, on the standard library's SQLite.

After each kill, before the next start, the dead writer's book holds all that its clients were told,
and of what they were not told at most the one batch that each had under way.
"""

import itertools
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from book_actors import QuickWriter
from waiting import wait_until

from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import Home, find_home, prepare_home

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

KILLS = 200
BOOKS = 4
"""Stormed side by side, since an agent waits most of the time: until it sends again."""
AGENTS = 3
BATCH_ENTRIES_MAX = 3
COUNT_BY_WRITER = "SELECT writer, count(*) FROM entry WHERE action = 'storm' GROUP BY writer"


class Agent(threading.Thread):
    """Appends batch after batch, one at a time, and remembers what it was told.

    Attributes:
        told: seqs of what was acknowledged to be durable.
        failure: what ended it, if anything did.
    """

    def __init__(self, name: str, home: Home, ended: threading.Event) -> None:
        super().__init__(name=name)
        self._home, self._ended = home, ended
        self.told: list[int] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with connect(self.name, self._home, timeout_s=30) as book:
                for number in itertools.count():
                    if self._ended.is_set():
                        return
                    batch = [("storm", str(number), number)] * (1 + number % BATCH_ENTRIES_MAX)
                    self.told += [entry.seq for entry in book.log_many(batch)]
        except BaseException as error:  # noqa: BLE001 - the test reports it
            self.failure = error


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[Home]]:
    """Return a home for each book; their run directories are gone afterwards."""
    made = [find_home(tmp_path / f"home-{number}") for number in range(BOOKS)]
    for home in made:
        prepare_home(home)
    yield made
    for home in made:
        shutil.rmtree(home.run_dir, ignore_errors=True)


def test_every_acknowledged_entry_survives_200_kills(homes: list[Home], seed: int) -> None:
    """Nothing acknowledged is lost, nothing is doubled, and the books verify to the end."""
    with ThreadPoolExecutor(BOOKS) as pool:
        lives = [
            pool.submit(live_through_kills, home, random.Random(f"{seed} {number}"))
            for number, home in enumerate(homes)
        ]
    for life in lives:
        life.result()


def live_through_kills(home: Home, rng: random.Random) -> None:
    """Kill one writer again and again in the middle of a storm, and check its book."""
    ended = threading.Event()
    writer = QuickWriter(home)
    agents = [Agent(f"agent-{number}", home, ended) for number in range(AGENTS)]
    for agent in agents:
        agent.start()
    try:
        for _ in range(KILLS // BOOKS):
            target = told_in_all(agents) + rng.randrange(1, 30)
            wait_until(partial(have_been_told, agents, target), 20, "entries to be acknowledged")
            # Within a commit, more often than not: one takes some hundred microseconds.
            threading.Event().wait(rng.random() * 0.002)
            writer.kill()
            check_dead_book(home, agents)
            writer.start()
        ended.set()
        for agent in agents:
            agent.join(60)
        with connect("last", home, shared=True) as book:
            last = book.log("still", "works")
    finally:
        ended.set()
        writer.stop()
    check_whole_book(home, agents, last.seq)


def check_whole_book(home: Home, agents: list[Agent], last_seq: int) -> None:
    """Verify the book; by now every request was answered, so it has what was told and no more."""
    with BookReader(home) as reader:
        verdict = reader.verify(all_signatures=True)
        entries = [entry for entry in reader.since(0) if entry.action == "storm"]
    assert verdict.ok, verdict.problem
    assert verdict.entries == last_seq
    for agent in agents:
        assert [entry.seq for entry in entries if entry.writer == agent.name] == agent.told


def told_in_all(agents: list[Agent]) -> int:
    """Return how many entries were acknowledged so far."""
    return sum(len(agent.told) for agent in agents)


def have_been_told(agents: list[Agent], count: int) -> bool:
    """Return whether `count` entries are acknowledged; fail where there never will be."""
    for agent in agents:
        assert agent.failure is None, agent.failure
    return told_in_all(agents) >= count


def check_dead_book(home: Home, agents: list[Agent]) -> None:
    """Compare what every agent was told with the book that the killed writer left."""
    told = {agent.name: len(agent.told) for agent in agents}
    with BookReader(home) as reader:
        found = dict(reader._fetch(COUNT_BY_WRITER))
    for name, count in told.items():
        assert 0 <= found.get(name, 0) - count <= BATCH_ENTRIES_MAX, name
