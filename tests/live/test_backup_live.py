"""The commands on a living book: backed up while eight write, restored, and written on."""

import contextlib
import json
import threading
from pathlib import Path

import pytest
from book_actors import running_writer
from full_tree import run_hourbook

from hourbook.book.copies.backup import back_up
from hourbook.book.copies.book_file import open_book
from hourbook.book.copies.restore import restore_book
from hourbook.book.moment import parse_moment
from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import Home

pytestmark = pytest.mark.live


def test_backup_under_load_restores_to_a_book_that_goes_on(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Whatever was acknowledged before the backup began is in it, and no half commit."""
    enough, stop = threading.Event(), threading.Event()

    def write(number: int) -> None:
        with connect(f"agent-{number}", home) as book:
            while not stop.is_set():
                last = book.log_many([("worked", f"{number}", "x" * 500)] * 10)[-1]
                if last.seq > 2000:
                    enough.set()

    with running_writer(home):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(20)
        with BookReader(home) as reader:
            before = reader.head_seq()
        backup = run_hourbook(
            "backup", str(tmp_path / "copy.db"), "--with-key", "--json", home=home.path
        )
        stop.set()
        for thread in threads:
            thread.join()
        with BookReader(home) as reader:
            after = reader.head_seq()
    made = json.loads(backup.stdout)
    restored = run_hourbook("restore", str(tmp_path / "copy.db"), "--json", home=other.path)

    assert (backup.returncode, restored.returncode) == (0, 0), restored.stderr
    assert before <= made["seq"] <= after
    assert json.loads(restored.stdout)["hash"] == made["hash"]
    with running_writer(other), connect("successor", other) as book:
        entry = book.log("went", "on")
        assert entry.parent_hash.hex() == made["hash"] or entry.seq > made["seq"] + 1
        assert book.verify(all_signatures=True).ok


def test_names_held_at_the_time_of_a_cut_are_free_again(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Whoever held a name then is not there any more; one that came later is not known."""
    with running_writer(home):
        with connect("alpha", home) as alpha:
            cut = alpha.log("x", "y").seq
            with connect("beta", home) as beta:
                beta.log("x", "z")
        back_up(home, tmp_path / "copy.db", with_key=True)

    restore_book(tmp_path / "copy.db", other, to=parse_moment(str(cut), "to"))

    with running_writer(other), connect("alpha", other) as again, connect("beta", other) as new:
        again.log("x", "y")
        new.log("x", "y")
        entries = again.tail(10)
        assert again.verify(all_signatures=True).ok
    told = [(e.kind, e.action, e.entity) for e in entries if e.seq > cut]
    assert told[0] == ("instance.release", "released", "alpha")
    assert ("instance.register", "registered", "beta") in told


TABLES = {
    "branch": "SELECT * FROM branch ORDER BY number",
    "session": "SELECT * FROM session ORDER BY name",
    "instance": "SELECT name, registered_seq, released_seq, registered_ns FROM instance",
    "cursor": "SELECT name, position FROM cursor ORDER BY name",
    "clock_step": "SELECT * FROM clock_step",
    "entry": "SELECT * FROM entry ORDER BY seq",
    "signed_commit": "SELECT * FROM signed_commit ORDER BY last_seq",
}


def tables_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what the tables of a book hold that follow from its entries."""
    with contextlib.closing(open_book(path)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in TABLES.items()}


def test_restored_tables_are_those_of_that_moment(home: Home, other: Home, tmp_path: Path) -> None:
    """Branches, sessions and names are as they were in a backup that was made then."""
    with running_writer(home), connect("alpha", home) as alpha:
        connect("beta", home).close()
        for name in ("goes-on", "is-deleted", "is-new-later"):
            alpha.create_branch(name)
        with connect("tries", home, branch="goes-on", shared=True) as branch:
            branch.log("tried", "x")
            alpha.merge_branch("goes-on")
            alpha.delete_branch("is-new-later")
            alpha.start_session("first")
            cut = alpha.log("the", "cut").seq
            back_up(home, tmp_path / "then.db")

            branch.log("tried", "y")
        alpha.merge_branch("goes-on", "theirs")
        alpha.delete_branch("is-deleted")
        alpha.create_branch("is-new-later")
        alpha.start_session("first")
        alpha.start_session("second")
        connect("beta", home).close()
        connect("gamma", home).close()
        back_up(home, tmp_path / "now.db", with_key=True)

    restore_book(tmp_path / "now.db", other, to=parse_moment(str(cut), "to"))

    assert tables_of(other.book_db) == tables_of(tmp_path / "then.db")
    with running_writer(other), connect("delta", other) as delta:
        brought = delta.merge_branch("goes-on", "theirs")
        delta.delete_branch("is-deleted")
        delta.start_session("second")
        assert [branch.name for branch in delta.branches() if branch.deleted_seq is None] == [
            "goes-on"
        ]
        assert delta.verify(all_signatures=True).ok
    assert brought.entries == 0  # what was brought before the cut is not brought again


def test_commands_say_in_one_line_what_they_cannot_do(
    home: Home, other: Home, tmp_path: Path
) -> None:
    """Exit codes as documented, nothing on stdout, no traceback."""
    with running_writer(home), connect("agent", home) as book:
        book.log("x", "y")
    first = run_hourbook("backup", str(tmp_path / "copy.db"), home=home.path)
    cases = {
        ("backup", str(tmp_path / "copy.db")): 2,
        ("backup", str(tmp_path / "no" / "such" / "place.db")): 3,
        ("backup", str(tmp_path / "new.db"), "--home", str(tmp_path / "nothing")): 3,
        ("restore", str(tmp_path / "copy.db")): 2,
        ("restore", str(tmp_path / "missing.db"), "--home", str(other.path)): 2,
        ("restore", "/dev/null", "--home", str(other.path)): 2,
        ("restore", str(tmp_path / "copy.db"), "--to", "x", "--home", str(other.path)): 2,
    }

    results = {words: run_hourbook(*words, home=home.path) for words in cases}

    assert first.returncode == 0
    assert "hash" in first.stdout
    assert {words: r.returncode for words, r in results.items()} == cases
    assert {r.stdout for r in results.values()} == {""}
    assert {r.stderr.count("\n") for r in results.values()} == {1}
