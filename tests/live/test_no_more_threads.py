"""Processes that can begin no more threads, and what they began goes on.

Their limit is reached; or their main thread has ended, with Python 3.12.0 and 3.12.1.
"""

import subprocess
import sys
from collections.abc import Iterator
from subprocess import PIPE
from typing import IO

import pytest
from book_actors import ActorProcess
from waiting import wait_until

from hourbook.faces.book import connect
from hourbook.faces.store import Store
from protocols import errors

pytestmark = pytest.mark.live

HOLDER = """
import sys, threading, hourbook
store = hourbook.connect("orphaned", sys.argv[1]).store("app")
def say(word):
    print(word, flush=True)
def hold():
    lock = store.lock("k", ttl_s=0.3, wait_s=30).acquire()
    say("got")
    sys.stdin.readline()
    say("held" if lock.is_held else "lost")
def tell():
    threading.main_thread().join()
    say("ended")
for target in (hold, tell):
    threading.Thread(target=target).start()
sys.stdin.readline()
"""
LIMITED = """
import sys, threading, hourbook
from protocols import errors
with hourbook.connect("limited", sys.argv[1]) as book:
    def start(thread):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = start
    store = book.store("app")
    flying = [store.set_nowait(f"k{number}", number) for number in range(40)]
    print(sum(each.result() > 0 for each in flying))
    print(book.log_nowait("did", "something").result().seq > 0)
    try:
        store.lock("k").acquire()
    except errors.HourbookError as error:
        print(f"{error.code}: {error}")
"""


@pytest.fixture
def store(writer: ActorProcess) -> Iterator[Store]:
    """Connect to it."""
    with connect("tester", writer.home) as book:
        yield book.store("app")


def run(script: str, writer: ActorProcess) -> "subprocess.Popen[str]":
    """Run a script."""
    command = [sys.executable, "-c", script, str(writer.home.path)]
    return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)


def pipes_of(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Return what it hears, and what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def test_lock_that_is_granted_after_the_main_thread_has_ended_is_renewed(
    writer: ActorProcess, store: Store
) -> None:
    """The threads that see to that are there since it was asked for."""
    with run(HOLDER, writer) as holder:
        stdin, stdout = pipes_of(holder)
        with store.lock("k"):
            wait_until(lambda: store.locks()[0].waiting, 10, "it to wait")
            print("end", file=stdin, flush=True)
            assert stdout.readline() == "ended\n"
        assert stdout.readline() == "got\n"
        with pytest.raises(errors.LockTimeout):
            store.lock("k", wait_s=0.9).acquire()  # three times what it would hold unrenewed
        said = holder.communicate("go on\n", timeout=30)[0]

    assert said == "held\n"


def test_what_nobody_waits_for_is_written_without_a_thread(
    writer: ActorProcess, store: Store
) -> None:
    """Each by itself, as nobody gathers them; a lock that nobody would renew is refused."""
    with run(LIMITED, writer) as limited:
        done, logged, lock = limited.communicate(timeout=30)[0].splitlines()

    assert (done, logged) == ("40", "True")
    assert store.get_many([f"k{number}" for number in range(40)]) == {
        f"k{number}": number for number in range(40)
    }
    assert lock.startswith(
        "bad_request: Expected to begin the thread that renews locks, got: can't start new thread"
    )
    assert limited.returncode == 0
