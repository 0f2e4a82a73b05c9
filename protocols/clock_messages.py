"""What the two halves of the clock say: one measurement, and the estimate that comes of many.

``clock.sample`` goes from ntp_sampler to clock_model, ``clock.estimate`` from clock_model to
shm_publisher, ``clock.disrupted`` from there back, and ``clock.resample`` from clock_model back to
ntp_sampler. Nobody answers them.

Times are integers in nanoseconds. `_raw_ns` counts on CLOCK_MONOTONIC_RAW of this boot, `utc_ns`
on POSIX time (UTC since 1970, leap seconds not counted). Intervals are hard: they carry every term
that could hide the truth, and never a statistical one; the statistical fields say so.
"""

from typing import Annotated, Final, Literal

import msgspec

__all__ = [
    "DISRUPTED_KIND",
    "ESTIMATE_KIND",
    "FLAG_ASSERTED",
    "FLAG_KERNEL_UNPROVEN",
    "FLAG_SINGLE_SOURCE",
    "FLAG_SLEWING",
    "RATE_ONE",
    "RESAMPLE_KIND",
    "SAMPLE_KIND",
    "STATUS_DISRUPTED",
    "STATUS_FREE_RUNNING",
    "STATUS_SYNCHRONIZED",
    "STATUS_UNKNOWN",
    "UNBOUNDED_NS",
    "ClockEstimate",
    "ClockSample",
    "Disrupted",
    "DisruptionCause",
    "Origin",
    "Resample",
]

SAMPLE_KIND: Final = "clock.sample"
ESTIMATE_KIND: Final = "clock.estimate"
RESAMPLE_KIND: Final = "clock.resample"
DISRUPTED_KIND: Final = "clock.disrupted"

STATUS_UNKNOWN: Final = 0
STATUS_SYNCHRONIZED: Final = 1
STATUS_FREE_RUNNING: Final = 2
STATUS_DISRUPTED: Final = 3

FLAG_SINGLE_SOURCE: Final = 1
"""One source alone vouches for the interval."""
FLAG_KERNEL_UNPROVEN: Final = 2
"""The interval is what the kernel says of itself; nothing checked it."""
FLAG_ASSERTED: Final = 4
"""The interval is what the operator asserted of this machine's own clock."""
FLAG_SLEWING: Final = 8
"""The output lies outside the hard interval and is on its way in. Set by the publisher alone."""

UNBOUNDED_NS: Final = -1
"""`half_width_ns` of a source that says nothing about its own error."""

RATE_ONE: Final = 1 << 48
"""The unit of `rate`: a rate of 2^48 would be one second a second."""

Origin = Literal["ntp", "kernel", "asserted"]
DisruptionCause = Literal["boot", "suspend", "migration", "clocksource", "external_step"]

_INT64_MAX: Final = (1 << 63) - 1
_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Raw = Annotated[int, msgspec.Meta(ge=0, le=_INT64_MAX)]
_Ns = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=_INT64_MAX)]


class ClockSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted measurement of UTC against CLOCK_MONOTONIC_RAW.

    Attributes:
        source: name of the source, unique in one configuration: "host:port", "kernel", "asserted".
        identity: the reference id that clients of this source would carry, 8 hex digits, or "".
        upstream: what the source itself follows. Sources that name the same one have one vote;
            "" follows nothing that another source could follow too.
        stratum: 1..15 of an NTP server, 0 of the machine's own clock.
        leap: NTP leap indicator, 0..2.
        raw_ns: when the measurement was complete.
        utc_ns: what the source says UTC was at `raw_ns`.
        half_width_ns: UTC at `raw_ns` was within `utc_ns` +- this, as long as the source is honest;
            its own terms only, not aged; `UNBOUNDED_NS` where the source says nothing.
        realtime_offset_ns: `utc_ns` minus CLOCK_REALTIME at `raw_ns`. For people and for the
            statistical estimate, never for a bound.
        delay_ns: round trip to the source.
        root_delay_ns: round trip from the source to its reference, as it claims.
        root_dispersion_ns: error of the source, as it claims.
        poll_s: seconds until the source is asked again.
        origin: which kind of source this is; a weaker kind never votes beside a stronger one.
        flags: FLAG_* that an estimate resting on this sample has to carry.
        smear: how the source serves a leap second, "" where it does not smear it.
        terms: what `half_width_ns` is the sum of, by name; for people.
    """

    source: str
    raw_ns: _Raw
    utc_ns: _Ns
    half_width_ns: Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]
    origin: Origin
    poll_s: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    identity: str = ""
    upstream: str = ""
    stratum: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    leap: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0
    realtime_offset_ns: _Ns = 0
    delay_ns: _Natural = 0
    root_delay_ns: _Natural = 0
    root_dispersion_ns: _Natural = 0
    flags: _Natural = 0
    smear: Annotated[str, msgspec.Meta(max_length=16)] = ""
    terms: dict[str, int] = {}


class ClockEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """UTC as a line over CLOCK_MONOTONIC_RAW, the interval about it, and what vouches for both.

    UTC at `raw` is ``utc_ns + dt + ((dt * rate) >> 48)`` with ``dt = raw - as_of_raw_ns``; the hard
    interval about that line reaches from `earliest_off_ns` to `latest_off_ns` at `as_of_raw_ns` and
    widens on both sides by ``|dt| * growth_ppb / 10**9``.

    Attributes:
        as_of_raw_ns: the instant the estimate speaks about.
        utc_ns: centre of the estimate at `as_of_raw_ns`; inside the interval where one is bounded.
        rate: signed, (dUTC/dRAW - 1) * 2^48.
        bounded: False: the interval is the whole line, and the two offsets mean nothing.
        earliest_off_ns: signed, earliest possible UTC minus `utc_ns`; <= 0 where bounded.
        latest_off_ns: signed, latest possible UTC minus `utc_ns`; >= 0 where bounded.
        growth_ppb: by how much each side of the interval widens with time, about this line.
        sigma_offset_ns: statistical: standard error of `utc_ns`.
        sigma_rate_ppb: statistical: standard error of `rate`.
        q68_ns: statistical: half-width that holds 68 % of next measurements.
        q95_ns: statistical: half-width that holds 95 % of next measurements.
        status: STATUS_*; readers recompute it from age.
        source: what the estimate rests on, <= 8 ASCII bytes: ntp, kernel, asserted, none.
        sources_selected: sources that agree and feed the centre.
        sources_total: sources that have a vote.
        confidence: 0..1, heuristic: agreement of the sources, fill of their registers, age.
        last_sample_raw_ns: arrival of the last accepted sample; 0 before the first.
        poll_s: longest poll of a selected source.
        samples: accepted so far.
        steps: corrections that began a new epoch.
        disruptions: times that the history was thrown away.
        bound_violations: times that an interval was contradicted by its successor.
        last_step_raw_ns: when the present epoch began.
        is_step: this estimate begins a new epoch: publish it as it is, do not slew towards it.
        flags: FLAG_* of the estimate.
        void_after_s: UNKNOWN when `last_sample_raw_ns` is older than this.
        leap_utc_s: UTC of the next leap event, 0 for none.
        leap_tai_before_s: TAI - UTC before it.
        leap_tai_after_s: TAI - UTC after it.
        smear_kind: 0 for none.
        smear_length_s: length of a smear.
        disrupted_raw_ns: `raw_ns` of the last `clock.disrupted` that is taken into account here.
    """

    as_of_raw_ns: _Raw
    utc_ns: _Ns
    rate: _Ns = 0
    bounded: bool = False
    earliest_off_ns: _Ns = 0
    latest_off_ns: _Ns = 0
    growth_ppb: _Natural = 0
    sigma_offset_ns: _Natural = 0
    sigma_rate_ppb: _Natural = 0
    q68_ns: _Natural = 0
    q95_ns: _Natural = 0
    status: Annotated[int, msgspec.Meta(ge=0, le=3)] = STATUS_UNKNOWN
    source: Annotated[str, msgspec.Meta(max_length=8, pattern="^[a-z]*$")] = "none"
    sources_selected: _Natural = 0
    sources_total: _Natural = 0
    confidence: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.0
    last_sample_raw_ns: _Raw = 0
    poll_s: _Natural = 0
    samples: _Natural = 0
    steps: _Natural = 0
    disruptions: _Natural = 0
    bound_violations: _Natural = 0
    last_step_raw_ns: _Raw = 0
    is_step: bool = False
    flags: _Natural = 0
    void_after_s: Annotated[int, msgspec.Meta(ge=1)] = 1000
    leap_utc_s: _Natural = 0
    leap_tai_before_s: _Natural = 0
    leap_tai_after_s: _Natural = 0
    smear_kind: _Natural = 0
    smear_length_s: _Natural = 0
    disrupted_raw_ns: _Raw = 0


class Resample(msgspec.Struct, frozen=True):
    """The model lost its history: ask the sources again, as soon as they may be asked."""

    cause: str


class Disrupted(msgspec.Struct, frozen=True):
    """The publisher saw the machine disturbed; told again until an estimate has heard of it.

    Attributes:
        cause: what happened.
        raw_ns: when it was seen, which names it.
    """

    cause: DisruptionCause
    raw_ns: _Raw
