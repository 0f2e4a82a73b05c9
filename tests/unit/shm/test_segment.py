"""The segment as a file: built whole, checked whole, one writer for each region."""

import ctypes
import faulthandler
import os
import signal
from pathlib import Path

import pytest

from hourbook.home import Home
from protocols import errors
from shm import layout, segment, writer

OTHER_BOOT = bytes(range(16))


def poke(path: Path, offset: int, value: int) -> None:
    """Overwrite one word of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(8, "little"))


def test_ensure_builds_a_private_segment_once(home: Home) -> None:
    """The first writer builds it, 0600 and of full size; the second keeps that file."""
    segment.ensure(home.segment)
    first = home.segment.stat()
    segment.ensure(home.segment)

    assert first.st_mode & 0o777 == 0o600
    assert first.st_size == layout.SEGMENT_SIZE
    assert first.st_blocks * 512 >= layout.SEGMENT_SIZE, "its memory is reserved"
    assert home.segment.stat().st_ino == first.st_ino
    assert sorted(p.name for p in home.run_dir.iterdir()) == ["segment", "segment.lock"]


def test_reader_without_a_segment_is_told_what_to_run(home: Home) -> None:
    """The error names the path and the command."""
    with pytest.raises(errors.ClockUnavailable, match="supervisor start") as caught:
        segment.open_reader(home.segment)

    assert str(home.segment) in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (0, 1, errors.UnsupportedVersion),
        (8, 0, errors.UnsupportedVersion),
        (16, 2, errors.UnsupportedVersion),
        (24, 4096, errors.UnsupportedVersion),
        (32, 0, errors.ClockUnavailable),
        (56, layout.CLOSED, errors.ClockUnavailable),
    ],
    ids=["magic", "older", "newer", "size", "boot", "closed"],
)
def test_reader_refuses_what_it_cannot_trust(
    home: Home, offset: int, value: int, error: type[Exception]
) -> None:
    """A foreign file, another version, size or boot, and a closed segment are refused by name."""
    segment.ensure(home.segment)
    poke(home.segment, offset, value)

    with pytest.raises(error, match=r"Expected .* got .* at /"):
        segment.open_reader(home.segment)


def test_reader_refuses_a_short_file(home: Home) -> None:
    """A header alone is no segment: mapping it would end in SIGBUS."""
    segment.ensure(home.segment)
    home.segment.write_bytes(home.segment.read_bytes()[:4096])

    with pytest.raises(errors.UnsupportedVersion, match="in a file of 4096"):
        segment.open_reader(home.segment)


@pytest.mark.parametrize(("offset", "value"), [(16, 2), (32, 0)], ids=["version", "boot"])
def test_writer_replaces_a_segment_of_another_version_or_boot(
    home: Home, offset: int, value: int
) -> None:
    """The new one is another file; whoever mapped the old one still can read it."""
    segment.ensure(home.segment)
    old = segment.open_reader(home.segment)
    poke(home.segment, offset, value)

    time_writer = writer.TimeWriter(home.segment)

    assert segment.open_reader(home.segment).inode != old.inode
    assert len(old.map[:]) == layout.SEGMENT_SIZE
    time_writer.close()


def test_replaced_segment_of_this_version_is_marked_closed(home: Home) -> None:
    """Readers of the old file look for the new one at once."""
    segment.ensure(home.segment)
    old = segment.open_reader(home.segment)

    segment.create(home.segment, segment.current_boot_id())

    assert old.is_closed
    assert segment.open_reader(home.segment).segment_id != old.segment_id


def test_stop_marks_closed_and_start_revives_the_same_file(home: Home) -> None:
    """The inode and the id survive, so readers need not notice."""
    segment.ensure(home.segment)
    reader = segment.open_reader(home.segment)

    segment.mark_closed(home.segment)
    assert reader.is_closed
    assert segment.state_of(home.segment) == "closed"
    segment.ensure(home.segment)

    assert not reader.is_closed
    assert segment.state_of(home.segment) == "live"
    assert segment.open_reader(home.segment).inode == reader.inode


def test_mark_closed_without_a_segment_does_nothing(home: Home) -> None:
    """A tree that never ran can be stopped."""
    segment.mark_closed(home.segment)

    assert not home.segment.exists()
    assert segment.state_of(home.segment) == "unusable"


def test_readers_map_is_read_only(home: Home) -> None:
    """A store through a reader's map is impossible, in Python and below it."""
    segment.ensure(home.segment)
    reader = segment.open_reader(home.segment)

    with pytest.raises(TypeError):
        reader.map[4096] = 1
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # the crash is the point
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        descriptor = os.open(home.segment, os.O_RDONLY)
        address = libc.mmap(None, 4096, 1, 1, descriptor, 0)  # PROT_READ, MAP_SHARED: as readers do
        ctypes.memset(address, 0, 1)
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGSEGV


@pytest.mark.parametrize(
    "face",
    [writer.TimeWriter, writer.GenerationWriter, writer.RingWriter],
    ids=["time", "generations", "ring"],
)
def test_second_writer_of_a_region_is_refused(home: Home, face: type[writer.TimeWriter]) -> None:
    """Even in one process; and the region is free again when the first has closed."""
    first = face(home.segment)

    with pytest.raises(errors.AlreadyRunning, match="only writer of region"):
        face(home.segment)
    first.close()

    face(home.segment).close()


def test_writers_of_different_regions_work_side_by_side(home: Home) -> None:
    """The locks cover a region each."""
    publisher = writer.TimeWriter(home.segment)
    table = writer.GenerationWriter(home.segment)
    feed = writer.RingWriter(home.segment)

    assert publisher.segment.inode == table.segment.inode == feed.segment.inode
    for held in (publisher, table, feed):
        held.close()


def test_lock_does_not_outlive_its_holder_in_a_forked_child(home: Home) -> None:
    """A child that was forked from a writer does not keep the region when the writer goes."""
    first = writer.TimeWriter(home.segment)
    gate_read, gate_write = os.pipe()
    forked_read, forked_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(gate_write)
        os.write(forked_write, b"!")
        os.read(gate_read, 1)
        os._exit(0)
    os.read(forked_read, 1)

    first.close()

    writer.TimeWriter(home.segment).close()
    os.close(gate_write)
    os.waitpid(child, 0)
    for descriptor in (gate_read, forked_read, forked_write):
        os.close(descriptor)


def test_unwritable_directory_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that may not create the segment says where."""

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)

    with pytest.raises((errors.HomeUnusable, errors.ClockUnavailable), match=str(home.segment)):
        segment.ensure(home.segment)
