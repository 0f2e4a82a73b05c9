"""Who is there, what they have not read, and sessions: as people read them."""

from hourbook.book.diffing import InstanceDiff, Side
from hourbook.book.digest import SessionState
from hourbook.cli.live_text import GONE_SHOWN, diff_lines, instance_lines, session_lines
from hourbook.instance_view import InstanceStatus

NOW_NS = 1_800_000_000_000_000_000
S_NS = 1_000_000_000


def status(
    name: str, *, alive: bool = False, age_s: int = 0, lag: int | None = 0
) -> InstanceStatus:
    """Return an instance that was heard of a while ago."""
    position = None if lag is None else 12_000 - lag
    return InstanceStatus(name, alive, 4711, 7, NOW_NS - age_s * S_NS, position, lag)


def test_instances_stand_in_columns_with_numbers_on_their_right() -> None:
    """A pid of another namespace says of which; who never read has no position."""
    boxed = InstanceStatus("boxed", True, 1, 8, NOW_NS - 130 * S_NS, 3, 11_997)  # noqa: FBT003

    lines = instance_lines([boxed, status("claude-1", alive=True, lag=None)], NOW_NS, 7)

    assert lines == [
        "NAME      ALIVE  PID     LAST SEEN  POSITION    LAG",
        "boxed     yes    1 in 8  2m10s ago         3  11997",
        "claude-1  yes    4711    0.0s ago          -      -",
    ]


def test_names_that_ended_are_shown_newest_first_and_not_without_end() -> None:
    """All that live, the last that ended, and how many more there were."""
    living = [status(f"alive-{number}", alive=True) for number in range(30)]
    gone = [status(f"gone-{number}", age_s=number) for number in range(GONE_SHOWN + 2)]

    lines = instance_lines([*living, *reversed(gone)], NOW_NS)

    assert [line.split()[0] for line in lines[31:34]] == ["gone-0", "gone-1", "gone-2"]
    assert lines[-1] == "and 2 names heard of before; --json has all"
    assert len(lines) == 1 + 30 + GONE_SHOWN + 1
    assert instance_lines([], NOW_NS) == ["no instance was ever here"]


def test_diff_names_the_first_entries_that_one_has_not_seen() -> None:
    """And says how many there are."""
    ahead = Side("a", 20, 1, 20, 0, [])
    behind = Side("b", None, 0, None, 12, list(range(1, 13)))

    assert diff_lines(InstanceDiff(ahead, behind, 20, False)) == [  # noqa: FBT003
        "a and b are not in sync; the book ends at 20",
        "a: has read to 20, wrote 1 entry",
        "b: never read, wrote 0 entries",
        "  has not seen 12 entries that a has: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...",
    ]


def test_sessions_stand_in_columns() -> None:
    """What a name cannot hold is shown as an escape."""
    session = SessionState("work", NOW_NS, "planner", 1, 9, NOW_NS + 60 * S_NS, 9)

    assert session_lines([session]) == [
        "SESSION  STARTED               BY       ENTRIES  LAST",
        "work     2027-01-15T08:00:00Z  planner        9  2027-01-15T08:01:00Z",
    ]
    assert session_lines([]) == ["no session was ever started"]
