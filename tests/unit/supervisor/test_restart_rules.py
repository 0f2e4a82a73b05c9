"""Windows, delays, strategies and causes: the arithmetic of restarting."""

# ruff: noqa: FBT001 - columns of the tables

import random
import signal

import pytest

from supervisor.causes import Exit, cause_of, is_normal
from supervisor.restart import Delays, Window
from supervisor.spec import Backoff
from supervisor.strategy import ends_node, is_restarted, others_concerned

S_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("intensity", "period_s", "times_s", "trips"),
    [
        (1, 1.0, [0, 2.1, 4.2, 6.3], [False] * 4),
        (1, 1.0, [0, 0.9], [False, True]),
        (1, 1.0, [0, 1.0], [False, True]),
        (1, 1.0, [0, 1.01], [False, False]),
        (0, 60.0, [0], [True]),
        (2, 60.0, [0, 1, 2], [False, False, True]),
        (5, 60.0, [0, 1, 2, 3, 4, 61.5, 61.6], [False] * 7),
        (5, 60.0, [0, 1, 2, 3, 4, 60.0], [False] * 5 + [True]),
    ],
)
def test_window_trips_when_the_count_exceeds_intensity(
    intensity: int, period_s: float, times_s: list[float], trips: list[bool]
) -> None:
    """OTP's rule: more than `intensity` restarts within `period_s`."""
    window = Window(intensity, period_s)

    assert [window.add(round(t * S_NS)) for t in times_s] == trips


def test_window_forgets_when_its_node_starts_again() -> None:
    """A node that was restarted has its whole budget."""
    window = Window(1, 60)
    window.add(0)

    window.clear()

    assert window.count(0) == 0
    assert not window.add(1)


def test_p10_delays_equal_the_table_of_their_seed() -> None:
    """The first restart is immediate, then jitter under a ceiling that doubles."""
    ceilings_s = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    expected = random.Random(7)
    table_ns = [0, *(round(expected.uniform(0, ceiling) * S_NS) for ceiling in ceilings_s)]

    delays, rng = Delays(Backoff()), random.Random(7)

    assert [delays.next_ns(0, rng) for _ in table_ns] == table_ns


@pytest.mark.parametrize(("ready_s", "is_immediate"), [(59.9, False), (60.0, True)])
def test_p10_delays_begin_again_after_reset_s_of_ready(
    ready_s: float,
    is_immediate: bool,
) -> None:
    """An actor that ran well for a minute is forgiven."""
    delays, rng = Delays(Backoff()), random.Random(1)
    for _ in range(5):
        delays.next_ns(0, rng)

    delay_ns = delays.next_ns(round(ready_s * S_NS), rng)

    assert (delay_ns == 0) == is_immediate


def test_p10_delays_can_be_reset_and_switched_off() -> None:
    """A person's restart begins again; a base of 0 never waits."""
    delays, rng = Delays(Backoff()), random.Random(1)
    delays.next_ns(0, rng)
    delays.reset()

    assert delays.next_ns(0, rng) == 0
    never = Delays(Backoff(base_s=0))
    assert [never.next_ns(0, rng) for _ in range(9)] == [0] * 9


@pytest.mark.parametrize(
    ("strategy", "ended", "others"),
    [
        ("one_for_one", "b", ()),
        ("one_for_all", "b", ("a", "c")),
        ("rest_for_one", "a", ("b", "c")),
        ("rest_for_one", "b", ("c",)),
        ("rest_for_one", "c", ()),
    ],
)
def test_strategies(strategy: object, ended: str, others: tuple[str, ...]) -> None:
    """Who restarts together with whom."""
    assert others_concerned(strategy, ("a", "b", "c"), ended) == others  # type: ignore[arg-type] # the table's types


@pytest.mark.parametrize(
    ("restart", "after_normal", "after_abnormal"),
    [("permanent", True, True), ("transient", False, True), ("temporary", False, False)],
)
def test_restart_types(restart: object, after_normal: bool, after_abnormal: bool) -> None:
    """Which ends are followed by a restart."""
    assert is_restarted(restart, is_normal=True) == after_normal  # type: ignore[arg-type] # the table's types
    assert is_restarted(restart, is_normal=False) == after_abnormal  # type: ignore[arg-type] # the table's types


@pytest.mark.parametrize(
    ("rule", "left", "ends"),
    [
        ("never", 0, False),
        ("any_significant", 2, True),
        ("any_significant", 0, True),
        ("all_significant", 1, False),
        ("all_significant", 0, True),
    ],
)
def test_auto_shutdown(rule: object, left: int, ends: bool) -> None:
    """When the end of a significant child ends its node."""
    assert ends_node(rule, significant_left=left) == ends  # type: ignore[arg-type] # the table's types


@pytest.mark.parametrize(
    ("end", "why", "killed", "cause"),
    [
        (Exit(0), "", False, "exit 0"),
        (Exit(7), "", False, "exit 7"),
        (Exit(-signal.SIGKILL), "", False, "signal SIGKILL"),
        (Exit(-signal.SIGSEGV, core=True), "", False, "core SIGSEGV"),
        (Exit(-77), "", False, "signal 77"),
        (Exit(-signal.SIGKILL, oom=True), "", False, "oom"),
        (Exit(-signal.SIGKILL), "requested", True, "killed"),
        (Exit(0), "requested", False, "requested"),
        (Exit(-signal.SIGKILL), "watchdog", True, "watchdog"),
        (Exit(0), "rss", False, "rss"),
    ],
)
def test_causes(end: Exit, why: str, killed: bool, cause: str) -> None:
    """What we ended it for comes first; else what the kernel says."""
    assert cause_of(end, why=why, killed=killed) == cause


@pytest.mark.parametrize(
    ("code", "normal"), [(0, True), (-15, True), (143, True), (1, False), (-9, False)]
)
def test_normal_ends(code: int, normal: bool) -> None:
    """Exit 0, and an end as if asked for by SIGTERM."""
    assert is_normal(Exit(code)) == normal
