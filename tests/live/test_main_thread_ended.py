"""Threads that go on after the main one: from Python 3.12 on their process can begin no other."""

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

BEGIN = """
import sys, threading, hourbook
from protocols import errors
book = hourbook.connect("orphaned", sys.argv[1])
store = book.store("app")
def say(word):
    print(word, flush=True)
def begin(*targets):
    for target in targets:
        threading.Thread(target=target).start()
"""
HOLDER = """
def hold():
    lock = store.lock("k", ttl_s=0.3, wait_s=30).acquire()
    say("got")
    sys.stdin.readline()
    say("held" if lock.is_held else "lost")
def tell():
    threading.main_thread().join()
    say("ended")
begin(hold, tell)
sys.stdin.readline()
"""
LATE = """
def work():
    threading.main_thread().join()
    flying = [store.set_nowait(f"k{number}", number) for number in range(40)]
    say(sum(each.result() > 0 for each in flying))
    book.log_nowait("did", "something").result()
    try:
        with store.lock("k"):
            say("locked")
    except errors.HourbookError as error:
        say(f"{error.code}: {error}")
    book.close()
begin(work)
"""


@pytest.fixture
def store(writer: ActorProcess) -> Iterator[Store]:
    """Connect to it."""
    with connect("tester", writer.home) as book:
        yield book.store("app")


def run(script: str, writer: ActorProcess) -> "subprocess.Popen[str]":
    """Run a script that goes on after its main thread."""
    command = [sys.executable, "-c", BEGIN + script, str(writer.home.path)]
    return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)


def pipes_of(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Return what it hears, and what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def test_lock_that_is_granted_after_it_is_renewed_too(writer: ActorProcess, store: Store) -> None:
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


def test_what_nobody_waits_for_is_written_after_it(writer: ActorProcess, store: Store) -> None:
    """Each by itself, as no thread can gather them; a lock that nobody would renew is refused."""
    with run(LATE, writer) as late:
        done, lock = late.communicate(timeout=30)[0].splitlines()

    assert done == "40"
    assert store.get_many([f"k{number}" for number in range(40)]) == {
        f"k{number}": number for number in range(40)
    }
    if sys.version_info >= (3, 12):
        assert lock.startswith("bad_request: Expected to begin the thread that renews locks, got: ")
    else:
        assert lock == "locked"
    assert late.returncode == 0
