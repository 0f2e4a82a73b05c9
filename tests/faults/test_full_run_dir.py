"""No room in the run directory: volatile keys are refused, and the book goes on."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from book_actors import running_writer
from kv_writes import BOOT, kv_write, put
from small_disk import mounted_small

from hourbook.book.store.volatile_file import open_volatile
from hourbook.faces.book import connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors

pytestmark = pytest.mark.live


@pytest.fixture
def small_run_dir(home: Home) -> Iterator[Path]:
    """Return the run directory of `home`, on a file system of its own with 16 MiB of room."""
    with mounted_small(home.run_dir, 16):
        yield home.run_dir


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)


def test_full_run_directory_refuses_volatile_writes_for_good(
    home: Home, small_run_dir: Path
) -> None:
    """A write that was refused stays so; a key that a merge brings meanwhile is the book's."""
    refused = kv_write(put("large", os.urandom(100_000), type="transient"))
    with (
        running_writer(home),
        connect("main", home, shared=True) as book,
        contextlib.closing(MailboxClient(home, "journal_writer", "agent")) as client,
    ):
        store = book.store("notes")
        store.set("k", "volatile", type="transient")
        book.create_branch("try")
        with connect("other", home, shared=True, branch="try") as branch:
            branch.store("notes").set("k", "durable", type="persistent")
        fill(small_run_dir / "ballast")
        with pytest.raises(errors.DiskFull):
            client.request("kv.write", refused)
        book.merge_branch("try")
        merged = store.get("k"), store.get_many(["k"])
        store.set("k", "later")
        with pytest.raises(errors.DiskFull):
            store.delete("k")
        (small_run_dir / "ballast").unlink()

        with pytest.raises(errors.DiskFull):
            client.request("kv.write", refused)
        store.delete("k")

        assert merged == ("durable", {"k": "durable"})
        assert (store.get("k"), store.get("large")) == (None, None)


def test_volatile_keys_outlive_their_writer_in_a_full_run_directory(
    home: Home, small_run_dir: Path
) -> None:
    """Its successor knows them: else it would call absent what every reader sees."""
    with contextlib.closing(open_volatile(home.volatile_db, BOOT)) as dead:
        dead.execute("UPDATE life SET hlc = 7")
        fill(small_run_dir / "ballast")

        with contextlib.closing(open_volatile(home.volatile_db, BOOT)) as successor:
            found = successor.execute("SELECT hlc FROM life").fetchone()

    assert found == (7,)
