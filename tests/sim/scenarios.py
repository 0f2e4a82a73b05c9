"""What is tried: a named scenario for each line of chrony's simulator, and for each kind of lie.

A scenario is a function that changes a setting: three to five honest servers on random paths, an
oscillator with a random law. `SCENARIOS` is the table of them all.
"""

import calendar
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Final

from hourbook.clock.leap import LeapTable
from hourbook.clock.polling import Pace
from sim import liars, making, network
from sim.machine import S_NS
from sim.network import MS_NS
from sim.oscillator import BAND_HALF_PPB, LAWS, stepping, wandering, warming
from sim.servers import always
from sim.setting import Reload, Setting, StepWall, Suspend

__all__ = ["HOURS", "SCENARIOS", "build"]

HOURS: Final = 6.1
YEAR_NS: Final = 31_556_952 * S_NS
NOW_NS: Final = 1_767_225_600 * S_NS
"""2026."""
ERA_1_NS: Final = 2_085_978_496 * S_NS
"""2036-02-07 06:28:16 UTC, when NTP's seconds begin again at 0."""

Scenario = Callable[[Setting], None]


def build(name: str, seed: int, hours: float = HOURS) -> Setting:
    """Return the setting of one run; equal arguments give equal runs."""
    rng = Random(f"{name} {seed}")
    setting = Setting(
        rng=rng,
        begin_ns=NOW_NS + rng.randrange(9 * YEAR_NS),
        duration_ns=round(hours * 3600) * S_NS,
        stretches=iter(()),
        wall_error_ns=rng.randrange(-S_NS, S_NS),
    )
    making.oscillate(setting, rng.choice(LAWS))
    making.place(setting)
    for number in range(rng.randint(3, 5)):
        making.add(setting, f"honest-{number}", making.honest(setting, making.host(number)))
    for _ in range(rng.randint(0, 2)):
        setting.outages.append(making.stretch(setting, rng.uniform(5, 1500)))
    SCENARIOS[name](setting)
    return setting


# -- chrony's list ------------------------------------------------------------------------------


def quiet(_setting: Setting) -> None:
    """Nothing but three to five honest servers."""


def large_offset(setting: Setting) -> None:
    """The machine begins hours to decades away from the truth."""
    size_ns = round(10 ** setting.rng.uniform(9, 18))
    setting.wall_error_ns = max(setting.rng.choice((-1, 1)) * size_ns, -setting.begin_ns)


def large_rate(setting: Setting) -> None:
    """The oscillator is off by nearly all of the 500 ppm that are granted to it."""
    edge_ppb = 500_000 - BAND_HALF_PPB - 1
    middle_ppb = setting.rng.choice((-1, 1)) * setting.rng.randint(300_000, edge_ppb)
    making.oscillate(setting, setting.rng.choice(LAWS), middle_ppb)


def external_step(setting: Setting) -> None:
    """Others set REALTIME, by microseconds and by years, in the midst of slow exchanges too."""
    if setting.rng.random() < 0.5:
        making.on_paths(setting, lambda path: replace(path, back_ns=path.back_ns + 900 * MS_NS))
    for at_ns in making.instants(setting, setting.rng.randint(1, 300)):
        step_ns = setting.rng.choice((-1, 1)) * round(10 ** setting.rng.uniform(3, 16))
        setting.happenings.append((at_ns, StepWall(step_ns)))


def jitter(setting: Setting) -> None:
    """Queues on both ways, up to those of a congested wireless link."""
    scale_ns = math.exp(setting.rng.uniform(math.log(1), math.log(50))) * MS_NS
    make = setting.rng.choice((network.symmetric, network.heavy_tailed))
    making.on_paths(setting, lambda path: replace(path, jitter=make(scale_ns)))


def wander(setting: Setting) -> None:
    """The oscillator walks, waves or jumps through all of its band."""
    making.oscillate(setting, setting.rng.choice((wandering, warming, stepping)))


def asymmetric(setting: Setting) -> None:
    """Paths on which nearly all of the delay lies on one way."""
    for server in setting.servers.values():
        slow_ns = round(math.exp(setting.rng.uniform(0, math.log(500))) * MS_NS)
        ways = [slow_ns, setting.rng.randrange(MS_NS // 10)]
        setting.rng.shuffle(ways)
        server.path = replace(server.path, out_ns=ways[0], back_ns=ways[1])


def edge(setting: Setting) -> None:
    """Truth lies at the very edge of every interval, on the same side, and the rate jumps about.

    Each server is off by all that it admits, each way takes all of its time on one leg: no term of
    the interval may be left out.
    """
    sign = setting.rng.choice((-1, 1))
    making.oscillate(setting, stepping)
    for server in setting.servers.values():
        admitted_ns = sign * server.fields(0).admitted_ns
        server.error = partial(making.constant, admitted_ns)
        total_ns = server.path.out_ns + server.path.back_ns
        ways = (total_ns, 0) if sign > 0 else (0, total_ns)
        server.path = replace(server.path, out_ns=ways[0], back_ns=ways[1])


def asymmetric_jitter(setting: Setting) -> None:
    """Queues on one way alone, the same for all servers: a full uplink."""
    is_out = setting.rng.random() < 0.5
    mean_ns = math.exp(setting.rng.uniform(math.log(1), math.log(200))) * MS_NS
    making.on_paths(setting, lambda p: replace(p, jitter=network.one_sided(mean_ns, is_out=is_out)))


def intermittent(setting: Setting) -> None:
    """Servers come and go."""
    for server in setting.servers.values():
        slot_ns = setting.rng.randrange(100, 4000) * S_NS
        salt, share = setting.rng.getrandbits(32), setting.rng.uniform(0.2, 0.9)
        server.is_online = making.slots(slot_ns, salt, share)


def offline(setting: Setting) -> None:
    """No network for minutes to hours, sometimes from the beginning."""
    away = making.stretch(setting, setting.rng.uniform(120, setting.duration_ns / S_NS / 2))
    if setting.rng.random() < 0.2:
        away = (setting.begin_ns, setting.begin_ns + away[1] - away[0])
    for server in setting.servers.values():
        server.is_online = lambda true_ns: not away[0] <= true_ns < away[1]


def era(setting: Setting) -> None:
    """NTP's seconds overflow during the run; some machines believe that it is 1970 or 2060."""
    setting.begin_ns = ERA_1_NS - setting.rng.randrange(setting.duration_ns)
    setting.wall_error_ns = setting.rng.choice((0, -setting.begin_ns, 25 * YEAR_NS))
    setting.outages.clear()


def leap_second(setting: Setting) -> None:
    """A second is inserted at the end of a month, as a table says, or the servers alone."""
    rng = setting.rng
    leap_s = calendar.timegm((rng.randint(2027, 2034), rng.randint(1, 12), 1, 0, 0, 0))
    leap_ns = leap_s * S_NS
    setting.begin_ns = leap_ns - setting.duration_ns // 3 + rng.randrange(S_NS)
    setting.leap_ns = leap_ns
    known = ((leap_s - 86_400 * 1000, 37), (leap_s, 38))
    setting.leap_table = (
        LeapTable("table", leap_s + 86_400 * 100, known)
        if rng.random() < 0.7
        else LeapTable("expired", leap_s - 86_400 * 500, known[:1])
    )
    if rng.random() < 0.3:
        begin_ns = leap_ns - rng.randrange(600 * S_NS)
        setting.outages = [(begin_ns, begin_ns + rng.randrange(900 * S_NS))]
    for server in setting.servers.values():
        server.fields = making.announcing(server.fields(0), leap_ns)


def smear(setting: Setting) -> None:
    """A minority of the servers smears the leap second that the others insert."""
    leap_second(setting)
    assert setting.leap_ns is not None, "leap_second sets it"
    for name in making.minority(setting):
        server = setting.only(name)
        liars.smearing(server, setting.leap_ns)


def loss(setting: Setting) -> None:
    """Many packets are lost, some come twice, some come late."""
    share = setting.rng.uniform(0.05, 0.6)
    making.on_paths(setting, lambda path: replace(path, loss=share, spike=0.1, duplicate=0.1))


def rate_limit(setting: Setting) -> None:
    """Servers answer too many requests with a kiss of death, some with DENY for good."""
    for number, name in enumerate(list(setting.names)):
        server = setting.only(name)
        spare = making.honest(setting, making.host(50 + number))
        making.add(setting, name, server, spare)
        codes = ("RATE",) * 20 + ("STEP", setting.rng.choice(("RATE", "DENY", "RSTR")))
        server.fields = making.kissing(setting.rng, server.fields(0), codes)
        spare.fields = making.kissing(setting.rng, spare.fields(0), ("RATE",))


def sync_loop(setting: Setting) -> None:
    """Liars stand behind one another: any number of them are one witness."""
    first, *others = (making.host(100 + number) for number in range(setting.rng.randint(2, 5)))
    making.liars_hosts(setting)
    leader = liars.blunt(setting.rng, first, network.calm(setting.rng, making.near(setting)))
    wrong_ns = setting.rng.choice((-1, 1)) * round(10 ** setting.rng.uniform(6.5, 12))
    leader.error = lambda _true_ns: wrong_ns
    making.add(setting, "liar-0", leader)
    for number, address in enumerate(others, start=1):
        follower = making.honest(setting, address)
        says = replace(
            follower.fields(0), stratum=2, reference_id=bytes(map(int, first.split(".")))
        )
        follower.error, follower.upstream = leader.error, leader.upstream
        follower.fields = always(says)
        making.add(setting, f"liar-{number}", follower)


def reload(setting: Setting) -> None:
    """The operator changes servers and pace again and again."""
    names = list(setting.names)
    for number in range(3):
        name = f"spare-{number}"
        making.add(setting, name, making.honest(setting, making.host(50 + number)))
        names.append(name)
    for at_ns in making.instants(setting, setting.rng.randint(1, 6)):
        chosen = tuple(setting.rng.sample(names, setting.rng.randint(1, len(names))))
        pace = setting.pace._replace(poll_s_max=setting.rng.choice((32, 64, 128, 256)))
        restarts_model = setting.rng.random() < 0.5
        setting.happenings.append((at_ns, Reload(chosen, pace, restarts_model)))


# -- beyond it ----------------------------------------------------------------------------------


def suspend(setting: Setting) -> None:
    """The machine sleeps, for a blink or for hours, now and then in the midst of an exchange."""
    awake_ns = 0
    for at_ns in making.instants(setting, setting.rng.randint(1, 8)):
        if at_ns > awake_ns:
            for_ns = round(10 ** setting.rng.uniform(7.5, 13))
            setting.happenings.append((at_ns, Suspend(for_ns)))
            awake_ns = at_ns + for_ns + 60 * S_NS


def adaptive(setting: Setting) -> None:
    """Polls lengthen to the longest that is configured by default."""
    setting.pace = Pace(poll_s_min=16, poll_s_max=256, burst_count=4, burst_interval_s=2.0)


def falsetickers(setting: Setting) -> None:
    """As many blunt liars as the honest can bear."""
    making.add_liars(setting, lambda address, path: liars.blunt(setting.rng, address, path))


def false_hour(setting: Setting) -> None:
    """A minority goes wrong for an hour, together or one after the other."""
    for name in making.minority(setting):
        server = setting.only(name)
        wrong_ns = setting.rng.choice((-1, 1)) * round(10 ** setting.rng.uniform(6, 15))
        liars.for_an_hour(server, making.stretch(setting, 0)[0], wrong_ns)


def subtle_liars(setting: Setting) -> None:
    """Colluders just inside the overlap, as many as the honest can bear."""
    honest_ones = list(setting.servers.values())
    places = [
        (address, network.calm(setting.rng, making.near(setting)))
        for address in making.liars_hosts(setting)
    ]
    made = liars.colluders(setting.rng, honest_ones, places)
    for number, server in enumerate(made):
        making.add(setting, f"liar-{number}", server)


def impostors(setting: Setting) -> None:
    """Liars claim to stand behind honest servers, or to follow what those follow, to silence them.

    Each honest server has its own upstream, and each liar hides behind another of them.
    """
    victims = list(setting.servers.values())
    references = [bytes((198, 51, 100, number)) for number in range(len(victims))]
    for server, reference_id in zip(victims, references, strict=True):
        server.fields = always(replace(server.fields(0), stratum=2, reference_id=reference_id))
    setting.rng.choice((subtle_liars, falsetickers))(setting)
    for number, name in enumerate(list(setting.names)[len(victims) :]):
        liar = setting.only(name)
        claim = setting.rng.choice(
            (references[number], bytes(map(int, victims[number].host.split("."))))
        )
        liar.fields = always(replace(liar.fields(0), stratum=2, reference_id=claim))


def leap_flips(setting: Setting) -> None:
    """Servers announce leap seconds that never come, and lose their synchronisation in between."""
    for server in setting.servers.values():
        liars.flipping_leap(setting.rng, server)


def strangers(setting: Setting) -> None:
    """Somebody off the path forges replies and kisses; replies come twice."""
    making.on_paths(setting, lambda path: replace(path, forgery=0.8, duplicate=0.5, spike=0.05))


def stratum_changes(setting: Setting) -> None:
    """Servers lose their reference and follow another: stratum, root delay, dispersion jump."""
    for server in setting.servers.values():
        server.fields, server.error = making.changing(setting, server)


def everything(setting: Setting) -> None:
    """Much of the above at once."""
    for scenario in setting.rng.sample(
        (wander, jitter, strangers, external_step, asymmetric, stratum_changes, adaptive), 4
    ):
        scenario(setting)
    setting.rng.choice((subtle_liars, falsetickers, sync_loop))(setting)


SCENARIOS: Final = MappingProxyType(
    {
        scenario.__name__: scenario
        for scenario in (
            quiet, large_offset, large_rate, external_step, jitter, wander, asymmetric, edge,
            asymmetric_jitter, intermittent, offline, era, leap_second, smear, loss, rate_limit,
            sync_loop, impostors, reload, suspend, adaptive, falsetickers, false_hour, subtle_liars,
            leap_flips, strangers, stratum_changes, everything,
        )
    }
)  # fmt: skip
