"""What a scenario sets up: a machine, the servers that it knows, and what happens to it when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from hourbook.clock.leap import LeapTable
from hourbook.clock.polling import Pace
from sim.oscillator import Stretch
from sim.servers import Server

__all__ = ["Happening", "Reload", "Setting", "StepWall", "Suspend"]

STEADY_PACE: Final = Pace(poll_s_min=64, poll_s_max=64, burst_count=4, burst_interval_s=2.0)


class Suspend(NamedTuple):
    """The machine sleeps."""

    for_ns: int


class StepWall(NamedTuple):
    """Somebody sets REALTIME."""

    step_ns: int


class Reload(NamedTuple):
    """Another configuration: servers, pace; the model may restart from its drift file."""

    names: tuple[str, ...]
    pace: Pace
    restarts_model: bool


Happening = Suspend | StepWall | Reload


@dataclass
class Setting:
    """Everything that is decided before a run begins.

    Attributes:
        rng: the run's only randomness.
        begin_ns: UTC at the beginning.
        duration_ns: of the run.
        stretches: the oscillator.
        servers: by address.
        names: the configured names, with the addresses to which each leads.
        asked_after_ns: names whose look-up takes a while, counted from the beginning.
        pace: of the polls.
        wall_error_ns: of REALTIME at the beginning.
        happenings: by true time.
        leap_ns: when a leap second is inserted, None for never.
        leap_table: what is known of it here.
        network: which kind of network this is, for the tally.
        scale_ns: delay of a usual server here, one way.
        spread: how many times nearer or further away others are.
        outages: stretches of true time in which the daemon is dead.
    """

    rng: Random
    begin_ns: int
    duration_ns: int
    stretches: Iterator[Stretch]
    servers: dict[str, Server] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked_after_ns: dict[str, int] = field(default_factory=dict)
    pace: Pace = STEADY_PACE
    wall_error_ns: int = 0
    happenings: list[tuple[int, Happening]] = field(default_factory=list)
    leap_ns: int | None = None
    leap_table: LeapTable | None = None
    network: str = "pool"
    scale_ns: float = 10_000_000.0
    spread: float = 1.0
    outages: list[tuple[int, int]] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        """True time of the end."""
        return self.begin_ns + self.duration_ns

    def only(self, name: str) -> Server:
        """Return the one server behind a name."""
        (host,) = self.names[name]
        return self.servers[host]

    def is_dead(self, true_ns: int) -> bool:
        """Say whether the daemon is dead."""
        return self.alive_from_ns(true_ns) > true_ns

    def alive_from_ns(self, true_ns: int) -> int:
        """Return the first instant from `true_ns` on at which the daemon lives."""
        for begin_ns, end_ns in sorted(self.outages):
            if begin_ns <= true_ns < end_ns:
                true_ns = end_ns
        return true_ns
