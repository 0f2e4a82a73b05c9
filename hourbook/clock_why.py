"""What `hourbook clock why` answers, as JSON (docs/CLI.md). Pure.

The time page explains itself: status, interval, ages, growth. Which source says what, which were
rejected and why, only clock_model can tell; while it does not run, `model` is null.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hourbook.clock.reasons import status_reason
from hourbook.clock_json import half_width_ns, now_json
from hourbook.rfc3339 import format_utc_ns
from hourbook.source_json import troubles_json, why_no_server
from protocols.why_messages import ForecasterWhy, SourceWhy, Why
from shm._core import Snapshot
from shm.layout import Flag, Status

__all__ = ["why_json"]

_NS: Final = 1_000_000_000
_SMEARS: Final = ("none", "linear", "cosine", "other")


def why_json(
    page: Snapshot,
    model: Why | None,
    problem: str = "",
    sources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the whole explanation.

    Args:
        page: what every reader knows.
        model: what clock_model answered, None where it did not.
        problem: why it did not.
        sources: the document of ``hourbook sources``, None where there is none.
    """
    return {
        **now_json(page),
        "reason": _reason(page, model, sources),
        "flags": [flag.name for flag in Flag if page.flags & flag],
        "interval": _interval_json(page),
        "leap": _leap_json(page),
        "model": None if model is None else _model_json(model),
        "troubles": troubles_json(sources) if sources else [],
        "problem": problem,
    }


def _reason(page: Snapshot, model: Why | None, sources: Mapping[str, Any] | None) -> str:
    """Return the model's reason where readers see its status, else what readers see.

    Why no server was heard only the sampler knows; until one is, it is half of the answer.
    """
    if model is None or not page.status == page.published_status == model.status:
        return status_reason(page)
    words = [model.reason]
    if sources and page.status is not Status.SYNCHRONIZED:
        words += ["" if model.bounded else sources["own_clock"], why_no_server(sources)]
    return "; ".join(word for word in words if word)


def _interval_json(page: Snapshot) -> dict[str, Any] | None:
    """Return the interval about the output, and how much of it is growth since the page."""
    if half_width_ns(page) is None:
        return None
    age_ns = abs(page.raw_ns - page.as_of_raw_ns)
    return {
        "before_ns": page.time_ns - page.earliest_ns,
        "after_ns": page.latest_ns - page.time_ns,
        "published_before_ns": -page.earliest_off_ns,
        "published_after_ns": page.latest_off_ns,
        "age_ns": age_ns,
        "growth_ppb": page.growth_ppb,
        "growth_ns": -(-age_ns * page.growth_ppb // _NS) + (age_ns != 0),
    }


def _leap_json(page: Snapshot) -> dict[str, Any]:
    return {
        "next": format_utc_ns(page.leap_utc_s * _NS) if page.leap_utc_s else None,
        "tai_minus_utc_s": page.leap_tai_before_s or None,
        "tai_minus_utc_after_s": page.leap_tai_after_s or None,
        "smear": _SMEARS[min(page.leap_smear_kind, len(_SMEARS) - 1)],
        "smear_length_s": page.leap_smear_length_s,
    }


def _model_json(model: Why) -> dict[str, Any]:
    return {
        "status": Status(model.status).name,
        "reason": model.reason,
        "interval": _vote_json(model) if model.bounded else None,
        "premise": {
            "rate_ppb": model.rate_ppb,
            "reference_ppb": model.reference_ppb,
            "max_drift_ppb": model.max_drift_ppb,
            "is_measured": model.is_rate_measured,
            "growth_ppb": model.growth_ppb,
        },
        "sources": [_source_json(source) for source in model.sources],
        "forecasters": [_forecaster_json(one) for one in model.forecasters],
        "sources_selected": model.sources_selected,
        "sources_total": model.sources_total,
        "samples": model.samples,
        "rejected": model.rejected,
        "steps": model.steps,
        "disruptions": model.disruptions,
        "bound_violations": model.bound_violations,
        "leap_table": model.leap_table or None,
        "leap_table_expires": _instant(model.leap_expires_s) if model.leap_table else None,
        "smear_family": model.smear,
    }


def _vote_json(model: Why) -> dict[str, Any]:
    return {
        "earliest_off_ns": model.earliest_off_ns,
        "latest_off_ns": model.latest_off_ns,
        "earliest_source": model.earliest_source or None,
        "latest_source": model.latest_source or None,
        "vote_age_ns": model.vote_age_ns,
        "growth_ns": model.growth_ns,
    }


def _source_json(source: SourceWhy) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(source)
    if source.half_width_ns < 0:
        unbounded = ("half_width_ns", "growth_ns", "earliest_off_ns", "latest_off_ns")
        document |= dict.fromkeys(unbounded)
    return document


def _forecaster_json(one: ForecasterWhy) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(one)
    if one.age_ns < 0:
        document |= dict.fromkeys(("age_ns", "horizon_ns"))
    if not one.claimed_share:
        document |= dict.fromkeys(("claimed_ns", "claimed_share"))
    return document


def _instant(utc_s: int) -> str:
    return format_utc_ns(utc_s * _NS)
