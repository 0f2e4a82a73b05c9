"""Locks between real processes: killed, stopped and forked holders, and a writer that dies."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from book_actors import ActorProcess, QuickWriter, running_writer
from books import raw_connection
from fakes.time_pages import page_now
from lock_agents import agents
from waiting import wait_until

from hourbook.faces.book import Book, connect
from hourbook.faces.lock_async import AsyncLock
from hourbook.faces.store import Store
from hourbook.home import Home
from hourbook.process_identity import own_holder
from protocols import errors
from shm.writer import TimeWriter

pytestmark = pytest.mark.live

WORKER = """
import sys, time, hourbook
name, home, log = sys.argv[1:]
book = hourbook.connect(name, home, shared=True, timeout_s=30)
store = book.store("app")
with open(log, "a", buffering=1) as out:
    while True:
        with store.lock("k", ttl_s=1, wait_s=30) as lock:
            began = time.monotonic_ns()
            time.sleep(0.002)
            ended = began if lock.is_lost else time.monotonic_ns()
            out.write(f"{lock.token} {began} {ended}\\n")
"""


CROWD = (
    sys.executable,
    "-c",
    """
import sys, threading, hourbook
name, home, count = sys.argv[1:]
store = hourbook.connect(name, home).store("app")
def wait():
    with store.lock("k", wait_s=30) as lock:
        print(f"{lock.token} {name}\\n", end="", flush=True)
crowd = [threading.Thread(target=wait) for _ in range(int(count))]
for each in crowd:
    each.start()
for each in crowd:
    each.join()
""",
)


@pytest.fixture
def book(writer: ActorProcess) -> Iterator[Book]:
    """Connect to it."""
    with connect("tester", writer.home) as connected:
        yield connected


def locks_in(book: Book) -> list[tuple[str, str]]:
    """Return what was journaled of locks."""
    return [(e.kind, e.entity) for e in book.tail(1000) if e.kind.startswith("lock.")]


def wait_for_waiters(store: Store, count: int) -> None:
    """Return once so many wait for the one lock that is held."""
    wait_until(lambda: [len(x.waiting) for x in store.locks()] == [count], 5, "waiters")


def test_lock_is_held_for_a_block_and_listed_with_its_holder(book: Book, store: Store) -> None:
    """Grant and release are entries; the token is the seq of the grant."""
    with store.lock("k", ttl_s=2) as lock:
        (listed,) = store.locks()
        version = store.set("k", 1, token=lock.token)

    assert (listed.key, listed.token, listed.writer) == ("k", lock.token, "tester")
    assert listed.holder == own_holder()
    assert 0 < listed.left_ns <= listed.ttl_ns == 2_000_000_000
    assert locks_in(book) == [("lock.grant", "app/k"), ("lock.release", "app/k")]
    assert lock.token < version
    assert store.locks() == []
    assert not lock.is_held
    assert not lock.is_lost


def test_context_shows_who_holds_what_and_not_each_grant(book: Book, store: Store) -> None:
    """A lock is state, not news."""
    book.log("deployed", "api")
    with store.lock("k\n") as lock:
        text = book.context()
        held = json.loads(book.context(format="json"))["locked"]

    assert f"- **app/k\\n** by tester, process {os.getpid()} (#{lock.token})" in text
    assert "granted" not in text
    assert [(each["key"], each["token"]) for each in held] == [("k\n", lock.token)]
    assert json.loads(book.context(format="json"))["locked"] == []


def test_locked_key_is_written_under_its_token_alone(store: Store) -> None:
    """Without one, with an old one, with a foreign one and with one of another key: refused."""
    with store.lock("k") as old:
        store.set("k", 1, type="locked", token=old.token)
    with store.lock("other") as other, store.lock("k") as lock:
        for token in (0, old.token, other.token, lock.token + 1):
            with pytest.raises(errors.TokenStale) as refused:
                store.set("k", 2, token=token)
            assert refused.value.value == str(lock.token)

        store.set("k", 3, token=lock.token)

    assert store.get("k") == 3
    with pytest.raises(errors.TokenStale, match="nobody holds the lock"):
        store.delete("k", token=lock.token)


def test_waiters_get_the_lock_in_the_order_in_which_they_asked(book: Book, store: Store) -> None:
    """First in, first out, with rising tokens."""
    with agents(book.home, 3) as waiting:
        with store.lock("k") as lock:
            for count, agent in enumerate(waiting, start=1):
                agent.tell("lock k")
                wait_for_waiters(store, count)
            assert store.locks()[0].waiting == ["a0", "a1", "a2"]
        tokens = [lock.token]
        for agent in waiting:
            tokens.append(int(agent.hear()))
            assert store.locks()[0].writer == agent.name
            assert agent.ask("unlock") == "True"
    assert tokens == sorted(set(tokens))


def test_two_that_wait_for_each_other_end_by_time_and_learn_of_both(book: Book) -> None:
    """The message names the lock, its holder, and what that one waits for."""
    with agents(book.home, 2, wait_s=0.6) as (one, other):
        one.ask("lock a")
        other.ask("lock b")
        one.tell("lock b")
        wait_until(lambda: any(x.waiting for x in book.store("app").locks()), 5, "a waiter")

        other.tell("lock a")
        said = one.hear()

    assert said.startswith(
        "LockTimeout: Expected lock app/b within 0.6 s; it is held by a1 (process"
    )
    assert "who waits for app/a, held by a0 (process" in said


def test_killed_holder_is_freed_at_once_for_the_next(book: Book, store: Store) -> None:
    """No time-out is waited for, and the expiry is journaled."""
    with agents(book.home, 1, ttl_s=3600) as (agent,):
        token = int(agent.ask("lock k"))
        agent.signal(signal.SIGKILL)
        began_s = time.monotonic()

        with store.lock("k", wait_s=5) as lock:
            took_s = time.monotonic() - began_s

    assert lock.token > token
    assert took_s < 1
    assert ("lock.expire", "app/k") in locks_in(book)


def test_killed_waiter_is_passed_over(book: Book, store: Store) -> None:
    """Who comes after it does not wait for a process that is not there."""
    with agents(book.home, 2, ttl_s=3600) as (dead, alive):
        with store.lock("k"):
            for count, agent in enumerate((dead, alive), start=1):
                agent.tell("lock k")
                wait_for_waiters(store, count)
            dead.close()
            wait_for_waiters(store, 1)

        assert int(alive.hear()) > 0
    granted = [entry for entry in book.tail(100) if entry.kind == "lock.grant"]
    assert [entry.writer for entry in granted] == ["tester", "a1"]


def test_stopped_holder_loses_its_lease_and_its_late_write_is_refused(
    book: Book, store: Store
) -> None:
    """After its TTL somebody else has the lock; when it goes on it finds out before it harms."""
    with agents(book.home, 1, ttl_s=0.4) as (agent,):
        token = int(agent.ask("lock k"))
        agent.signal(signal.SIGSTOP)
        stopped_s = time.monotonic()

        with store.lock("k", wait_s=5) as lock:
            waited_s = time.monotonic() - stopped_s
            agent.signal(signal.SIGCONT)
            said = agent.ask("write k")

            assert agent.ask("lost") == "True"
            store.set("k", "ours", token=lock.token)
    assert said.startswith("TokenStale")
    assert lock.token > token
    assert 0.1 < waited_s < 2
    assert store.get("k") == "ours"


def test_stopped_waiter_that_was_granted_the_lock_meanwhile_finds_it_lost(
    book: Book, store: Store
) -> None:
    """It slept through its whole lease: it must not begin with what it was to do under it."""
    with agents(book.home, 1, ttl_s=0.3, wait_s=30) as (agent,), store.watch("k") as watch:
        with store.lock("k"):
            agent.tell("lock k")
            wait_for_waiters(store, 1)
            agent.signal(signal.SIGSTOP)

        with store.lock("k", wait_s=5) as lock:
            agent.signal(signal.SIGCONT)
            said = agent.hear()
            store.set("k", 1, token=lock.token)
        events = [next(watch) for _ in range(7)]

    assert said.startswith("TokenStale: ")
    assert [event.kind.partition(".")[2] for event in events] == [
        *("grant", "release"),
        *("grant", "expire"),
        *("grant", "set", "release"),
    ]
    tokens = [event.token for event in events if event.token]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 3


def test_steps_of_the_clock_neither_end_nor_prolong_a_lease(home: Home) -> None:
    """A key with a time limit feels them; a lease counts the time since the boot."""
    now_ns = time.time_ns()
    publisher = TimeWriter(home.segment)

    def step(hours: int) -> None:
        utc_ns = now_ns + hours * 3_600_000_000_000
        publisher.publish(page_now(utc_at_as_of_ns=utc_ns), is_step=True)

    step(0)
    with (
        running_writer(home),
        connect("tester", home) as book,
        agents(home, 1, ttl_s=0.6) as (agent,),
    ):
        store = book.store("app")
        token = int(agent.ask("lock k"))
        store.set("brief", 1, ttl_s=60)
        step(1)
        wait_until(lambda: store.get("brief") is None, 5, "the clock to have stepped")

        assert agent.ask("lost") == "False"
        assert int(agent.ask("write k")) > token
        agent.signal(signal.SIGSTOP)
        step(-1)
        began_s = time.monotonic()
        with store.lock("k", wait_s=5) as lock:
            assert lock.token > token
        assert time.monotonic() - began_s < 2
    publisher.close()


def test_hundreds_that_wait_are_served_in_turn(home: Home, store: Store) -> None:
    """Those of a process that dies leave the line at once; the others neither notice nor wait."""
    crowds, each = 4, 50
    with contextlib.ExitStack() as stack:
        crowd = [
            subprocess.Popen(
                [*CROWD, f"c{number}", str(home.path), str(each)], stdout=PIPE, text=True
            )
            for number in range(crowds)
        ]
        for process in crowd:
            stack.enter_context(process)
            stack.callback(process.kill)
        with store.lock("k"):
            wait_for_waiters(store, crowds * each)
            crowd[1].kill()
            wait_for_waiters(store, (crowds - 1) * each)
            order = store.locks()[0].waiting
            began_s = time.monotonic()
            store.set("other", 1)
            assert time.monotonic() - began_s < 1
        del crowd[1]
        rows = [
            line.split()
            for process in crowd
            for line in process.communicate(timeout=30)[0].splitlines()
        ]

    assert "c1" not in order
    assert [name for _, name in sorted((int(token), name) for token, name in rows)] == order
    assert store.locks() == []


def test_lease_is_renewed_while_the_holder_lives_and_no_longer(store: Store) -> None:
    """By one thread; a thread that ended without letting go loses its lock."""
    found: list[str] = []

    def forget() -> None:
        kept.append(store.lock("forgotten", ttl_s=0.3).acquire())
        found.append("got")

    kept: list[object] = []
    thread = threading.Thread(target=forget)
    with store.lock("k", ttl_s=0.3) as lock:
        thread.start()
        thread.join()
        wait_until(lambda: [x.key for x in store.locks()] == ["k"], 5, "the lease to run out")
        names = [each.name for each in threading.enumerate()]

        assert lock.is_held
        assert names.count("hourbook-locks") == 1
        store.set("k", 1, token=lock.token)
    assert found == ["got"]


def test_lock_is_not_shared_with_another_thread(store: Store) -> None:
    """It says whose it is."""
    raised: list[errors.HourbookError] = []

    def use() -> None:
        try:
            _ = lock.token
        except errors.HourbookError as error:
            raised.append(error)

    with store.lock("k") as lock:
        thread = threading.Thread(target=use, name="other")
        thread.start()
        thread.join()

    assert "Expected the thread that acquired the lock of app/k, MainThread, got other" in str(
        raised[0]
    )


def test_locks_end_with_their_book(book: Book, store: Store) -> None:
    """Closing it lets go of what was not released, and ends the thread that renews."""
    other = connect("other", book.home)
    lock = other.store("app").lock("k", ttl_s=3600).acquire()

    other.close()

    assert store.locks() == []
    assert not lock.is_held
    assert "hourbook-locks" not in [each.name for each in threading.enumerate()]


def test_book_that_is_closed_waits_for_no_lock(home: Home, store: Store) -> None:
    """Who waits in another thread hears of it, and leaves the line."""
    raised: list[errors.HourbookError] = []
    closing = connect("closing", home)

    def wait() -> None:
        try:
            closing.store("app").lock("k", wait_s=3600).acquire()
        except errors.HourbookError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    with store.lock("k"):
        thread.start()
        wait_for_waiters(store, 1)
        began_s = time.monotonic()

        closing.close()

        thread.join(5)
        assert time.monotonic() - began_s < 3
        assert [type(error) for error in raised] == [errors.BookClosed]
        assert store.locks()[0].waiting == []


def test_wait_that_is_interrupted_ends_in_the_line_too(store: Store) -> None:
    """Nobody behind it waits for who has gone; the lock may be asked for again."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def send() -> None:
        wait_for_waiters(store, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=send)
    mine = store.lock("k", wait_s=3600)
    try:
        with store.lock("k"):
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                mine.acquire()
            wait_for_waiters(store, 0)
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join()

    with mine:
        assert mine.is_held
    assert store.locks() == []


def test_task_that_is_cancelled_leaves_the_line(store: Store) -> None:
    """Its loop goes on, and so does who stood behind it."""

    async def cancel_one() -> None:
        task = asyncio.create_task(store.asynchronous().lock("k", wait_s=3600).acquire())
        await asyncio.to_thread(wait_for_waiters, store, 1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with store.lock("k"):
        asyncio.run(cancel_one())
        wait_for_waiters(store, 0)
    wait_until(
        lambda: not any(each.name.startswith("hourbook-lock_") for each in threading.enumerate()),
        5,
        "its thread to end",
    )


def test_task_that_is_cancelled_while_it_lets_go_has_let_go(
    writer: ActorProcess, store: Store
) -> None:
    """Also where its thread had not come to that: nobody else could, and it would be renewed."""
    pid = writer.process.pid

    async def cancel_release() -> AsyncLock:
        lock = await store.asynchronous().lock("k").acquire()
        os.kill(pid, signal.SIGSTOP)
        try:
            renewal = asyncio.create_task(lock.renew())
            release = asyncio.create_task(lock.release())
            await asyncio.sleep(0.05)
            release.cancel()
            await asyncio.gather(release, return_exceptions=True)
        finally:
            os.kill(pid, signal.SIGCONT)
        await renewal
        return lock

    lock = asyncio.run(cancel_release())

    wait_until(lambda: store.locks() == [], 5, "the lock to be free")
    assert not lock.is_held


def test_lock_of_a_task_may_be_asked_for_again_and_let_go_again(store: Store) -> None:
    """What is held stays held, what timed out may be tried again, what was let go is."""

    async def repeat() -> None:
        ours, theirs = (store.asynchronous().lock("k", wait_s=0) for _ in range(2))
        async with ours:
            with pytest.raises(errors.LockTimeout):
                await theirs.acquire()
            with pytest.raises(errors.BadRequest, match="new lock for each time"):
                await ours.acquire()
            assert [each.token for each in store.locks()] == [ours.token]
            assert [await ours.release(), await ours.release()] == [True, True]
            async with theirs:
                assert theirs.is_held

    asyncio.run(repeat())

    assert store.locks() == []


def test_fork_does_not_inherit_the_lock(store: Store) -> None:
    """The child is another process, is told so, and takes nothing away by leaving the block."""
    with store.lock("k") as lock:
        child = os.fork()
        if child == 0:
            try:
                _ = lock.token
            except errors.UsedAfterFork:
                lock.__exit__()
                os._exit(1 if lock.is_held else 17)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        assert lock.is_held
        assert [each.token for each in store.locks()] == [lock.token]

    assert os.waitstatus_to_exitcode(status) == 17


def test_fork_asks_for_no_lock_and_begins_no_thread(store: Store) -> None:
    """A thread of its own would read what the parent is answered."""
    child = os.fork()
    if child == 0:
        try:
            store.lock("k").acquire()
        except errors.UsedAfterFork:
            os._exit(17 if threading.active_count() == 1 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 17


def test_holder_that_ends_is_freed_though_its_forked_child_lives(home: Home, store: Store) -> None:
    """What it left running does not keep its lock."""
    with agents(home, 1, ttl_s=3600) as (agent,):
        agent.ask("lock k")
        child = int(agent.ask("fork"))
        try:
            agent.signal(signal.SIGKILL)
            with store.lock("k", wait_s=5) as lock:
                assert lock.is_held
            assert Path(f"/proc/{child}").exists()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("ttl_s", "wait_s"),
    [(0, 1), (0.05, 1), (8e5, 1), (float("nan"), 1), (1, -1), (1, 1e6), (True, 1)],
)
def test_lock_with_an_impossible_time_is_refused_at_the_call(
    store: Store, ttl_s: float, wait_s: float
) -> None:
    """The range is in the message."""
    with pytest.raises(errors.BadRequest, match=r"Expected `(ttl_s|wait_s)` in "):
        store.lock("k", ttl_s=ttl_s, wait_s=wait_s)


def test_live_lease_outlives_the_writer_and_a_dead_one_does_not(home: Home) -> None:
    """A restart takes nobody's lock away, and keeps none for a process that died meanwhile."""
    writer = QuickWriter(home)
    try:
        with connect("tester", home) as book, agents(home, 1, ttl_s=3600) as (agent,):
            store = book.store("app")
            token = agent.ask("lock theirs")
            with store.lock("ours", ttl_s=2) as lock:
                writer.kill()
                agent.close()
                writer.start()

                store.set("ours", 1, token=lock.token)
                assert [each.key for each in store.locks()] == ["ours"]
                assert not lock.is_lost
            with store.lock("theirs", wait_s=0) as next_lock:
                assert next_lock.token > int(token)
    finally:
        writer.stop()


def test_writer_that_was_away_for_longer_than_a_lease_begins_each_anew(home: Home) -> None:
    """Who lives renews and keeps its lock; who hangs has one TTL more, and then loses it."""
    writer = QuickWriter(home)
    try:
        with connect("tester", home) as book, agents(home, 1, ttl_s=0.4) as (agent,):
            store = book.store("app")
            lock = store.lock("ours", ttl_s=0.4).acquire()
            agent.ask("lock theirs")
            agent.signal(signal.SIGSTOP)
            writer.kill()
            wait_until(lambda: lock.is_lost, 5, "the lease to be doubtful")
            writer.start()
            started_s = time.monotonic()

            with store.lock("theirs", wait_s=5):
                waited_s = time.monotonic() - started_s
            wait_until(lambda: lock.is_held, 5, "the lease to be confirmed")
            store.set("ours", 1, token=lock.token)
            assert lock.release()
    finally:
        writer.stop()
    assert waited_s < 1.5


def test_writer_that_was_stopped_for_longer_than_a_lease_takes_no_lock(
    writer: ActorProcess, store: Store
) -> None:
    """It hears of the renewals only afterwards: that was not the holder's fault."""
    with store.lock("k", ttl_s=0.4) as lock:
        os.kill(writer.process.pid, signal.SIGSTOP)
        wait_until(lambda: lock.is_lost, 5, "the lease to be doubtful")
        again_s = time.monotonic() + 0.4
        wait_until(lambda: time.monotonic() > again_s, 5, "as long again to pass")
        os.kill(writer.process.pid, signal.SIGCONT)

        wait_until(lambda: lock.is_held, 5, "the lease to be confirmed")
        store.set("k", 1, token=lock.token)
        assert [each.token for each in store.locks()] == [lock.token]


def test_waiter_keeps_waiting_while_the_writer_is_restarted(home: Home) -> None:
    """Its call is sent again; it has its time, and then its lock."""
    writer = QuickWriter(home)
    try:
        with connect("tester", home) as book, agents(home, 1) as (agent,):
            store = book.store("app")
            with store.lock("k", ttl_s=5):
                agent.tell("lock k")
                wait_for_waiters(store, 1)
                writer.kill()
                writer.start()
                wait_for_waiters(store, 1)

            assert int(agent.hear()) > 0
    finally:
        writer.stop()


@pytest.mark.parametrize("other", ["pid used again", "another boot"])
def test_holder_of_another_life_is_freed_when_the_writer_starts(home: Home, other: str) -> None:
    """The same pid is not the same process, nor the same numbers after a boot."""
    with running_writer(home) as writer, connect("tester", home) as book:
        lock = book.store("app").lock("k", ttl_s=3600).acquire()
        writer.stop()
        change = "start_ticks = start_ticks - 1" if other == "pid used again" else "boot_id = ?"
        with contextlib.closing(raw_connection(home.book_db)) as raw:
            raw.execute(f"UPDATE lease SET {change}", [bytes(16)] * change.count("?"))  # noqa: S608
        with running_writer(home):
            assert book.store("app").locks() == []
            with pytest.raises(errors.TokenStale):
                lock.renew()
            reasons = [e.details["reason"] for e in book.tail(9) if e.kind == "lock.expire"]
            book.close()
    assert reasons == ["ended" if other == "pid used again" else "rebooted"]


def test_intervals_never_overlap_while_everybody_is_killed(home: Home, tmp_path: Path) -> None:
    """Holders, waiters and the writer die at random; tokens rise from each holder to the next."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    writer = QuickWriter(home)
    workers: list[subprocess.Popen[bytes]] = []
    log = tmp_path / "intervals"

    def start_worker() -> None:
        name = f"w{len(workers)}"
        command = [sys.executable, "-c", WORKER, name, str(home.path), str(log)]
        workers.append(subprocess.Popen(command))

    def rows() -> list[tuple[int, ...]]:
        lines = log.read_text().splitlines() if log.exists() else []
        return sorted(tuple(map(int, line.split())) for line in lines if line.count(" ") == 2)

    try:
        for _ in range(4):
            start_worker()
        wait_until(rows, 20, "the first interval")
        for step in range(12):
            before = len(rows())
            wait_until(lambda at=before: len(rows()) > at + 5, 20, "work to go on")  # type: ignore[misc]
            time.sleep(chance.random() * 0.01)
            if step % 3 == 0:
                writer.kill()
                writer.start()
            else:
                chance.choice([each for each in workers if each.poll() is None]).kill()
                start_worker()
        found = rows()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(10)
        writer.stop()

    assert len(found) == len({token for token, _, _ in found})
    for (_, _, ended), (_, began, _) in itertools.pairwise(found):
        assert ended <= began
