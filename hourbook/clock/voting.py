"""Who may vote, what they say together, and what is said of each: one selection over all sources.

Sources that follow the same upstream, or of which one follows the other, have one vote: the one
with the tightest interval casts it. A source that has been silent for `SILENT_POLLS` of its own
polls has none. Near a possible leap second only the largest leap-smear family votes
(:mod:`hourbook.clock.smear`). The result is a hard interval, the hull of what all but a minority
vouch for, and a verdict on every source with its reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hourbook.clock import hull, register, smear
from hourbook.clock.bounds import Drift, Interval, overlaps
from hourbook.clock.register import Source
from protocols.source_messages import Standing

__all__ = ["NO_VOTE", "SILENT_POLLS", "Standing", "Verdict", "Vote", "vote"]

SILENT_POLLS: Final = 8
"""The register's length: a source whose every sample is older has nothing fresh to say."""
LEAP_NS: Final = 1_000_000_000
"""How far apart a leap second drives two families at most."""
_S_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one source, and why."""

    source: str
    standing: Standing
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """What the sources say together.

    Attributes:
        interval: the hard interval, None where there is no majority.
        selected: names of those that agree; they feed the centre.
        voters: how many votes were cast.
        verdicts: one for each source, in the order of the sources.
    """

    interval: Interval | None
    selected: frozenset[str]
    voters: int
    verdicts: tuple[Verdict, ...]


NO_VOTE: Final = Vote(interval=None, selected=frozenset(), voters=0, verdicts=())
"""Before the first."""


def vote(sources: Mapping[str, Source], raw_ns: int, drift: Drift) -> Vote:
    """Let the sources vote on where UTC is at `raw_ns`."""
    verdicts: dict[str, Verdict] = {}
    claims: dict[str, Interval] = {}
    for name, source in sources.items():
        interval = register.interval_at(source, raw_ns, drift)
        age_ns = raw_ns - source.newest.raw_ns
        if age_ns > SILENT_POLLS * source.newest.poll_s * _S_NS:
            verdicts[name] = Verdict(name, "silent", f"for {age_ns // _S_NS} s")
        elif interval is None:
            verdicts[name] = Verdict(name, "unbounded", "vouches for no interval")
        else:
            claims[name] = interval
    voters = _of_one_family(sources, claims, _voters(sources, claims, verdicts), verdicts)
    ballots = [claims[name] for name in voters]
    agreed = hull.clique(ballots)
    verdicts |= {v.source: v for v in _judge(voters, ballots, agreed)}
    return Vote(
        interval=hull.hull(ballots),
        selected=frozenset(n for n, v in verdicts.items() if v.standing == "selected"),
        voters=len(voters),
        verdicts=tuple(verdicts[name] for name in sources),
    )


def _voters(
    sources: Mapping[str, Source],
    claims: Mapping[str, Interval],
    verdicts: dict[str, Verdict],
) -> list[str]:
    """Return one name for each upstream, and write down who stands behind whom."""
    voters: list[str] = []
    for name in sorted(claims, key=lambda n: (claims[n].half_width_ns, n)):
        speaker = next((v for v in voters if _depend(sources[v], sources[name])), None)
        if speaker is None:
            voters.append(name)
        else:
            verdicts[name] = Verdict(name, "same_upstream", f"{speaker} votes for both")
    return voters


def _of_one_family(
    sources: Mapping[str, Source],
    claims: Mapping[str, Interval],
    voters: list[str],
    verdicts: dict[str, Verdict],
) -> list[str]:
    """Return the voters whose time may be compared, and write down whose may not."""
    families = {name: sources[name].newest.smear for name in voters}
    if len(set(families.values())) <= 1 or not smear.is_leap_possible(claims.values()):
        return voters
    chosen = smear.most_voted(families.values())
    for name, family in families.items():
        if family != chosen:
            words = f"a leap second may be near: those vote that {smear.in_words(chosen)}"
            verdicts[name] = Verdict(name, "smear_family", words)
    return [name for name in voters if families[name] == chosen]


def _depend(one: Source, other: Source) -> bool:
    """Say whether two sources follow the same upstream, or one of them the other."""
    a, b = one.newest, other.newest
    same = bool(a.upstream) and a.upstream == b.upstream
    chained = bool(a.identity) and a.identity == b.upstream
    chained_back = bool(b.identity) and b.identity == a.upstream
    return same or chained or chained_back


def _judge(voters: list[str], ballots: list[Interval], agreed: hull.Clique | None) -> list[Verdict]:
    if agreed is None:
        reason = f"no {len(voters) - hull.liars_max(len(voters))} of {len(voters)} agree"
        return [Verdict(name, "no_majority", reason) for name in voters]
    return [
        Verdict(name, "selected")
        if is_member
        else Verdict(name, "falseticker", _distance(ballot, agreed.core, ballots))
        for name, ballot, is_member in zip(voters, ballots, agreed.members, strict=True)
    ]


def _distance(ballot: Interval, core: Interval, ballots: list[Interval]) -> str:
    if overlaps(ballot, core):
        return "covers no point that the most agree on"
    before_ns = core.earliest_ns - ballot.latest_ns
    after_ns = ballot.earliest_ns - core.latest_ns
    words = (
        f"ends {before_ns / 1e6:.3f} ms before the majority"
        if before_ns > 0
        else f"begins {after_ns / 1e6:.3f} ms after the majority"
    )
    if max(before_ns, after_ns) <= LEAP_NS and smear.is_leap_possible(ballots):
        words += "; it may smear a leap second: see `smear` in the configuration"
    return words
