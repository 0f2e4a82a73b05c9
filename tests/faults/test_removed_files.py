"""Files that somebody removed, emptied or replaced: said in a line, mended where it can be."""

from pathlib import Path

import pytest
from books import open_writer, write_book
from full_tree import FullTree
from waiting import wait_until

from hourbook.faces.book import connect
from hourbook.faces.clock import Clock, Status
from hourbook.home import Home
from protocols import errors


@pytest.mark.live
def test_removed_segment_is_built_anew_and_filled(tmp_path: Path) -> None:
    """Both writers notice within a second; new readers find time and entries as before."""
    with FullTree(tmp_path / "home") as tree, connect("agent", tree.home, shared=True) as book:
        before = tree.home.segment.stat().st_ino

        tree.home.segment.unlink()

        wait_until(tree.home.segment.exists, 5, "another segment")
        clock = Clock(tree.home)
        wait_until(lambda: clock.now().status is Status.FREE_RUNNING, 5, "time in it")
        wait_until(lambda: tree.home.segment.stat().st_ino != before, 5, "another inode")
        follower = book.follow(since=0)
        book.log("after", "the removal")
        assert next(follower).action == "after"
        assert tree.row("shm_publisher").incarnation == 1
        assert tree.row("journal_writer").incarnation == 1


def test_emptied_book_is_no_new_book(home: Home) -> None:
    """A key says that there was a book: an empty file in its place is refused, not filled."""
    write_book(home, [3])
    for suffix in ("", "-wal", "-shm"):
        Path(f"{home.book_db}{suffix}").write_bytes(b"")

    with pytest.raises(errors.BookCorrupt, match="got an empty file"):
        open_writer(home)
    assert home.book_db.stat().st_size == 0


def test_removed_book_begins_again_with_its_key(home: Home) -> None:
    """Who removes the file asks for a new book; the site's key stays."""
    write_book(home, [3])
    key = min(home.keys_dir.iterdir()).read_bytes()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{home.book_db}{suffix}").unlink()

    writer = open_writer(home)

    assert writer.head.seq == 0
    assert min(home.keys_dir.iterdir()).read_bytes() == key
    writer.close()


def test_directory_in_the_place_of_the_book_is_named(home: Home) -> None:
    """What is no file is refused in words."""
    home.book_db.mkdir()

    with pytest.raises(errors.HomeUnusable, match=r"book\.db"):
        open_writer(home)
