"""A reader written from docs/SEGMENT.md alone, in plain `struct`: the page is enough."""

import struct
import time
import zlib
from typing import Any

from fakes.time_pages import page_now, reader_of

from hourbook.home import Home
from shm import reader, segment, writer


def plain_page(data: Any) -> dict[str, int]:
    """Read the time page as the page says, in the order of its steps."""
    while True:
        (seq,) = struct.unpack_from("=Q", data, 4096)
        raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        words = struct.unpack_from("=32q", data, 4096)
        if seq % 2 == 0 and struct.unpack_from("=Q", data, 4096)[0] == seq:
            break
    as_of, utc, rate, slew_ppb, slew_end, state, void_after = words[1:8]
    earliest_off, latest_off, growth_ppb = words[8:11]
    dt = raw - as_of
    base = utc + dt + ((dt * rate) >> 48)
    output = base + slew_ppb * max(0, min(raw, slew_end) - as_of) // 10**9
    growth = -(-abs(dt) * growth_ppb // 10**9) + (dt != 0)
    return {
        "raw": raw,
        "output": output,
        "earliest": min(base + earliest_off - growth, output),
        "latest": max(base + latest_off + growth, output),
        "status": 0 if raw >= void_after else state & 0xFF,
    }


def plain_record(data: Any, position: int) -> tuple[int, bytes]:
    """Read one record of the ring at a position."""
    place = 40960 + 4096 + position % 4194304
    first, seq = struct.unpack_from("=QQ", data, place)
    return seq, bytes(data[place + 16 : place + 16 + (first & 0xFFFFFFFF)])


def test_plain_reader_reads_the_same_time(home: Home) -> None:
    """Time, interval and status agree with the C reader's at the same RAW, to the nanosecond."""
    publisher = writer.TimeWriter(home.segment)
    publisher.publish(page_now(rate=-123_456_789_012), is_step=True)
    publisher.publish(
        page_now(rate=55, slew_ppb=-400_000, slew_end_raw_ns=page_now().as_of_raw_ns + 10**9),
        is_step=False,
    )
    mapped = segment.open_reader(home.segment).map

    plain = plain_page(mapped)
    ours = reader_of(mapped).at(plain["raw"])

    assert plain["output"] == ours.time_ns
    assert (plain["earliest"], plain["latest"]) == (ours.earliest_ns, ours.latest_ns)
    assert plain["status"] == ours.status
    publisher.close()


def test_plain_reader_reads_the_same_feed(home: Home) -> None:
    """Head and records are where the page says."""
    feed = writer.RingWriter(home.segment)
    feed.rewind(0)
    feed.publish(1, [b"first", b"second entry"])
    mapped = segment.open_reader(home.segment)

    (publication,) = struct.unpack_from("=Q", mapped.map, 40960)
    head = struct.unpack_from("=QQ", mapped.map, 40960 + 64 + 16 * (publication % 2))

    assert head == reader.RingReader(mapped).head() == (24 + 32, 2)
    assert plain_record(mapped.map, 0) == (1, b"first")
    assert plain_record(mapped.map, 24) == (2, b"second entry")
    feed.close()


def test_plain_reader_finds_the_same_bucket(home: Home) -> None:
    """The counter of a key lies at 8192 + 8 * bucket."""
    table = writer.GenerationWriter(home.segment)
    bucket = zlib.crc32(b"key", zlib.crc32(b"namespace")) & 4095
    table.reset_all()
    table.begin([bucket])
    mapped = segment.open_reader(home.segment)

    (plain,) = struct.unpack_from("=Q", mapped.map, 8192 + 8 * bucket)

    assert plain == reader.GenerationReader(mapped).load(bucket) == 3
    table.close()
