"""The mode in which SQLite takes no lock for what one thread has to itself."""

import subprocess
import sys
import textwrap

import pytest


def run(script: str) -> str:
    """Run a script in a process of its own: the mode is the process's."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
    import contextlib, ctypes, sqlite3, sys, tempfile, threading
    import _sqlite3
    from hourbook.book.sqlite_mode import enter_multi_thread_mode

    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_memory_used.restype = ctypes.c_int64

    def is_guarded():
        '''Return whether SQLite sums up what it allocates, which it does under a lock.'''
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (x)")
            return library.sqlite3_memory_used() > 0
"""


@pytest.fixture(scope="module", autouse=True)
def _shared_library() -> None:
    """Skip where SQLite is part of the interpreter: then its mode cannot be had."""
    import _sqlite3  # noqa: PLC0415

    if not hasattr(_sqlite3, "__file__"):
        pytest.skip("SQLite is part of this interpreter's own file")


def test_process_without_connections_gets_the_mode() -> None:
    """From then on nothing is summed up; a connection does all that it did."""
    script = """
    before = is_guarded()
    assert enter_multi_thread_mode()
    print(before, is_guarded())
    with tempfile.TemporaryDirectory() as directory:
        path = directory + "/book.db"
        with contextlib.closing(sqlite3.connect(path)) as one:
            one.execute("PRAGMA journal_mode=WAL")
            one.execute("CREATE TABLE t (x)")
            one.execute("INSERT INTO t VALUES (1)")
            one.commit()
            seen = []

            def read():
                with contextlib.closing(sqlite3.connect(path)) as other:
                    seen.extend(other.execute("SELECT x FROM t"))

            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
            print(seen)
            threading.excepthook = lambda args: print(args.exc_type.__name__)
            thread = threading.Thread(target=one.execute, args=("SELECT 1",))
            thread.start()
            thread.join()
    """

    said = run(ASK + script)

    assert said.splitlines() == ["True False", "[(1,)]", "ProgrammingError"]


@pytest.mark.parametrize("opened", ["before", "by a thread"])
def test_open_connection_keeps_the_process_as_it_is(opened: str) -> None:
    """To change the mode under a connection would break it: it is refused, and goes on working."""
    said = run(
        ASK
        + f"""
    held = []
    opener = lambda: held.append(sqlite3.connect(":memory:", check_same_thread=False))
    if {opened!r} == "before":
        opener()
    else:
        thread = threading.Thread(target=opener)
        thread.start()
        thread.join()
    print(enter_multi_thread_mode(), held[0].execute("SELECT 7").fetchone()[0], is_guarded())
    """
    )

    assert said == "False 7 True"


def test_second_call_changes_nothing() -> None:
    """It cannot tell any more whether connections are open, and so leaves them alone."""
    said = run(
        ASK
        + """
    print(enter_multi_thread_mode(), enter_multi_thread_mode())
    held = sqlite3.connect(":memory:")
    print(enter_multi_thread_mode(), held.execute("SELECT 7").fetchone()[0])
    """
    )

    assert said.splitlines() == ["True False", "False 7"]
