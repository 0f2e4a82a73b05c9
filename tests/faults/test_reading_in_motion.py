"""What is read of a moment stays the same, whatever happens to the book meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hourbook.book.book_view import view_at
from hourbook.book.reader import BookReader
from hourbook.book.sql.query import run_query
from hourbook.home import Home

pytestmark = pytest.mark.live
TESTS_DIR = Path(__file__).resolve().parent.parent

MOVER = """
import sys
from pathlib import Path
from archived_books import COUNT, archive, make_book
from books import append
from hourbook.book.journal import Stamp
from hourbook.home import find_home, prepare_home

home = find_home(Path(sys.argv[1]))
prepare_home(home)
writer = make_book(home)
print("ready", flush=True)
sys.stdin.readline()
for seq in range(1, COUNT + 1):
    archive(writer, home, [seq], counter=2 * seq)
    writer.commit([append(1000 * seq, 50)], Stamp(2 * 10**18, 1))
print("moved", flush=True)
sys.stdin.readline()
"""


def test_moment_reads_the_same_while_its_details_move_and_the_writer_is_killed(home: Home) -> None:
    """Every entry moves from the database into files, one by one; then kill -9."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS_DIR), *sys.path])}
    mover = subprocess.Popen(
        [sys.executable, "-c", MOVER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert mover.stdin is not None
    assert mover.stdout is not None
    assert mover.stdout.readline() == "ready\n"
    sql = "SELECT seq, details, missing FROM entries ORDER BY seq"

    def read() -> list[tuple[object, ...]]:
        with BookReader(home) as reader:
            view = view_at(home, reader, 20)
            entries = [*view.tail(20), *view.since(0)]
            shown = [(entry.seq, entry.details) for entry in entries]
            return [*(tuple(row) for row in view.query(sql)), *shown]

    before = read()
    mover.stdin.write("go\n")
    mover.stdin.flush()
    moved = 0
    while moved < 900:
        assert read() == before, moved
        moved = run_query(home, "SELECT max(seq) FROM entries")[0][0]
    os.kill(mover.pid, signal.SIGKILL)
    mover.communicate()

    assert len(before) == 3 * 20
    assert read() == before
