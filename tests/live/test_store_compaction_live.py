"""The store's past is forgotten while others write, in spite of kill -9 of either side."""

import random
import threading
import time
from collections.abc import Iterator

import multiprocess
import pytest
from book_actors import ActorProcess, running_compactor, running_writer
from kv_writes import kv_write, open_store, put
from waiting import wait_until

from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.store import spent
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.spent import Horizon
from hourbook.compaction import compact
from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Run

pytestmark = pytest.mark.live

DAY_NS = 86_400 * 10**9
KEYS, VERSIONS = 300, 40
HORIZON = Horizon(store_history_s=86_400, store_versions=5)


@pytest.fixture
def old_writer(home: Home) -> Iterator[ActorProcess]:
    """Run a journal_writer on a book whose keys were written again and again ten days ago."""
    begun_ns = time.time_ns() - 10 * DAY_NS
    book = open_store(home)
    for value in range(VERSIONS):
        sets = [put(f"k{number}", [value, number]) for number in range(KEYS)]
        book.write([kv_write(*sets)], Stamp(begun_ns + value, -1))
        kept = put("kept", value, type="versioned")
        book.write([kv_write(kept, ns="config")], Stamp(begun_ns + value, -1))
    book.close()
    assert book.store.volatile is not None
    book.store.volatile.close()
    with running_writer(home) as running:
        yield running


def check_store(home: Home) -> int:
    """Check that the store is whole, and what it held at the horizon; return its versions."""
    with BookReader(home) as reader:
        fault = reader.query(find_fault)
    assert fault is None, fault
    with connect("checker", home, shared=True) as book:
        store = book.store("notes")
        assert store.get("k7") == [VERSIONS - 1, 7]
        assert store.get("k7", at=f"time:{time.time_ns() - 2 * DAY_NS}") == [VERSIONS - 1, 7]
    return count_versions(home)


def compact_finely(home: Home) -> None:
    """Forget the past in slices of fifty versions; in a process of its own."""
    vars(spent)["SLICE_VERSIONS"] = 50
    compact(home, [], time.time_ns(), horizon=HORIZON)


def count_versions(home: Home) -> int:
    """Return how many versions are listed."""
    with BookReader(home) as reader:
        sql = "SELECT count(*) FROM kv_log"
        count: int = reader.query(lambda opened: opened.execute(sql).fetchone()[0])
    return count


def test_kill_9_between_slices_leaves_the_store_as_it_was(
    old_writer: ActorProcess, rng: random.Random
) -> None:
    """At random moments: the next one goes on, and one that loses its writer waits for it."""
    home = old_writer.home
    context = multiprocess.get_context("forkserver")
    counts = [check_store(home)]
    for victim in ("compaction", "compaction", "writer"):
        process = context.Process(target=compact_finely, args=(home,))
        process.start()
        wait_until(lambda: count_versions(home) < counts[-1], 20, "the first slice")
        threading.Event().wait(rng.uniform(0.0, 0.03))
        (old_writer if victim == "writer" else process).kill()
        if victim == "writer":
            counts.append(check_store(home))
            old_writer.start()
        process.join(30)
        counts.append(check_store(home))

    report = compact(home, [], time.time_ns(), horizon=HORIZON)

    assert counts == sorted(counts, reverse=True)
    assert counts[2] > KEYS + HORIZON.store_versions, "they were killed in their midst"
    assert check_store(home) == KEYS + HORIZON.store_versions
    print(f"versions left after each end: {counts}; then {report.versions} were forgotten")
    with connect("reader", home, shared=True) as book:
        assert [each.value for each in book.store("config").history("kept")] == [*range(39, 34, -1)]
        with pytest.raises(errors.Compacted):
            book.store("notes").get("k7", at=1)
        with pytest.raises(errors.Compacted):
            book.store("notes").get("k7", version=8)
        with pytest.raises(errors.Compacted) as gone:
            book.store("notes").watch(since=1)
        with book.store("notes").watch(since=int(gone.value.value or 0) - 1) as watch:
            assert watch.position == int(gone.value.value or 0) - 1
        assert book.verify().ok


def test_writes_are_answered_while_the_past_is_forgotten(old_writer: ActorProcess) -> None:
    """A write waits for one slice at the most; a dry run says before what will be done."""
    home, ended = old_writer.home, threading.Event()
    waits_ms = [0.0]

    def write_all_along() -> None:
        with connect("busy", home, shared=True) as book:
            while not ended.is_set():
                begun_ns = time.monotonic_ns()
                book.store("busy").set("k", 1)
                waits_ms.append((time.monotonic_ns() - begun_ns) / 1e6)

    told = compact(home, [], time.time_ns(), horizon=HORIZON, dry_run=True)
    thread = threading.Thread(target=write_all_along)
    thread.start()
    done = compact(home, [], time.time_ns(), horizon=HORIZON)
    ended.set()
    thread.join(20)

    slices = f"{done.slices} slices of at most {done.longest_ms} ms"
    print(f"longest write of {len(waits_ms)}: {max(waits_ms):.1f} ms; {slices}")
    assert max(waits_ms) < 1000  # a busy test machine; see the figure that it prints
    assert told.versions == done.versions == KEYS * (VERSIONS - 1) + VERSIONS - 5
    assert told.first_seq == done.first_seq > 0


def test_compactor_forgets_by_its_calendar(old_writer: ActorProcess) -> None:
    """As its configuration has it, also where no rule of retention is given."""
    horizon = {"store_history_s": 3600, "store_versions": 2}

    with running_compactor(old_writer.home, compact="", retention=[], **horizon):
        client = MailboxClient(old_writer.home, "compactor", "tester")
        client.request("compactor.run", Run("compact"))
        wait_until(lambda: check_store(old_writer.home) == KEYS + 2, 20, "the end of the job")
        client.close()
