"""Readers against a writer at full speed; and the same against one that does it wrong."""

import json
from pathlib import Path

import pytest
from fakes import c_programs

TEAR = Path(__file__).with_name("tear.c")
NO_ODD = {"time_page.h": [("    store_relaxed(&page[PAGE_seq], odd);\n", "")]}
READER = "include/hourbook_clock.h"
SECOND_LOOK = "    if (hourbook_load(&page[HOURBOOK_PAGE_seq]) != seq)\n        return false;\n"
NO_SECOND_LOOK = {READER: [(SECOND_LOOK, "")]}
DAWDLING_CLOCK = """
    static int turn; /* every other read dawdles before it looks at the clock */
    for (volatile int i = 0; i < 500 * (turn & 1); i++) continue;
    turn++;
    *raw_ns = hourbook_raw_ns();
"""
CLOCK_OUTSIDE = {
    READER: [
        ("    *raw_ns = hourbook_raw_ns();\n", ""),
        (SECOND_LOOK, SECOND_LOOK + DAWDLING_CLOCK),
    ]
}


def test_reads_are_whole_and_in_order(tmp_path: Path) -> None:
    """None torn, none earlier than one before, and the shadow is hardly needed."""
    result = c_programs.run(c_programs.build(tmp_path, TEAR), 300_000)

    counts = json.loads(result.stdout)

    assert counts["reads"] == 300_000
    assert counts["torn"] == counts["backward"] == 0


@pytest.mark.parametrize("edits", [NO_ODD, NO_SECOND_LOOK], ids=["no_odd", "no_second_look"])
def test_wrong_order_is_caught(tmp_path: Path, edits: c_programs.Edits) -> None:
    """The test above has teeth: without the odd mark, or the second look, it would fail."""
    result = c_programs.run(c_programs.build(tmp_path, TEAR, edits), 50_000_000, "first")

    counts = json.loads(result.stdout)
    assert counts["torn"] + counts["backward"] > 0  # a mixed page may show as a time gone back


def test_clock_read_outside_the_section_is_caught(tmp_path: Path) -> None:
    """RAW must be read inside: else the old line is followed past the new one's as_of."""
    result = c_programs.run(c_programs.build(tmp_path, TEAR, CLOCK_OUTSIDE), 50_000_000, "first")

    counts = json.loads(result.stdout)
    assert counts["torn"] + counts["backward"] > 0
