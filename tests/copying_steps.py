"""Back up, replace a backup, restore and change keys, with an end after a change of the disk.

Run by test_keeping_crashes.py in a process with ``fateful_disk.c`` under it: every life is a fork.
``copying_steps.py DIRECTORY kill|full SEED LIVES``: LIVES random ends of each job (0: all of them).
Prints how many there were.
"""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from books import STAMP, append, open_writer
from keeping_steps import FULL, KILL, LATER, changes, disk, lives, make_template
from keeping_steps import check as check_book

from hourbook.book.copies.backup import back_up
from hourbook.book.copies.book_file import verify_file
from hourbook.book.copies.parts import ARCHIVE_SUFFIX
from hourbook.book.copies.restore import RestoreReport, restore_book
from hourbook.book.moment import parse_moment
from hourbook.book.proof.key_chain import key_periods
from hourbook.book.proof.keys import read_public
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors
from protocols.entry import make_nonce
from protocols.key_messages import RotateKey

CUT: Final = parse_moment("12", "to")
"""In the midst of what was archived: the file is cut too."""
_CRASHED: Final = 3
ROTATE: Final = RotateKey(writer="operator", nonce=make_nonce(9, 1), why="yearly")


class Place(NamedTuple):
    """Where one life takes place: a home with a book, a backup of it, a home to be."""

    home: Home
    backup: Path
    other: Home


class Job(NamedTuple):
    """What is done, what must be true after an end in its midst, and how it is done after all.

    Attributes:
        do: it, from the beginning.
        check: after an end; told whether the disk was full.
        again: do it once more, and check that it is done.
    """

    do: Callable[[Place], object]
    check: Callable[[Place, bool], None]
    again: Callable[[Place], None]


def place_in(path: Path) -> Place:
    """Return the places below a directory."""
    run_dir = path / "run"
    return Place(Home(path / "home", run_dir), path / "copy.db", Home(path / "new", run_dir))


def make_places(path: Path) -> None:
    """Make what every life begins with: a backup, and a book that has gone on since."""
    home = place_in(path).home
    home.path.mkdir(mode=0o700, parents=True)
    home.run_dir.mkdir(mode=0o700)
    make_template(home)
    writer = open_writer(home)
    sealing, *others = changes(writer, home)
    assert writer.write([sealing], LATER).outcomes[0].error is None
    back_up(home, path / "old.db", with_key=True)
    for change in others:
        assert writer.write([change], LATER).outcomes[0].error is None
    writer.sweep_archive()
    writer.close()


def check_backup(place: Place) -> None:
    """Check that the backup is whole, whichever it is."""
    archive = place.backup.with_name(place.backup.name + ARCHIVE_SUFFIX)
    assert verify_file(place.backup, read_public(place.home.keys_dir), None, archive) == []


def names_beside(place: Place) -> list[str]:
    """Return what lies beside the places."""
    known = {"home", "run", "new", *(f"old.db{s}" for s in ("", ".pub", ".key", ".archive"))}
    return sorted({path.name for path in place.backup.parent.iterdir()} - known)


def after_backup(place: Place, is_full: bool) -> None:  # noqa: FBT001 - of a Job
    """There is no backup, or a whole one; where there was no room, nothing is left."""
    if place.backup.exists():
        check_backup(place)
    elif is_full:
        assert names_beside(place) == []


def back_up_again(place: Place) -> None:
    """Make the backup in the place of what there is."""
    assert back_up(place.home, place.backup, replace=True).archive_problems == []
    check_backup(place)
    assert [name for name in names_beside(place) if name.startswith(".")] == []


def replace_backup(place: Place) -> None:
    """Replace an earlier backup, whose archive file is another one."""
    back_up(place.home, place.backup, replace=True)


def begin_with_old_backup(place: Place) -> None:
    """Put the earlier backup in the place of the one to be."""
    for suffix in ("", ".pub", ".key"):
        shutil.copy(place.backup.with_name(f"old.db{suffix}"), f"{place.backup}{suffix}")
    shutil.copytree(place.backup.with_name("old.db.archive"), f"{place.backup}.archive")


def after_restore(place: Place, _: bool) -> None:  # noqa: FBT001 - of a Job
    """There is no book, or a whole one."""
    if place.other.book_db.exists():
        check_restored(place)


def restore_again(place: Place) -> None:
    """Restore where there is no book yet."""
    if not place.other.book_db.exists():
        assert restore(place).can_write
    check_restored(place)
    assert not (place.other.path / ".restoring" / "book.db").exists()


def restore(place: Place) -> RestoreReport:
    """Make the new home from the earlier backup, as it was in the midst of it."""
    return restore_book(place.backup.with_name("old.db"), place.other, to=CUT)


def check_restored(place: Place) -> None:
    """Check a restored book, by its own key, and that it goes on."""
    check_book(place.other)
    with BookReader(place.other) as reader:
        assert reader.head_seq() == 12


def rotate(place: Place) -> None:
    """Change the key of the book."""
    writer = open_writer(place.home)
    error = writer.write([ROTATE], LATER).outcomes[0].error
    if error is not None:
        raise error


def after_rotation(place: Place, _: bool) -> None:  # noqa: FBT001 - of a Job
    """The book verifies, whatever its files of keys say."""
    check_book(place.home)


def rotate_again(place: Place) -> None:
    """Send the change once more: it is done once, and the new key signs."""
    writer = open_writer(place.home)
    if writer.admission.is_new(ROTATE, (), LATER.time_ns):
        assert writer.write([ROTATE], LATER).outcomes[0].error is None
    writer.commit([append(9000)], STAMP)
    periods = writer.query(key_periods)
    writer.close()
    assert len(periods) == 2
    assert read_public(place.home.keys_dir) == periods[1].key
    assert not (place.home.keys_dir / "next.key").exists()
    check_book(place.home)


JOBS: Final = {
    "backup": Job(
        lambda place: back_up(place.home, place.backup, with_key=True), after_backup, back_up_again
    ),
    "replaced backup": Job(replace_backup, lambda place, _: check_backup(place), back_up_again),
    "restore": Job(restore, after_restore, restore_again),
    "rotation": Job(rotate, after_rotation, rotate_again),
}


def live(job: Job, place: Place, calls: int, mode: int) -> int:
    """Do a job in a process of its own, with an end after so many changes; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = _CRASHED
        try:
            disk.arm(calls, mode)
            job.do(place)
            code = 0
        except errors.HourbookError:  # which one, others test
            code = 4
        finally:
            disk.arm(0, 0)
            if code == _CRASHED:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def steps_of(job: Job, place: Place) -> int:
    """Return how many changes of the disk a job makes."""
    disk.arm(100_000, KILL)
    job.do(place)
    steps = 100_000 - int(disk.left())
    disk.arm(0, 0)
    return steps


def main() -> None:
    """Run the lives of each job."""
    base, mode = Path(sys.argv[1]), {"kill": KILL, "full": FULL}[sys.argv[2]]
    seed, count, done = int(sys.argv[3]), int(sys.argv[4]), 0
    make_places(base / "template")
    for name, job in JOBS.items():

        def begin(calls: int, name: str = name) -> Place:
            place = place_in(base / f"{name}-{calls}")
            shutil.copytree(base / "template", place.backup.parent)
            if name == "replaced backup":
                begin_with_old_backup(place)
            return place

        steps = steps_of(job, begin(0))
        for calls in lives(count, steps, seed):
            place = begin(calls)
            status = live(job, place, calls, mode)
            try:
                assert status in ((-signal.SIGKILL,) if mode == KILL else (0, 4)), status
                job.check(place, mode == FULL and status == 4)
                job.again(place)
            except Exception as error:
                raise RuntimeError(f"{name}, {sys.argv[2]} at step {calls} of {steps}") from error
            shutil.rmtree(place.backup.parent)
            done += 1
    print(done)


if __name__ == "__main__":
    main()
