"""The status table: every cell defined, and what age takes away."""

from pathlib import Path

import pytest

from hourbook.clock.disruption import CAUSES
from hourbook.clock.status import TABLE, Happening, Status, after, at_age

UNKNOWN, SYNC, FREE, DISRUPTED = (
    Status.UNKNOWN,
    Status.SYNCHRONIZED,
    Status.FREE_RUNNING,
    Status.DISRUPTED,
)
S_NS = 1_000_000_000
DOCUMENT = Path(__file__).parents[3] / "docs" / "CLOCK.md"


def test_every_cell_of_the_table_is_defined() -> None:
    """No happening can meet a status that has no answer."""
    assert set(TABLE) == set(Status)
    assert all(set(row) == set(Happening) for row in TABLE.values())


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    ("happening", "expected"),
    [
        (Happening.PROVEN, SYNC),
        (Happening.UNPROVEN, FREE),
        (Happening.NO_MAJORITY, UNKNOWN),
        (Happening.CARRIED, FREE),
        (Happening.VOID, UNKNOWN),
        (Happening.DISRUPTED, DISRUPTED),
    ],
)
def test_evidence_alone_decides(status: Status, happening: Happening, expected: Status) -> None:
    """But for age, the past status does not matter."""
    assert after(status, happening) is expected


@pytest.mark.parametrize(
    ("status", "age_s", "expected"),
    [
        (SYNC, 256, SYNC),
        (SYNC, 257, FREE),
        (SYNC, 999, FREE),
        (SYNC, 1000, UNKNOWN),
        (FREE, 300, FREE),
        (UNKNOWN, 300, UNKNOWN),
        (DISRUPTED, 300, DISRUPTED),
        (DISRUPTED, 1001, UNKNOWN),
    ],
)
def test_age_downgrades(status: Status, age_s: int, expected: Status) -> None:
    """Stale after four polls of 64 s, void after 1000 s."""
    assert at_age(status, age_s * S_NS, poll_s=64, void_after_s=1000) is expected


def documented() -> dict[str, dict[str, str]]:
    """Return the table of docs/CLOCK.md: status -> happening -> status."""
    section = DOCUMENT.read_text().split("\n## Status\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and "---" not in line
    ]
    happenings = rows[0][1:]
    return {row[0]: dict(zip(happenings, row[1:], strict=True)) for row in rows[1:]}


def test_document_has_the_table() -> None:
    """docs/CLOCK.md says what the code does, cell by cell."""
    ours = {
        status.name: {happening.name: then.name for happening, then in row.items()}
        for status, row in TABLE.items()
    }

    assert documented() == ours


def test_document_names_every_cause_of_disruption() -> None:
    """The causes, in the order in which one hides another."""
    section = DOCUMENT.read_text().split("\n## Disruption\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1].strip(" `") for line in section.splitlines() if "| `" in line]

    assert tuple(rows) == CAUSES
