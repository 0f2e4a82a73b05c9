"""What is wrong with a Hourbook, and what to do about it. Pure: from facts to findings.

Facts are gathered by ``hourbook.doctor_probe``. Each check below looks at one thing that users get
wrong, and yields one finding: *ok*, a *warning* (it works, but not as you may think), or *wrong*,
with a command or change that mends it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from protocols import control

__all__ = ["ClockFacts", "Facts", "Finding", "PortFact", "examine"]

Level = Literal["ok", "warning", "wrong"]

DISK_FREE_MIN: Final = 1 << 30
"""Bytes: below 1 GiB a busy book can fill the disk before somebody looks."""
DISK_FREE_LOW: Final = 64 << 20
"""Bytes: SQLite's log alone may grow to this between two checkpoints."""
SHM_FREE_MIN: Final = 16 << 20
"""Bytes: the segment takes 4 MiB of /dev/shm, transient values the rest."""
LOG_BYTES_MAX: Final = 1 << 30
"""Of the book: it is cut back at 256 MiB, unless somebody has been reading from it all along."""
STALE_NS: Final = 5_000_000_000
"""Without a publication for so long, the publisher is dead or stuck."""
_RUNS: Final = frozenset({"READY", "DISABLED"})
_TURNING: Final = frozenset({"PENDING", "STARTING", "STOPPING", "BACKOFF"})


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """What the time page says (see ``hourbook snapshot``)."""

    status: str
    source: str
    age_ns: int
    sample_age_ns: int
    sources_selected: int
    sources_total: int
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class PortFact:
    """An address that an actor wants, while no tree runs."""

    actor: str
    listen: str
    is_in_use: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at. A ``*_problem`` is "" where there is none."""

    home: str
    home_problem: str = ""
    run_dir: str = ""
    run_dir_problem: str = ""
    version: str = ""
    status: control.Status | None = None
    status_problem: str = ""
    lock_pid: int | None = None
    clock: ClockFacts | None = None
    clock_problem: str = ""
    book_seq: int | None = None
    book_problem: str = ""
    book_log_bytes: int = 0
    disk_free: int | None = None
    shm_free: int | None = None
    ports: tuple[PortFact, ...] = field(default=())
    is_removed_at_logout: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    level: Level
    text: str
    remedy: str = ""


def examine(facts: Facts) -> list[Finding]:
    """Return one finding or more from each check, in the order in which to mend them."""
    return [finding for check in _CHECKS for finding in check(facts)]


def _check_home(facts: Facts) -> Iterator[Finding]:
    if facts.home_problem:
        remedy = "run `supervisor start` as its future owner, or choose another with --home DIR"
        yield Finding("home", "wrong", f"{facts.home}: {facts.home_problem}", remedy)
    else:
        yield Finding("home", "ok", facts.home)


def _check_run_dir(facts: Facts) -> Iterator[Finding]:
    if facts.run_dir_problem:
        yield Finding(
            "run directory",
            "wrong",
            f"{facts.run_dir}: {facts.run_dir_problem}",
            "read the clock as the user who runs the tree",
        )
    elif facts.is_removed_at_logout:
        yield Finding(
            "run directory",
            "warning",
            "systemd-logind removes it from /dev/shm when you log out",
            "run `loginctl enable-linger`, or set RemoveIPC=no in /etc/systemd/logind.conf",
        )
    else:
        yield Finding("run directory", "ok", facts.run_dir)


def _check_supervisor(facts: Facts) -> Iterator[Finding]:
    if facts.status is not None:
        row = facts.status.supervisor
        yield Finding("supervisor", "ok", f"{row.state}, pid {row.pid}, up {row.uptime_s:.0f} s")
    elif facts.lock_pid is not None:
        yield Finding(
            "supervisor",
            "wrong",
            f"process {facts.lock_pid} holds the home but does not answer: {facts.status_problem}",
            f"see its log; `kill -ABRT {facts.lock_pid}` shows where it hangs",
        )
    else:
        yield Finding("supervisor", "wrong", "the tree is not running", "run `supervisor start`")


def _check_version(facts: Facts) -> Iterator[Finding]:
    if facts.status is None or facts.status.supervisor.version == facts.version:
        return
    running = facts.status.supervisor.version
    yield Finding(
        "version",
        "warning",
        f"{running} is running, {facts.version} is installed",
        "run `supervisor stop`, then `supervisor start`",
    )


def _check_actors(facts: Facts) -> Iterator[Finding]:
    if facts.status is None:
        return
    troubled = [row for row in facts.status.actors if row.state not in _RUNS]
    for row in troubled:
        why = row.reason or row.cause or "no reason given"
        level: Level = "warning" if row.state in {"DEGRADED", *_TURNING} else "wrong"
        remedy = (
            "it tries again by itself, every 5 s"
            if row.state == "DEGRADED"
            else f"run `supervisor tail {row.name}`, then `supervisor restart {row.name}`"
        )
        yield Finding(row.name, level, f"{row.state}: {why}", remedy)
    if not troubled:
        ready = sum(row.state == "READY" for row in facts.status.actors)
        disabled = len(facts.status.actors) - ready
        text = f"{ready} READY" + (
            f", {disabled} disabled by the configuration" if disabled else ""
        )
        yield Finding("actors", "ok", text)


def _check_segment(facts: Facts) -> Iterator[Finding]:
    if facts.clock is None:
        remedy = "run `supervisor start`" if facts.status is None else "run `supervisor status`"
        yield Finding("segment", "wrong", facts.clock_problem, remedy)
    elif facts.clock.age_ns < 0:
        yield Finding(
            "segment",
            "wrong",
            "nothing was ever published in it",
            "run `supervisor tail shm_publisher`",
        )
    elif facts.clock.age_ns > STALE_NS:
        dead = facts.status is None
        yield Finding(
            "segment",
            "wrong",
            f"stale: its publisher wrote last {facts.clock.age_ns / 1e9:.0f} s ago",
            "run `supervisor start`" if dead else "run `supervisor restart shm_publisher`",
        )
    else:
        yield Finding("segment", "ok", f"published {facts.clock.age_ns / 1e6:.0f} ms ago")


def _check_clock(facts: Facts) -> Iterator[Finding]:
    clock = facts.clock
    if clock is None or clock.age_ns < 0:
        return
    match clock.status:
        case "SYNCHRONIZED":
            yield Finding("clock", "ok", f"SYNCHRONIZED by {clock.source}")
        case "FREE_RUNNING":
            yield Finding(
                "clock",
                "warning",
                f"FREE_RUNNING on {clock.source}: the interval is honest and grows",
                "wait for the next samples, or see `sources` below",
            )
        case "DISRUPTED":
            slept = "the machine slept" if clock.is_suspended else "the system clock was moved"
            yield Finding(
                "clock",
                "warning",
                f"DISRUPTED: {slept}",
                "it measures anew; look again in a minute",
            )
        case _:
            yield Finding(
                "clock",
                "wrong",
                "UNKNOWN: it can promise nothing",
                "give it NTP servers it can reach, or assert what you know of this machine's clock:"
                " [actor.ntp_sampler.config] servers, assume_realtime_error_s",
            )


def _check_sources(facts: Facts) -> Iterator[Finding]:
    clock = facts.clock
    if clock is None or clock.age_ns < 0:
        return
    if clock.source != "ntp":
        yield Finding(
            "sources",
            "warning",
            f"no NTP server answers; time rests on `{clock.source or 'none'}`",
            "allow UDP port 123 out, or set [actor.ntp_sampler.config] servers = [...]",
        )
    elif clock.sources_total < 3:  # noqa: PLR2004 - two that disagree leave no majority
        yield Finding(
            "sources",
            "warning",
            f"{clock.sources_total} NTP server(s): a lying one cannot be found out",
            "configure at least 3, better 4",
        )
    else:
        text = f"{clock.sources_selected} of {clock.sources_total} NTP servers agree"
        yield Finding("sources", "ok", text)


def _check_book(facts: Facts) -> Iterator[Finding]:
    if facts.book_problem:
        remedy = 'see "A corrupted book" in docs/OPERATIONS.md'
        yield Finding("book", "wrong", facts.book_problem, remedy)
    elif facts.book_seq is None:
        yield Finding("book", "ok", "none yet: the first start creates it")
    elif facts.book_log_bytes > LOG_BYTES_MAX:
        text = f"its log has grown to {facts.book_log_bytes >> 20} MiB: somebody reads for too long"
        yield Finding("book", "warning", text, "end the program that reads book.db (`lsof`)")
    else:
        yield Finding(
            "book", "ok", f"{facts.book_seq} {'entry' if facts.book_seq == 1 else 'entries'}"
        )


def _check_disk(facts: Facts) -> Iterator[Finding]:
    for name, free, low, least in (
        ("disk", facts.disk_free, DISK_FREE_LOW, DISK_FREE_MIN),
        ("shared memory", facts.shm_free, SHM_FREE_MIN // 4, SHM_FREE_MIN),
    ):
        if free is None:
            continue
        text = f"{free >> 20} MiB free"
        if free < low:
            yield Finding(name, "wrong", text, "make room: writes are refused once it is full")
        elif free < least:
            yield Finding(name, "warning", text, "make room soon")
        else:
            yield Finding(name, "ok", text)


def _check_ports(facts: Facts) -> Iterator[Finding]:
    for port in facts.ports:
        if port.is_in_use:
            yield Finding(
                f"port of {port.actor}",
                "warning",
                f"{port.listen} is taken by another program",
                f"free it, or set [actor.{port.actor}.config] listen",
            )


_CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _check_home,
    _check_run_dir,
    _check_supervisor,
    _check_version,
    _check_actors,
    _check_segment,
    _check_clock,
    _check_sources,
    _check_book,
    _check_disk,
    _check_ports,
)
