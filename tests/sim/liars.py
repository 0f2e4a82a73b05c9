"""Servers that lie: bluntly, for an hour, together, or by just as much as nobody can see."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from protocols.ntp import SHORT_ROUNDING_NS
from sim.network import MS_NS, Path
from sim.servers import Error, Fields, Server, always

__all__ = ["blunt", "colluders", "flipping_leap", "for_an_hour", "reach_ns", "smearing"]

S_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * S_NS
_EXCESS_NS_MIN: Final = 1000


def blunt(rng: Random, host: str, path: Path) -> Server:
    """Return a server that is wrong by milliseconds to years, or runs away."""
    wrong_ns = rng.choice((-1, 1)) * round(10 ** rng.uniform(6.5, 17))
    rate_ppm = rng.choice((0, 0, rng.uniform(-500, 500)))
    fields = Fields(stratum=1, root_delay_ns=0, root_dispersion_ns=rng.randrange(10 * MS_NS))
    begin_ns = 0

    def error(true_ns: int) -> int:
        nonlocal begin_ns
        begin_ns = begin_ns or true_ns
        return wrong_ns + round((true_ns - begin_ns) * rate_ppm / 1e6)

    return Server(host, path, error, always(fields))


def for_an_hour(server: Server, begin_ns: int, wrong_ns: int) -> Server:
    """Let an honest server go wrong for an hour."""
    honest, end_ns = server.error, begin_ns + 3600 * S_NS
    server.error = lambda t: honest(t) + (wrong_ns if begin_ns <= t < end_ns else 0)
    return server


def colluders(
    rng: Random, honest: Sequence[Server], places: Sequence[tuple[str, Path]]
) -> list[Server]:
    """Return servers that agree on a lie, each just inside the intervals of the honest.

    They know how wide their own intervals look to us, and place all of them so that they begin (or
    end) beside the truth by the same little excess, which the honest intervals still overlap. Some
    drag the excess along from nothing.
    """
    excess_ns_max = max(min(reach_ns(server) for server in honest), 2 * _EXCESS_NS_MIN)
    excess_ns = math.exp(rng.uniform(math.log(_EXCESS_NS_MIN), math.log(excess_ns_max)))
    sign = rng.choice((-1, 1))
    drag_ns = rng.choice((0, 0, rng.uniform(600, 7200) * S_NS))
    made = []
    for host, path in places:
        fields = Fields(
            stratum=1, root_delay_ns=0, root_dispersion_ns=rng.randrange(1, MS_NS), precision=-25
        )
        server = Server(host, path, lambda _true_ns: 0, always(fields))
        server.error = _lie(sign, reach_ns(server), excess_ns, drag_ns)
        made.append(server)
    return made


def flipping_leap(rng: Random, server: Server) -> Server:
    """Let a server announce leap seconds, and that it is not synchronised, as it likes."""
    before, slot_ns, salt = server.fields, rng.randrange(60, 4000) * S_NS, rng.getrandbits(32)

    def fields(true_ns: int) -> Fields:
        leap = Random(f"{salt} {true_ns // slot_ns}").choice((0, 0, 1, 2, 3))
        return replace(before(true_ns), leap=leap)

    server.fields = fields
    return server


def smearing(server: Server, leap_ns: int) -> Server:
    """Let a server smear the leap second over the 24 hours about it, from noon to noon."""
    honest, begin_ns = server.error, leap_ns - DAY_NS // 2

    def error(true_ns: int) -> int:
        smeared_ns = min(max(true_ns - begin_ns, 0), DAY_NS) * S_NS // DAY_NS
        return honest(true_ns) - smeared_ns + (S_NS if true_ns >= leap_ns else 0)

    server.error = error
    return server


def reach_ns(server: Server) -> int:
    """Return about how far the interval of a server reaches to each side, seen from here."""
    says = server.fields(0)
    path_ns = (server.path.out_ns + server.path.back_ns) // 2
    return path_ns + says.admitted_ns + SHORT_ROUNDING_NS + (S_NS >> -says.precision)


def _lie(sign: int, reach: int, excess_ns: float, drag_ns: float) -> Error:
    begin_ns = 0

    def error(true_ns: int) -> int:
        nonlocal begin_ns
        begin_ns = begin_ns or true_ns
        share = min((true_ns - begin_ns) / drag_ns, 1.0) if drag_ns else 1.0
        return sign * round((reach + excess_ns) * share)

    return error
