"""Every check of the doctor: what it finds in which facts, and what it says to do."""

from dataclasses import replace

import msgspec
import pytest
from fakes.supervisor_socket import actor_row, tree_status

from hourbook.doctor import ClockFacts, Facts, Finding, PortFact, examine

CLOCK = ClockFacts(
    status="SYNCHRONIZED",
    source="ntp",
    age_ns=8_000_000,
    sample_age_ns=3_000_000_000,
    sources_selected=4,
    sources_total=4,
    is_suspended=False,
)
WELL = Facts(
    home="/home/ann/hourbook",
    run_dir="/run/hourbook",
    version="0.1.0",
    status=tree_status(actor_row("clock_model"), actor_row("metrics", "edge")),
    lock_pid=4141,
    clock=CLOCK,
    book_seq=7,
    disk_free=50 << 30,
    shm_free=8 << 30,
)
DOWN = replace(WELL, status=None, status_problem="got none", lock_pid=None)


def find(facts: Facts, name: str) -> Finding:
    """Return the one finding of this name."""
    (finding,) = [finding for finding in examine(facts) if finding.name == name]
    return finding


def test_doctor_finds_nothing_wrong_with_a_sound_tree() -> None:
    """Every finding is ok, and none tells the user to do something."""
    findings = examine(WELL)

    assert {finding.level for finding in findings} == {"ok"}
    assert {finding.remedy for finding in findings} == {""}


@pytest.mark.parametrize(
    ("facts", "name", "level", "text", "remedy"),
    [
        (DOWN, "supervisor", "wrong", "not running", "supervisor start"),
        (
            replace(DOWN, lock_pid=99),
            "supervisor",
            "wrong",
            "process 99 holds the home",
            "kill -ABRT 99",
        ),
        (replace(WELL, home_problem="does not exist yet"), "home", "wrong", "exist", "start"),
        (replace(WELL, run_dir_problem="belongs to ann"), "run directory", "wrong", "ann", "user"),
        (
            replace(WELL, is_removed_at_logout=True),
            "run directory",
            "warning",
            "when you log out",
            "enable-linger",
        ),
        (replace(WELL, version="0.2.0"), "version", "warning", "0.1.0 is running", "stop"),
        (
            replace(WELL, clock=None, clock_problem="no segment"),
            "segment",
            "wrong",
            "no segment",
            "supervisor status",
        ),
        (
            replace(WELL, clock=replace(CLOCK, age_ns=9_000_000_000)),
            "segment",
            "wrong",
            "stale: its publisher wrote last 9 s ago",
            "supervisor restart shm_publisher",
        ),
        (
            replace(DOWN, clock=replace(CLOCK, age_ns=9_000_000_000)),
            "segment",
            "wrong",
            "stale",
            "supervisor start",
        ),
        (
            replace(WELL, clock=replace(CLOCK, age_ns=-1)),
            "segment",
            "wrong",
            "nothing was ever published",
            "supervisor tail shm_publisher",
        ),
        (
            replace(WELL, clock=replace(CLOCK, status="FREE_RUNNING", source="kernel")),
            "sources",
            "warning",
            "rests on `kernel`",
            "UDP port 123",
        ),
        (
            replace(WELL, clock=replace(CLOCK, status="UNKNOWN")),
            "clock",
            "wrong",
            "can promise nothing",
            "assume_realtime_error_s",
        ),
        (
            replace(WELL, clock=replace(CLOCK, status="DISRUPTED", is_suspended=True)),
            "clock",
            "warning",
            "the machine slept",
            "measures anew",
        ),
        (
            replace(WELL, clock=replace(CLOCK, sources_total=1)),
            "sources",
            "warning",
            "a lying one",
            "at least 3",
        ),
        (replace(WELL, book_log_bytes=2 << 30), "book", "warning", "grown to 2048 MiB", "lsof"),
        (replace(WELL, book_problem="no hash"), "book", "wrong", "no hash", "OPERATIONS.md"),
        (replace(WELL, book_seq=None), "book", "ok", "none yet", ""),
        (replace(WELL, disk_free=32 << 20), "disk", "wrong", "32 MiB free", "make room"),
        (replace(WELL, disk_free=512 << 20), "disk", "warning", "512 MiB free", "make room"),
        (replace(WELL, shm_free=1 << 20), "shared memory", "wrong", "1 MiB free", "make room"),
        (
            replace(DOWN, ports=(PortFact("metrics", "127.0.0.1:9464", is_in_use=True),)),
            "port of metrics",
            "warning",
            "127.0.0.1:9464 is taken",
            "[actor.metrics.config] listen",
        ),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(
    facts: Facts, name: str, level: str, text: str, remedy: str
) -> None:
    """Each fault has a finding that names it, and an action that mends it."""
    finding = find(facts, name)

    assert finding.level == level
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("state", "level"),
    [("DEGRADED", "warning"), ("BACKOFF", "warning"), ("GAVE_UP", "wrong"), ("EXITED", "wrong")],
)
def test_doctor_names_the_actors_that_do_not_work(state: str, level: str) -> None:
    """One that will mend itself is a warning, one that will not is wrong."""
    row = msgspec.structs.replace(actor_row("metrics", "edge", state), reason="port in use")
    facts = replace(WELL, status=tree_status(actor_row("clock_model"), row))

    finding = find(facts, "metrics")

    assert finding.level == level
    assert finding.text == f"{state}: port in use"
