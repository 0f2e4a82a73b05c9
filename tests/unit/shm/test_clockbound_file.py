"""The segment for ClockBound clients: its bytes, and whose path it is."""

import struct
from pathlib import Path
from typing import Any

import pytest

from protocols import errors
from shm import _core
from shm.clockbound import CLOCKBOUND_SIZE, ClockBoundFile, ClockBoundRecord

S = 1_000_000_000
FIELDS = struct.Struct("=IIIHHqqqqqQIiB7s")
RECORD = ClockBoundRecord(
    as_of_ns=5 * S + 7,
    void_after_ns=6 * S + 8,
    bound_ns=123,
    disruption_marker=1 << 63,
    max_drift_ppb=(1 << 32) - 1,
    status=2,
    has_disruption_support=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where to publish."""
    return tmp_path / "shm0"


def read(path: Path) -> tuple[Any, ...]:
    """Return the fields of the segment."""
    return FIELDS.unpack(path.read_bytes())


def test_segment_has_the_bytes_of_the_protocol(path: Path) -> None:
    """80 of them, and on a little-endian machine they begin as upstream's reader wants them."""
    file = ClockBoundFile(path)
    unused = read(path)

    file.publish(RECORD)

    assert unused[3:5] == (0, 0)
    assert path.stat().st_size == CLOCKBOUND_SIZE == 80
    assert read(path) == (
        0x414D5A4E, 0x43420200, 80, 2, 2, 5, 7, 6, 8, 123, 1 << 63, (1 << 32) - 1, 2, 1, bytes(7),
    )  # fmt: skip
    if struct.pack("=H", 1) == b"\1\0":
        assert path.read_bytes()[:8].hex() == "4e5a4d4100024243"
    file.close()


def test_generation_goes_on_and_never_becomes_zero(path: Path) -> None:
    """A second life goes on in the same file; after 65534 comes 2."""
    first = ClockBoundFile(path)
    for _ in range(32_767):
        first.publish(RECORD)
    first.close()
    inode, last = path.stat().st_ino, read(path)[4]

    second = ClockBoundFile(path)
    second.publish(RECORD)

    assert (last, read(path)[4]) == (65_534, 2)
    assert path.stat().st_ino == inode
    second.close()


def test_file_of_another_program_is_never_touched(path: Path) -> None:
    """Neither one that is there, nor one that comes later, nor a link to somewhere."""
    path.write_bytes(b"theirs")
    with pytest.raises(errors.HomeUnusable, match="a file of somebody else") as caught:
        ClockBoundFile(path)

    assert (path.read_bytes(), caught.value.field) == (b"theirs", "clockbound_path")
    path.unlink()
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(errors.HomeUnusable):
        ClockBoundFile(path)
    path.unlink()
    file = ClockBoundFile(path)
    path.unlink()
    path.write_bytes(b"theirs")
    with pytest.raises(errors.HomeUnusable, match="another program"):
        file.publish(RECORD)
    file.close()
    with pytest.raises(errors.HomeUnusable, match="a file of somebody else"):
        ClockBoundFile(path)
    assert path.read_bytes() == b"theirs"


def test_file_that_another_program_writes_is_given_up(path: Path) -> None:
    """A real clockbound that finds our file goes on in it: then it is theirs."""
    file = ClockBoundFile(path)
    file.publish(RECORD)
    with path.open("r+b") as theirs:
        theirs.seek(14)
        theirs.write(struct.pack("=H", 8))

    with pytest.raises(errors.HomeUnusable, match="another program writes there"):
        file.publish(RECORD)
    file.close()

    with pytest.raises(errors.HomeUnusable, match="a file of somebody else"):
        ClockBoundFile(path)
    assert read(path)[4] == 8


def test_two_of_us_do_not_share_a_path(path: Path) -> None:
    """And a directory that is not there is named."""
    file = ClockBoundFile(path)

    with pytest.raises(errors.AlreadyRunning):
        ClockBoundFile(path)
    with pytest.raises(errors.HomeUnusable, match="No such file"):
        ClockBoundFile(path.parent / "absent" / "shm0")
    file.close()


@pytest.mark.parametrize("buffer", [bytearray(79), bytearray(88), bytes(80)])
def test_writer_takes_a_whole_writable_segment_only(buffer: Any) -> None:
    """Neither less nor more, and nothing that cannot be written."""
    with pytest.raises((ValueError, BufferError)):
        _core.ClockBoundWriter(buffer)


def test_writer_takes_a_whole_body_only() -> None:
    """Half a record would be read as one."""
    with pytest.raises(TypeError, match="Expected 64 bytes"):
        _core.ClockBoundWriter(bytearray(80)).publish(bytes(63))
