"""One layout in three places: shm/layout.py, the compiled C, docs/SEGMENT.md."""

import re
from pathlib import Path

import pytest

from protocols import clock_messages
from shm import _core, layout

PAGE = Path(__file__).parents[3] / "docs" / "SEGMENT.md"
SECTIONS = {"header": "Header", "time_page": "Time page", "ring": "Feed ring"}
WORDS = {"header": layout.HEADER, "time_page": layout.TIME_PAGE, "ring": layout.RING_WORDS}
CODES = {"u64": "Q", "i64": "q", "ascii": "8s"}


def documented(title: str) -> list[tuple[int, str, str]]:
    """Return offset, name and type of each row in a section of the page."""
    section = re.split(rf"^## {title}.*$", PAGE.read_text(), flags=re.MULTILINE)[1]
    section = section.split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\w+) \|", section, flags=re.MULTILINE)
    return [(int(offset), name, CODES[code]) for offset, name, code in rows]


@pytest.mark.parametrize("table", SECTIONS)
def test_page_documents_every_word(table: str) -> None:
    """Offsets, names and types in SEGMENT.md are those of layout.py, in the same order."""
    ours = [(word.offset, word.name, word.code) for word in WORDS[table]]

    assert documented(SECTIONS[table]) == ours


@pytest.mark.parametrize("table", SECTIONS)
def test_c_has_the_same_offsets(table: str) -> None:
    """The tables that the C assertions were made from are those of layout.py."""
    ours = {word.name: word.offset for word in WORDS[table]}

    assert _core.layout()[table] == ours


def test_c_has_the_same_constants() -> None:
    """Sizes and places of the regions agree."""
    constants = _core.layout()["constants"]

    assert constants == {
        "SEGMENT_VERSION": layout.VERSION,
        "SEGMENT_SIZE": layout.SEGMENT_SIZE,
        "SEGMENT_LIVE": layout.LIVE,
        "SEGMENT_CLOSED": layout.CLOSED,
        "TIME_OFFSET": layout.TIME.offset,
        "TIME_SIZE": layout.TIME.size,
        "TIME_SHADOW_OFFSET": layout.TIME_SHADOW_OFFSET,
        "TIME_PAGE_SIZE": layout.TIME_PAGE_SIZE,
        "GENERATIONS_OFFSET": layout.GENERATIONS.offset,
        "GENERATIONS_SIZE": layout.GENERATIONS.size,
        "GENERATION_COUNT": layout.GENERATION_COUNT,
        "RING_OFFSET": layout.RING.offset,
        "RING_SIZE": layout.RING.size,
        "RING_DATA_OFFSET": layout.RING_DATA_OFFSET,
        "RING_DATA_SIZE": layout.RING_DATA_SIZE,
        "RING_PAYLOAD_BYTES_MAX": layout.RING_PAYLOAD_BYTES_MAX,
        "RING_RECORD_HEADER_SIZE": layout.RING_RECORD_HEADER_SIZE,
        "RING_RECORD_ENTRY": layout.RING_RECORD_ENTRY,
        "RING_RECORD_STUB": layout.RING_RECORD_STUB,
    }


def test_page_documents_the_regions() -> None:
    """The region table in SEGMENT.md is that of layout.py."""
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", PAGE.read_text(), flags=re.MULTILINE)

    regions = [layout.Region(name, int(offset), int(size)) for name, offset, size in rows]

    assert regions == [layout.TIME, layout.GENERATIONS, layout.RING]


def test_time_page_value_has_the_words_in_order() -> None:
    """TimePage packs into 256 bytes, word for word as the table says."""
    names = tuple(word.name for word in layout.TIME_PAGE)
    page = layout.TimePage(seq=2, rate=-7, source=b"ntp")

    assert layout.TimePage._fields == names
    assert [word.offset for word in layout.TIME_PAGE] == list(range(0, 256, 8))
    assert layout.TimePage.unpack(page.pack()) == page._replace(source=b"ntp\0\0\0\0\0")


def test_statuses_and_flags_are_those_of_the_messages() -> None:
    """What the clock model says is what a reader reads."""
    assert int(layout.Status.DISRUPTED) == clock_messages.STATUS_DISRUPTED
    assert int(layout.Status.FREE_RUNNING) == clock_messages.STATUS_FREE_RUNNING
    assert int(layout.Flag.SINGLE_SOURCE) == clock_messages.FLAG_SINGLE_SOURCE
    assert int(layout.Flag.KERNEL_UNPROVEN) == clock_messages.FLAG_KERNEL_UNPROVEN
    assert int(layout.Flag.ASSERTED) == clock_messages.FLAG_ASSERTED
    assert int(layout.Flag.SLEWING) == clock_messages.FLAG_SLEWING
