"""Who may vote, what they say together, and what is said of each: one selection over all sources.

Sources that follow the same upstream, or of which one follows the other, are one **witness** and
have one vote. Whom a source follows is its own claim, so a liar may name the upstream of an honest
one; therefore the vote of a witness is the hull of what its sources say. It holds the truth as soon
as one of them does, and a false claim can widen an interval and never push an honest source out.

A source that has been silent for `SILENT_POLLS` of its own polls has no part. Near a possible leap
second only the largest leap-smear family votes (:mod:`hourbook.clock.smear`). The result is a hard
interval, the hull of what all but a minority of the witnesses vouch for, and a verdict on every
source with its reason.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hourbook.clock import hull, register, smear
from hourbook.clock.awaited import NOBODY, Awaited
from hourbook.clock.bounds import Drift, Interval, overlaps
from hourbook.clock.polling import SILENT_POLLS
from hourbook.clock.register import Source
from protocols.source_messages import Standing

__all__ = ["NO_VOTE", "SILENT_POLLS", "Standing", "Verdict", "Vote", "vote"]

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
        voters: how many votes were cast: one for each witness.
        verdicts: one for each source, in the order of the sources.
        out: how many more were waited for.
    """

    interval: Interval | None
    selected: frozenset[str]
    voters: int
    verdicts: tuple[Verdict, ...]
    out: int = 0


NO_VOTE: Final = Vote(interval=None, selected=frozenset(), voters=0, verdicts=())
"""Before the first."""


def vote(
    sources: Mapping[str, Source], raw_ns: int, drift: Drift, awaited: Awaited = NOBODY
) -> Vote:
    """Let the sources vote on where UTC is at `raw_ns`, some votes being out."""
    verdicts: dict[str, Verdict] = {}
    claims: dict[str, Interval] = {}
    for name, source in sources.items():
        interval = register.interval_at(source, raw_ns, drift)
        age_ns = raw_ns - source.newest.raw_ns
        if age_ns > SILENT_POLLS * source.newest.poll_s * _S_NS:
            verdicts[name] = Verdict(name, "silent", f"no sample for {age_ns // _S_NS} s")
        elif interval is None:
            verdicts[name] = Verdict(name, "unbounded", "vouches for no interval")
        else:
            claims[name] = interval
    witnesses = _of_one_family(sources, _witnesses(sources, claims), verdicts)
    ballots = [witness.ballot for witness in witnesses]
    out = awaited.votes_out(claims, raw_ns)
    is_split = len(witnesses) == 1 and not _agrees_with_itself(witnesses[0], claims)
    agreed = None if is_split else hull.clique(ballots, out)
    for witness in witnesses:
        judged = _judge(witness, claims, agreed, ballots, out)
        verdicts |= {verdict.source: verdict for verdict in judged}
    return Vote(
        interval=None if is_split else hull.hull(ballots, out),
        selected=frozenset(n for n, v in verdicts.items() if v.standing == "selected"),
        voters=len(witnesses),
        verdicts=tuple(verdicts[name] for name in sources),
        out=out,
    )


class _Witness(NamedTuple):
    """Sources that depend on each other, the tightest first, and what they say together."""

    names: tuple[str, ...]
    ballot: Interval


def _witnesses(sources: Mapping[str, Source], claims: Mapping[str, Interval]) -> list[_Witness]:
    """Return the sources that claim something, those that depend on each other together."""
    groups: list[list[str]] = []
    for name in sorted(claims, key=lambda n: (claims[n].half_width_ns, n)):
        kin = [group for group in groups if any(_depend(sources[name], sources[o]) for o in group)]
        groups = [group for group in groups if group not in kin]
        groups.append([*(member for group in kin for member in group), name])
    return [
        _Witness(
            tuple(group),
            Interval(
                min(claims[name].earliest_ns for name in group),
                max(claims[name].latest_ns for name in group),
            ),
        )
        for group in groups
    ]


def _agrees_with_itself(witness: _Witness, claims: Mapping[str, Interval]) -> bool:
    """Say whether its sources have a point in common; where it is alone, nobody else can tell."""
    latest_begin_ns = max(claims[name].earliest_ns for name in witness.names)
    return latest_begin_ns <= min(claims[name].latest_ns for name in witness.names)


def _of_one_family(
    sources: Mapping[str, Source], witnesses: list[_Witness], verdicts: dict[str, Verdict]
) -> list[_Witness]:
    """Return the witnesses whose time may be compared, and write down whose may not."""
    families = [sources[witness.names[0]].newest.smear for witness in witnesses]
    ballots = [witness.ballot for witness in witnesses]
    if len(set(families)) <= 1 or not smear.is_leap_possible(ballots):
        return witnesses
    chosen = smear.most_voted(families)
    words = f"a leap second may be near: those vote that {smear.in_words(chosen)}"
    for witness, family in zip(witnesses, families, strict=True):
        if family != chosen:
            verdicts |= {name: Verdict(name, "smear_family", words) for name in witness.names}
    return [w for w, family in zip(witnesses, families, strict=True) if family == chosen]


def _depend(one: Source, other: Source) -> bool:
    """Say whether two sources follow the same upstream, or one of them the other."""
    a, b = one.newest, other.newest
    same = bool(a.upstream) and a.upstream == b.upstream
    chained = bool(a.identity) and a.identity == b.upstream
    chained_back = bool(b.identity) and b.identity == a.upstream
    return same or chained or chained_back


def _judge(
    witness: _Witness,
    claims: Mapping[str, Interval],
    agreed: hull.Clique | None,
    ballots: list[Interval],
    out: int,
) -> Iterator[Verdict]:
    """Yield a verdict on each source of a witness: the tightest that agrees feeds the centre."""
    speaker = ""
    for name in witness.names:
        if agreed is not None and not agreed.has_member(claims[name]):
            yield Verdict(name, "falseticker", _distance(claims[name], agreed.core, ballots))
        elif speaker:
            yield Verdict(name, "same_upstream", f"{speaker} votes for both")
        else:
            speaker = name
            yield (
                Verdict(name, "no_majority", _why_none(len(ballots), out))
                if agreed is None
                else Verdict(name, "selected")
            )


def _why_none(voters: int, out: int) -> str:
    if out:
        return f"waiting for {out} of {voters + out} sources"
    if voters == 1:
        return "contradicts a source that follows the same server"
    return f"no {voters - hull.liars_max(voters)} of {voters} agree"


def _distance(claim: Interval, core: Interval, ballots: list[Interval]) -> str:
    if overlaps(claim, core):
        return "covers no point that the most agree on"
    before_ns = core.earliest_ns - claim.latest_ns
    after_ns = claim.earliest_ns - core.latest_ns
    words = (
        f"ends {before_ns / 1e6:.3f} ms before the majority"
        if before_ns > 0
        else f"begins {after_ns / 1e6:.3f} ms after the majority"
    )
    if max(before_ns, after_ns) <= LEAP_NS and smear.is_leap_possible(ballots):
        words += "; it may smear a leap second: see `smear` in the configuration"
    return words
