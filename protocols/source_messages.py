"""What is known of each source: asked of ntp_sampler and of clock_model by ``clock.sources``.

``clock.withdrawn`` and ``clock.awaited`` go from the sampler to the model, which does not answer.

The sampler knows what servers answer, the model what their answers are worth; who wants both asks
both, and joins them by the name of the source (``hourbook.source_status``).
"""

from typing import Annotated, Final, Literal

import msgspec

__all__ = [
    "AWAITED_KIND",
    "SOURCES_KIND",
    "WITHDRAWN_KIND",
    "AskSources",
    "AwaitedSources",
    "Condition",
    "Judged",
    "Sampled",
    "ServerReport",
    "SourceReport",
    "Standing",
    "Withdrawn",
]

SOURCES_KIND: Final = "clock.sources"
AWAITED_KIND: Final = "clock.awaited"
WITHDRAWN_KIND: Final = "clock.withdrawn"

Condition = Literal["new", "unresolved", "refused", "held", "silent", "rejected", "answering"]
"""How things stand with a server.

new: nothing heard yet. unresolved: its name leads nowhere. refused: no address of it will have us,
or all are asked under other names. held: a RATE kiss is waited out. answering: one of the last
eight requests led to a measurement. rejected: none did, and the last reply did not count. silent:
none did, and there was no reply.
"""
Standing = Literal[
    "selected",
    "falseticker",
    "no_majority",
    "same_upstream",
    "smear_family",
    "unbounded",
    "silent",
]
"""What became of a source in the vote.

selected: it agrees with the most, and feeds the centre. falseticker: it does not. no_majority: too
few agree on anything. same_upstream: another source speaks for both. smear_family: the others serve
leap seconds differently, and one may be near. unbounded: it vouches for no interval. silent: its
last sample is too old.
"""


class Withdrawn(msgspec.Struct, frozen=True):
    """Servers that were removed from the configuration: they have no vote any more.

    Attributes:
        sources: their names.
    """

    sources: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]


class AwaitedSources(msgspec.Struct, frozen=True):
    """Who has been asked, or is about to be, since the last resample and has not answered yet.

    Told whenever that changes, and in answer to ``clock.resample``; a sample that ends a wait is
    told before this.

    Attributes:
        sources: their names.
        for_ms: from now on; nobody is waited for any longer.
    """

    sources: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]
    for_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)]


class AskSources(msgspec.Struct, frozen=True):
    """A question without particulars."""


class ServerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One configured server, as ntp_sampler sees it.

    Attributes:
        source: its name, as configured.
        address: "host:port" that is asked, "" before its name was looked up.
        condition: in one word: new, unresolved, refused, held, silent, rejected, answering.
        trouble: why the last request led to no measurement, "" where it did.
        reach: the last eight requests, newest in the lowest bit; set where one led to a
            measurement.
        poll_s: between requests.
        next_ms: until the next request or look-up; 0 while one is under way.
        answer_age_ms: since the last reply that counted; -1 before the first.
        stratum: as the last reply said, counted or not; 0 before the first.
        reference: what the server follows: a reference clock's letters, or an address.
        reference_name: the same in words, where they are known.
        leap: NTP leap indicator of the last reply, 0..3.
        smear: how the server serves a leap second, "" where it does not smear.
        requests: sent so far.
        answers: replies that counted.
        kernel_stamps: answers whose arrival the kernel stamped.
        rejected: what came instead of an answer, by reason.
    """

    source: str
    condition: Condition
    address: str = ""
    trouble: str = ""
    reach: int = 0
    poll_s: int = 0
    next_ms: int = 0
    answer_age_ms: int = -1
    stratum: int = 0
    reference: str = ""
    reference_name: str = ""
    leap: int = 0
    smear: str = ""
    requests: int = 0
    answers: int = 0
    kernel_stamps: int = 0
    rejected: dict[str, int] = {}


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """ntp_sampler's answer.

    Attributes:
        servers: in the order of the configuration.
        own_clock: what this machine's own clock is worth while no server has answered, or "".
    """

    servers: tuple[ServerReport, ...] = ()
    own_clock: str = ""


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One source that was ever heard, as clock_model judges it at present.

    Attributes:
        source: its name.
        origin: ntp, kernel or asserted.
        standing: what became of it in the vote.
        reason: why, "" where it is selected.
        standing_ms: for how long it has had that standing.
        offset_ns: what it last said minus the estimate of the same instant; positive: the source
            is ahead of Hourbook.
        delay_ns: round trip of the sample that speaks for it.
        root_distance_ns: half-width of its interval now; -1 where it vouches for none.
        sample_age_ms: since its last sample.
        poll_s: until its next one, as of then.
        stratum: of its last sample.
        leap: NTP leap indicator of its last sample.
        smear: as in its last sample.
        samples: taken so far.
        contradictions: samples that did not overlap their predecessors.
    """

    source: str
    origin: str
    standing: Standing
    reason: str = ""
    standing_ms: int = 0
    offset_ns: int = 0
    delay_ns: int = 0
    root_distance_ns: int = -1
    sample_age_ms: int = 0
    poll_s: int = 0
    stratum: int = 0
    leap: int = 0
    smear: str = ""
    samples: int = 0
    contradictions: int = 0


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """clock_model's answer.

    Attributes:
        sources: in the order in which they were first heard.
        voters: how many have a vote.
        awaited: who is waited for, since a vote of theirs could still change the result.
        has_majority: whether enough of them agree.
        bound_violations: times that an interval was contradicted by its successor.
    """

    sources: tuple[SourceReport, ...] = ()
    voters: int = 0
    awaited: tuple[str, ...] = ()
    has_majority: bool = False
    bound_violations: int = 0
