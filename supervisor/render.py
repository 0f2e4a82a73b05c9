"""What the commands print, as text: pure functions from the messages of the control socket.

Everything that came from outside (reasons, causes, log lines) passes through :func:`one_line`, so
that no actor can move the cursor of the terminal that shows it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from protocols.control import ActorRow, Event, Status
from supervisor.config import Loaded

__all__ = [
    "COLUMNS",
    "LEFT_OUT",
    "RIGHT",
    "UNSETTLED",
    "age",
    "count_states",
    "endpoints_text",
    "event_json",
    "event_line",
    "find_waiting",
    "fitting_columns",
    "is_settled",
    "mebibytes",
    "one_line",
    "row_cells",
    "status_json",
    "status_table",
    "summary_line",
    "tree_json",
]

COLUMNS: Final = (
    "NAME", "STATE", "PID", "INC", "UPTIME", "RESTARTS(window)", "BEAT", "RSS", "CPU", "CAUSE",
)  # fmt: skip
LEFT_OUT: Final = ("INC", "BEAT", "RSS", "CPU", "UPTIME", "PID")
"""What a terminal goes without that is too narrow for all columns, the first of these first."""
_CAUSE_WIDTH: Final = 16
_CLOCK_STATUS: Final = {0: "UNKNOWN", 1: "SYNCHRONIZED", 2: "FREE_RUNNING", 3: "DISRUPTED"}
RIGHT: Final = frozenset({"PID", "INC", "UPTIME", "RESTARTS(window)", "BEAT", "RSS", "CPU"})
UNSETTLED: Final = frozenset({"PENDING", "STARTING", "BACKOFF", "STOPPING"})


def status_table(status: Status, width: int | None = None) -> str:
    """Return the status as a table under one line about the supervisor.

    Args:
        status: what the supervisor answered.
        width: of the terminal (columns); None, for a pipe: every column, however long the lines.
    """
    own = status.supervisor
    config = own.config or "defaults"
    head = (
        f"supervisor {own.version} {own.state}, pid {own.pid}, up {age(own.uptime_s)},"
        f" {mebibytes(own.rss_bytes)}, home {own.home}, config {config}"
    )
    rows = [COLUMNS, *(row_cells(row) for row in status.actors)]
    lines = [one_line(head), "", *_aligned(rows, width)]
    endpoints = [endpoints_text(row) for row in status.actors if row.endpoints]
    if endpoints:
        lines += ["", *endpoints]
    if own.dropped_log_lines:
        lines.append(f"log lines that were dropped: {own.dropped_log_lines}")
    if own.dropped_messages:
        lines.append(f"messages that found nobody who takes them: {own.dropped_messages}")
    return "\n".join(lines)


def row_cells(row: ActorRow) -> tuple[str, ...]:
    """Return one actor as the texts of :data:`COLUMNS`."""
    lives = row.pid is not None
    return (
        row.name,
        row.state,
        str(row.pid) if lives else "-",
        str(row.incarnation),
        age(row.uptime_s) if lives else "-",
        f"{row.restarts}({row.restarts_window})",
        "-" if row.beat_age_s is None else age(row.beat_age_s),
        mebibytes(row.rss_bytes) if lives else "-",
        f"{row.cpu_percent:.1f}%" if lives else "-",
        one_line("; ".join(text for text in (row.reason, row.cause) if text)) or "-",
    )


def endpoints_text(row: ActorRow) -> str:
    """Return an actor's addresses on one line."""
    return f"{row.name}: " + " ".join(one_line(address) for address in row.endpoints.values())


def summary_line(status: Status) -> str:
    """Return the tree in one line: its actors, and clock and book where they are reported."""
    merged: dict[str, float] = {}
    for snapshot in status.snapshots.values():
        merged |= snapshot
    restarts = sum(row.restarts for row in status.actors)
    words = [
        _clock_words(merged),
        f"book {merged['book_head_seq']:.0f} entries" if "book_head_seq" in merged else "",
        count_states(status.actors),
        f"{restarts} restart{'' if restarts == 1 else 's'}",
    ]
    return "  ".join(word for word in words if word)


def _clock_words(figures: Mapping[str, float]) -> str:
    if "clock_status" not in figures:
        return ""
    words = ["clock", _CLOCK_STATUS.get(int(figures["clock_status"]), "?")]
    if "clock_half_width_seconds" not in figures:
        return " ".join(words)  # nothing is promised: an offset alone would look like a promise
    if "clock_offset_seconds" in figures:
        words.append(f"offset {_seconds(figures['clock_offset_seconds'])}")
    return " ".join((*words, f"+-{_seconds(figures['clock_half_width_seconds'])}"))


def count_states(actors: Sequence[ActorRow]) -> str:
    """Return how many actors are in which state, as ``6 READY, 1 DEGRADED``."""
    states = [row.state for row in actors]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def is_settled(status: Status) -> bool:
    """Say whether no actor is on its way up or down."""
    return not find_waiting(status, UNSETTLED)


def find_waiting(status: Status, states: frozenset[str] = frozenset({"STOPPING"})) -> list[str]:
    """Return the names of the actors in one of `states`."""
    return [row.name for row in status.actors if row.state in states]


def event_line(event: Event) -> str:
    """Return one event for a person: times in local time, of details the last line."""
    moment = datetime.fromtimestamp(event.time_wall_ns / 1e9, UTC).astimezone()
    parts = [f"{moment:%H:%M:%S}.{event.time_wall_ns // 1_000_000 % 1000:03d}"]
    parts += [f"{event.name:<15}", f"{event.event:<10}"]
    if event.pid:
        parts.append(f"pid {event.pid}")
    if event.incarnation:
        parts.append(f"inc {event.incarnation}")
    last = event.detail.splitlines()[-1:]  # of a traceback, the line that says what it was
    parts += [text for text in (event.cause, *last) if text]
    return one_line(" ".join(parts)).rstrip()


def event_json(event: Event) -> str:
    """Return one event as a line of JSON; nanoseconds are decimal strings, safe in any reader."""
    data = msgspec.structs.asdict(event)
    for key in ("time_wall_ns", "mono_ns"):
        data[key] = str(data[key])
    return msgspec.json.encode(data).decode()


def status_json(status: Status) -> str:
    """Return the status as JSON."""
    return msgspec.json.format(msgspec.json.encode(status), indent=2).decode()


def tree_json(loaded: Loaded) -> str:
    """Return a whole configuration, defaults included, in the shape of ``hourbook.toml``."""
    tree: dict[str, Any] = {
        "config": None if loaded.path is None else str(loaded.path),
        "supervisor": msgspec.to_builtins(loaded.settings),
        # OTP's: the stop of a supervisor has no limit of its own, those of its children add up.
        "node": {
            name: {**_spec(node), "shutdown_s": "infinity", "order": loaded.tree.children_of(name)}
            for name, node in loaded.tree.nodes.items()
        },
        "actor": {name: _spec(actor) for name, actor in loaded.tree.actors.items()},
    }
    return msgspec.json.format(msgspec.json.encode(tree), indent=2).decode()


def one_line(text: str) -> str:
    """Return text with everything that is not printable escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(seconds: float) -> str:
    """Return a duration in at most six characters: ``0.4s``, ``12s``, ``3m05s``, ``4h20m``."""
    whole = int(seconds)
    if seconds < 10:  # noqa: PLR2004 - below, a tenth tells something
        return f"{max(seconds, 0.0):.1f}s"
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004 - seconds in an hour
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:  # noqa: PLR2004 - seconds in a day
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def mebibytes(size: int) -> str:
    """Return a size in MiB."""
    return f"{size / (1 << 20):.0f}M"


def _seconds(seconds: float) -> str:
    """Return a small time with three digits: ``-12.3us``, ``4.56ms``, ``1.20s``."""
    size = abs(seconds)
    for unit, factor in (("ns", 1e9), ("us", 1e6), ("ms", 1e3)):
        if size * factor < 1000:  # noqa: PLR2004 - the next unit begins
            return f"{seconds * factor:.3g}{unit}"
    return f"{seconds:.3g}s"


def _spec(spec: msgspec.Struct) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(spec)
    data.pop("name")
    return data


def fitting_columns(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Return which of :data:`COLUMNS` a terminal has room for, by number.

    Args:
        rows: cells of all columns.
        width: of the terminal (columns); None: there is room for all.
    """
    # A long cause breaks its line whatever is left out; it costs no other column.
    used = {name: max(len(row[i]) for row in rows) + 2 for i, name in enumerate(COLUMNS)}
    used["CAUSE"] = min(used["CAUSE"], _CAUSE_WIDTH + 2)
    for name in LEFT_OUT if width is not None else ():
        if sum(used.values()) - 2 <= (width or 0):
            break
        del used[name]
    return [i for i, name in enumerate(COLUMNS) if name in used]


def _aligned(rows: Sequence[Sequence[str]], width: int | None) -> Iterable[str]:
    shown = fitting_columns(rows, width)
    widths = [max(len(row[i]) for row in rows) for i in shown]
    for row in rows:
        cells = [
            row[i].rjust(wide) if COLUMNS[i] in RIGHT else row[i].ljust(wide)
            for i, wide in zip(shown, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
