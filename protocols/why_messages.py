"""Why the clock says what it says: asked of clock_model by ``clock.why``.

Widths and ages are integers in nanoseconds; an interval is told by its ends, as signed distances
from the centre of the estimate at `raw_ns`.
"""

from typing import Final

import msgspec

__all__ = ["WHY_KIND", "AskWhy", "ForecasterWhy", "SourceWhy", "Why"]

WHY_KIND: Final = "clock.why"


class AskWhy(msgspec.Struct, frozen=True):
    """A question without particulars."""


class SourceWhy(msgspec.Struct, frozen=True, kw_only=True):
    """The interval of one source, term by term.

    Attributes:
        source: its name.
        origin: ntp, kernel or asserted.
        standing: what became of it in the last vote: selected, falseticker, ...
        reason: why, "" where it is selected.
        stratum: 1..15 of an NTP server, 0 of the machine's own clock.
        terms: of the sample that speaks for it, by name; their sum is `half_width_ns`.
        half_width_ns: of that sample; -1: it vouches for none.
        age_ns: since that sample was complete.
        growth_ns: what its age adds on each side.
        earliest_off_ns: where its interval begins now.
        latest_off_ns: where its interval ends now.
    """

    source: str
    origin: str
    standing: str
    reason: str = ""
    stratum: int = 0
    terms: dict[str, int] = {}
    half_width_ns: int = -1
    age_ns: int = 0
    growth_ns: int = 0
    earliest_off_ns: int = 0
    latest_off_ns: int = 0


class ForecasterWhy(msgspec.Struct, frozen=True, kw_only=True):
    """How one forecaster plug-in fares.

    Attributes:
        forecaster: its name.
        phase: of its worker: resting, loading, idle, busy or ending.
        weight: its share of the centre, 0 to 1; 0: it has no say now.
        age_ns: since the newest measurement that its last forecast rests on; -1: there is none.
        horizon_ns: age at which that forecast has no say any more.
        claimed_ns: half-width that it claims for the next measurement, 0: it claims none.
        claimed_share: of next measurements that it expects within, 0 to 1.
        answers: forecasts taken so far.
        failures: by reason: late, crashed, nonsense.
        problem: its last failure in words, "" once it has answered again.
    """

    forecaster: str
    phase: str
    weight: float = 0.0
    age_ns: int = -1
    horizon_ns: int = 0
    claimed_ns: int = 0
    claimed_share: float = 0.0
    answers: int = 0
    failures: dict[str, int] = {}
    problem: str = ""


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """clock_model's answer.

    Attributes:
        raw_ns: the instant of the answer, CLOCK_MONOTONIC_RAW.
        status: as the model has it, 0..3.
        reason: why, in one line.
        bounded: there is a hard interval.
        earliest_off_ns: where it begins.
        latest_off_ns: where it ends.
        earliest_source: whose interval begins there; "" where it is of an earlier run.
        latest_source: whose interval ends there.
        vote_age_ns: since the vote that it comes of.
        growth_ns: what that age has added on each side.
        rate_ppb: of the centre, against CLOCK_MONOTONIC_RAW.
        reference_ppb: the premise: the true rate lies within `max_drift_ppb` of this.
        max_drift_ppb: the premise's other half.
        is_rate_measured: the premise was measured; else it is nominal.
        growth_ppb: how fast each side widens about the centre.
        sources: every one that was heard, in that order.
        forecasters: every one that is configured.
        sources_selected: how many agree.
        sources_total: how many have a vote.
        rejected: samples that were not taken, by reason.
        disruptions: by cause; contradiction: an interval that its successor contradicted.
        bound_violations: intervals that their successor contradicted.
        samples: accepted.
        steps: corrections that began a new epoch.
        leap_table: where leap seconds are read from, "" for nowhere.
        leap_expires_s: UTC from which on that table is not to be believed, 0 without one.
        leap_utc_s: UTC of the next leap event, 0 for none known.
        tai_minus_utc_s: at present, 0 where unknown.
        smear: how the sources serve leap seconds, "" where they step.
    """

    raw_ns: int
    status: int
    reason: str
    bounded: bool = False
    earliest_off_ns: int = 0
    latest_off_ns: int = 0
    earliest_source: str = ""
    latest_source: str = ""
    vote_age_ns: int = 0
    growth_ns: int = 0
    rate_ppb: int = 0
    reference_ppb: int = 0
    max_drift_ppb: int = 0
    is_rate_measured: bool = False
    growth_ppb: int = 0
    sources: tuple[SourceWhy, ...] = ()
    forecasters: tuple[ForecasterWhy, ...] = ()
    sources_selected: int = 0
    sources_total: int = 0
    rejected: dict[str, int] = {}
    disruptions: dict[str, int] = {}
    bound_violations: int = 0
    samples: int = 0
    steps: int = 0
    leap_table: str = ""
    leap_expires_s: int = 0
    leap_utc_s: int = 0
    tai_minus_utc_s: int = 0
    smear: str = ""
