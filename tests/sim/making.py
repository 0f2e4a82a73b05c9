"""What scenarios are made of: places of servers, honest ones, minorities, moments, moods."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from hourbook.clock.hull import liars_max
from sim import network, servers
from sim.machine import S_NS
from sim.network import MS_NS, Path
from sim.oscillator import Law
from sim.servers import Fields, Server, always
from sim.setting import Setting

__all__ = [
    "add", "add_liars", "announcing", "changing", "constant", "honest", "host", "instants",
    "kissing", "late", "liars_hosts", "minority", "near", "on_paths", "oscillate", "place", "slots",
    "stretch",
]  # fmt: skip


def host(number: int) -> str:
    """Return an address of its own."""
    return f"192.0.2.{number + 1}"


def add(setting: Setting, name: str, *behind: Server, after_s: float = 0.0) -> None:
    """Configure a name that leads to one or more servers."""
    setting.servers |= {server.host: server for server in behind}
    setting.names[name] = tuple(server.host for server in behind)
    setting.asked_after_ns[name] = round(after_s * S_NS)


def honest(setting: Setting, address: str) -> Server:
    """Return an honest server, good or mediocre, whose own error may be all that it admits."""
    rng, size_ns = setting.rng, near(setting)
    fields = Fields(
        stratum=rng.randint(1, 4),
        root_delay_ns=round(size_ns * rng.uniform(0, 1)),
        root_dispersion_ns=round(size_ns * rng.uniform(0.02, 0.5)),
        precision=rng.randint(-25, -18),
    )
    error = servers.honest_error(rng, fields.admitted_ns)
    return Server(address, network.calm(rng, size_ns), error, always(fields))


def place(setting: Setting) -> None:
    """Decide how far away servers are; at the top of the run, before any is made.

    Mostly as those of a pool: some milliseconds to a continent away, and all about as far. Where
    they are in the same building, what ages between two polls outweighs the way; where they are
    anywhere, the nearest one cannot be believed alone.
    """
    rng = setting.rng
    setting.network = rng.choice(("pool",) * 5 + ("local", "mixed"))
    least_ms, most_ms = (0.1, 3.0) if setting.network == "local" else (3.0, 60.0)
    setting.scale_ns = MS_NS * math.exp(rng.uniform(math.log(least_ms), math.log(most_ms)))
    setting.spread = 30.0 if setting.network == "mixed" else 1.6


def near(setting: Setting) -> float:
    """Return a delay of the size that is usual in this run."""
    spread = math.log(setting.spread)
    return min(setting.scale_ns * math.exp(setting.rng.uniform(-spread, spread)), 80 * MS_NS)


def oscillate(setting: Setting, law: Law, middle_ppb: int | None = None) -> None:
    """Give the machine an oscillator; its mean is usually within 100 ppm."""
    if middle_ppb is None:
        middle_ppb = setting.rng.randint(-100_000, 100_000)
    setting.stretches = law(setting.rng, middle_ppb)


def stretch(setting: Setting, length_s: float) -> tuple[int, int]:
    """Return a stretch of time somewhere in the run."""
    begin_ns = setting.begin_ns + round(setting.rng.random() * setting.duration_ns)
    return begin_ns, begin_ns + round(length_s * S_NS)


def instants(setting: Setting, count: int) -> list[int]:
    """Return random instants of the run, in order."""
    return sorted(stretch(setting, 0)[0] for _ in range(count))


def on_paths(setting: Setting, change: Callable[[Path], Path]) -> None:
    """Change the path of each server."""
    for server in setting.servers.values():
        server.path = change(server.path)


def add_liars(setting: Setting, make: Callable[[str, Path], Server]) -> None:
    """Add up to as many liars as the honest can bear; they answer first, if anybody does."""
    for number, address in enumerate(liars_hosts(setting)):
        path = network.calm(setting.rng, near(setting))
        add(setting, f"liar-{number}", make(address, path))


def minority(setting: Setting) -> list[str]:
    """Return the names of as many servers as may lie; the others are heard after them."""
    names = list(setting.names)
    lying = names[: liars_max(len(names))]
    late(setting, names[len(lying) :])
    return lying


def late(setting: Setting, names: Sequence[str]) -> None:
    """Let the names of some servers take their time to be looked up, in most runs."""
    if setting.rng.random() < 0.7:
        setting.asked_after_ns |= {n: setting.rng.randrange(3 * S_NS) for n in names}


def liars_hosts(setting: Setting) -> list[str]:
    """Return addresses for one liar, or for the most that leave a majority honest.

    The others are heard after them. In some runs the daemon is dead for so long that everybody's
    vote has lapsed when it comes back.
    """
    count_max = len(setting.names) - 1
    late(setting, list(setting.names))
    return [host(100 + number) for number in range(setting.rng.choice((1, count_max)))]


def constant(error_ns: int, _true_ns: int) -> int:
    """Be off by the same at any time."""
    return error_ns


def slots(slot_ns: int, salt: int, share: float) -> Callable[[int], bool]:
    """Return whether something holds, decided anew for each slot of time."""
    return lambda true_ns: Random(f"{salt} {true_ns // slot_ns}").random() < share


def announcing(says: Fields, leap_ns: int) -> Callable[[int], Fields]:
    """Announce a leap second during the twelve hours before it."""
    before = replace(says, leap=1)
    return lambda true_ns: before if leap_ns - 12 * 3600 * S_NS < true_ns < leap_ns else says


def kissing(rng: Random, says: Fields, codes: Sequence[str]) -> Callable[[int], Fields]:
    """Answer a share of the requests with one of these kisses."""
    share, slot_ns, salt = rng.uniform(0.05, 0.5), 8 * S_NS, rng.getrandbits(32)

    def fields(true_ns: int) -> Fields:
        dice = Random(f"{salt} {true_ns // slot_ns}")
        return replace(says, kiss=dice.choice(codes)) if dice.random() < share else says

    return fields


def changing(setting: Setting, server: Server) -> tuple[Callable[[int], Fields], servers.Error]:
    """Return what a server says, and its error, with another reference in each slot of time."""
    slot_ns = setting.rng.randrange(200, 4000) * S_NS
    count = setting.duration_ns // slot_ns + 2
    known = [honest(setting, server.host) for _ in range(count)]

    def then(true_ns: int) -> Server:
        return known[min(max(true_ns - setting.begin_ns, 0) // slot_ns, count - 1)]

    return (lambda t: then(t).fields(t)), (lambda t: then(t).error(t))
