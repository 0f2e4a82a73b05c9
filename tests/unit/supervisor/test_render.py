"""What the commands print, from the messages that they print."""

import json

import msgspec
import pytest
from fakes.supervisor_socket import actor_row, tree_status

from protocols.control import Event, Status
from supervisor import render
from supervisor.run_report import Report

S_NS = 1_000_000_000


def test_table_has_the_promised_columns() -> None:
    """One line about the supervisor, then a row for each actor under the columns of the design."""
    status = tree_status(actor_row("clock_model"), actor_row("metrics", "edge", "DEGRADED"))

    lines = render.status_table(status).splitlines()

    assert lines[0].startswith("supervisor 0.1.0 READY, pid 4141, up 1m00s, 20M, home /home/ann")
    header = "NAME STATE PID INC UPTIME RESTARTS(window) BEAT RSS CPU CAUSE"
    assert lines[2].split() == header.split()
    row = "clock_model READY 4242 2 12s 1(1) 0.2s 30M 1.5% signal SIGKILL"
    assert " ".join(lines[3].split()) == row


def test_actor_without_a_process_has_dashes() -> None:
    """What does not run has no pid, age, memory or load."""
    row = msgspec.structs.replace(
        actor_row("compactor", "book", "GAVE_UP"), pid=None, beat_age_s=None, cause="max_restarts"
    )

    assert render.row_cells(row) == (
        "compactor", "GAVE_UP", "-", "2", "-", "1(1)", "-", "-", "-", "max_restarts",
    )  # fmt: skip


def test_narrow_terminal_gets_fewer_columns_and_no_broken_line() -> None:
    """What says least is left out first; a pipe, whose width is unknown, gets every column."""
    status = tree_status(actor_row("journal_writer"))

    def header(width: int | None) -> list[str]:
        return render.status_table(status, width).split("\n")[2].split()

    assert header(None) == list(render.COLUMNS)
    assert header(80) == [name for name in render.COLUMNS if name not in render.LEFT_OUT[:2]]
    assert header(64) == ["NAME", "STATE", "PID", "RESTARTS(window)", "CAUSE"]
    assert header(20) == ["NAME", "STATE", "RESTARTS(window)", "CAUSE"]


def test_reason_and_endpoints_cannot_move_the_cursor() -> None:
    """Escape sequences and line breaks from an actor are shown, not obeyed."""
    row = msgspec.structs.replace(
        actor_row("metrics"), reason="\x1b[2Jport\nin use", endpoints={"x": "http://\r1"}
    )

    text = render.status_table(tree_status(row))

    assert "\\x1b[2Jport\\nin use; signal SIGKILL" in text
    assert "metrics: http://\\r1" in text
    assert "\x1b" not in text


def test_status_json_has_the_exact_shape() -> None:
    """The keys are those of the design, in their order."""
    shown = json.loads(render.status_json(tree_status(actor_row("metrics"))))

    assert list(shown) == ["supervisor", "actors", "snapshots"]
    assert list(shown["actors"][0]) == [
        "name", "node", "state", "pid", "incarnation", "uptime_s", "restarts", "restarts_window",
        "beat_age_s", "rss_bytes", "cpu_percent", "endpoints", "reason", "cause",
    ]  # fmt: skip


def test_event_json_keeps_nanoseconds_as_text() -> None:
    """Numbers above 2^53 would be rounded by many readers."""
    event = Event(5, 1_800_000_000_123_456_789, 42 * S_NS, "metrics", "exited", cause="exit 1")

    shown = json.loads(render.event_json(event))

    assert shown["time_wall_ns"] == "1800000000123456789"
    assert shown["mono_ns"] == "42000000000"
    assert shown["seq"] == 5


def test_event_line_is_one_line() -> None:
    """Of a traceback the list has the line that says what it was; none can move the cursor."""
    event = Event(1, S_NS, 0, "a", "exited", pid=7, incarnation=2, cause="init", detail="x\ny\x1b")

    line = render.event_line(event)

    assert line.endswith("pid 7 inc 2 init y\\x1b")
    assert ":01.000 a " in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"), (-0.1, "0.0s"), (9.94, "9.9s"), (12.9, "12s"), (59.9, "59s"), (60, "1m00s"),
        (3599, "59m59s"), (3600, "1h00m"), (86_399, "23h59m"), (86_400, "1d00h"), (9e6, "104d04h"),
    ],
)  # fmt: skip
def test_age_is_short(seconds: float, text: str) -> None:
    """Durations fit into a column."""
    assert render.age(seconds) == text


def test_summary_tells_clock_and_book() -> None:
    """The status line shows what the actors report, and leaves out what they do not."""
    snapshots = {
        "clock_model": {
            "clock_status": 1.0,
            "clock_offset_seconds": -12.34e-6,
            "clock_half_width_seconds": 0.00456,
        },
        "journal_writer": {"book_head_seq": 1234.0},
    }
    rows = (actor_row("a"), actor_row("b", state="DEGRADED"), actor_row("c"))

    assert render.summary_line(tree_status(*rows, snapshots=snapshots)) == (
        "clock SYNCHRONIZED offset -12.3us +-4.56ms  book 1234 entries"
        "  2 READY, 1 DEGRADED  3 restarts"
    )
    assert render.summary_line(tree_status(actor_row("a"))) == "1 READY  1 restart"


def test_summary_shows_no_offset_that_nothing_bounds() -> None:
    """A clock that promises nothing has no offset to a nanosecond beside its name."""
    snapshots = {"clock_model": {"clock_status": 0.0, "clock_offset_seconds": -647e-9}}

    assert render.summary_line(tree_status(snapshots=snapshots)).startswith("clock UNKNOWN  ")


# -- the report of a foreground run -------------------------------------------------------------


def event(name: str, what: str, at_s: float, cause: str = "", detail: str = "") -> Event:
    """Return an event at a monotonic time."""
    return Event(1, 0, round(at_s * S_NS), name, what, cause=cause, detail=detail)


def in_state(state: str, *names: str) -> Status:
    """Return a status of a tree in `state`, its actors READY."""
    status = tree_status(*(actor_row(name) for name in names))
    own = msgspec.structs.replace(status.supervisor, state=state)
    return msgspec.structs.replace(status, supervisor=own)


def test_report_of_a_start_times_each_actor() -> None:
    """A line for each actor with its time, then one for the tree; nodes are not mentioned."""
    report = Report(["a", "b"], has_colour=False)

    first = report.feed([event("a", "starting", 10), event("a", "ready", 10.25)], None)
    rest = report.feed(
        [
            event("b", "starting", 10.25),
            event("b", "degraded", 10.5, detail="port in use"),
            event("root", "ready", 10.5),
        ],
        in_state("DEGRADED", "a", "b"),
    )

    assert first == ["  a                 READY        250 ms"]
    assert rest == [
        "  b                 DEGRADED     250 ms  port in use",
        "up in 0.50 s: 2 READY",
    ]


def test_report_tells_of_a_crash_and_its_recovery() -> None:
    """The cause is on the line; the traceback below it."""
    report = Report(["a"], has_colour=False)
    report.feed([event("a", "starting", 1), event("a", "ready", 2)], in_state("READY", "a"))

    lines = report.feed(
        [
            event("a", "exited", 3, "signal SIGKILL"),
            event("a", "start_failed", 4, "init", "boom\nFile x"),
            event("a", "starting", 5),
            event("a", "ready", 5.1),
        ],
        in_state("READY", "a"),
    )

    assert lines == [
        "  a                 EXITED     signal SIGKILL",
        "  a                 START_FAILED  init  boom",
        "      File x",
        "  a                 READY        100 ms",
    ]


def test_report_of_a_stop_names_whom_it_waits_for() -> None:
    """Stops that were asked for are no news; the one that takes long is."""
    report = Report(["a", "b"], has_colour=False)
    report.feed([event("a", "ready", 1)], in_state("READY", "a", "b"))

    lines = report.feed(
        [
            event("root", "stopping", 7),
            event("b", "stopping", 7),
            event("b", "exited", 7.5, "requested"),
        ],
        in_state("STOPPING", "a", "b"),
    )
    report.feed([event("a", "exited", 9, "requested")], None)

    assert lines[-1] == "stopping, last started first"
    stopping = msgspec.structs.replace(actor_row("a"), state="STOPPING")
    assert report.waiting_line(tree_status(stopping)) == "stopping: waiting for a"
    assert report.waiting_line(tree_status(actor_row("a"))) == ""
    assert report.end() == ["stopped in 2.00 s"]


def test_report_of_a_stop_too_quick_to_be_asked_is_the_same() -> None:
    """The last events may come when nobody answers a status any more."""
    report = Report(["a"], has_colour=False)
    report.feed([event("a", "stopping", 1), event("a", "starting", 2)], None)

    lines = report.feed(
        [
            event("root", "stopping", 5),
            event("a", "stopping", 5),
            event("a", "exited", 5.5, "requested"),
        ],
        None,
    )

    assert lines == ["stopping, last started first"]
    assert report.end() == ["stopped in 0.50 s"]


def test_report_colours_states_only_where_asked() -> None:
    """Colour is for terminals."""
    events = [event("a", "ready", 1)]

    assert "\x1b[32mREADY" in Report(["a"], has_colour=True).feed(events, None)[0]
    assert "\x1b" not in Report(["a"], has_colour=False).feed(events, None)[0]


def test_report_of_a_run_that_never_began_says_nothing() -> None:
    """A second supervisor that finds the lock taken has nothing to report."""
    assert Report(["a"], has_colour=False).end() == []
