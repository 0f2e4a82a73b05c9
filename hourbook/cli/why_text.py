"""The explanation of the clock as lines for people. Pure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

from hourbook.cli.sources_text import MARKS
from hourbook.words import UNBOUNDED, counted, duration_text, visible

__all__ = ["why_lines"]

Document = Mapping[str, Any]
_MARKS: Final = {"selected": "*", "falseticker": "x", "same_upstream": "+", "silent": "?"}
_LABEL: Final = 10
_WIDTH_MIN: Final = 40


def why_lines(document: Document, width: int = 0) -> list[str]:
    """Return status, reason, and the interval term by term, in `width` characters (0: any)."""
    model = document["model"]
    lines = [
        document["time"],
        *_row("status", f"{document['status']}: {document['reason']}"),
        *_row("source", document["source"]),
        *_row("flags", ", ".join(document["flags"]).lower()),
        *_page_lines(document["interval"]),
    ]
    if model is not None:
        lines += [*_vote_lines(model), *_source_lines(model, document["troubles"])]
        lines += _unheard_lines(document["troubles"], model)
        lines += [*_forecaster_lines(model), *_counter_lines(model)]
    lines += _leap_lines(document["leap"], model)
    lines += _row("model", f"not asked: {visible(document['problem'])}" if not model else "")
    return lines if width < _WIDTH_MIN else list(_wrapped(lines, width))


def _wrapped(lines: Sequence[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * _LABEL,
            break_on_hyphens=False,
            break_long_words=False,  # a path that is cut in two leads nowhere
        )


def _row(label: str, text: str) -> Iterator[str]:
    if text:
        yield f"{label:<{_LABEL}}{text}"


def _page_lines(interval: Document | None) -> Iterator[str]:
    if interval is None:
        yield from _row("interval", UNBOUNDED)
        return
    yield from _row("interval", _ends(-interval["before_ns"], interval["after_ns"]))
    published = _ends(-interval["published_before_ns"], interval["published_after_ns"])
    yield from _row("  page", f"{published} when it was published")
    growth, age = duration_text(interval["growth_ns"]), duration_text(interval["age_ns"])
    rate = f"{interval['growth_ppb'] / 1000:g} ppm"
    yield from _row("  growth", f"{growth} on each side since: {age} at {rate}")


def _vote_lines(model: Document) -> Iterator[str]:
    vote, premise = model["interval"], model["premise"]
    if vote is not None:
        ends = _ends(vote["earliest_off_ns"], vote["latest_off_ns"])
        authors = (vote["earliest_source"], vote["latest_source"])
        by = "an earlier run" if None in authors else " to ".join(dict.fromkeys(authors))
        yield from _row("  vote", f"{ends} about the estimate, from {visible(by)}")
        growth, age = duration_text(vote["growth_ns"]), duration_text(vote["vote_age_ns"])
        yield from _row("  growth", f"{growth} of that on each side since the vote, {age} ago")
    known = "measured" if premise["is_measured"] else "nominal, until 600 s are measured"
    centre, drift = premise["reference_ppb"] / 1000, premise["max_drift_ppb"] / 1000
    yield from _row("premise", f"most sources are honest, and the rate is {centre:g} ppm ±"
                    f" {drift:g} ppm ({known})")  # fmt: skip
    yield from _row("  rate", f"{premise['rate_ppb'] / 1000:g} ppm is followed; so each side grows"
                    f" by {premise['growth_ppb'] / 1000:g} ppm")  # fmt: skip


def _source_lines(model: Document, troubles: Sequence[Mapping[str, str]]) -> Iterator[str]:
    troubled = {trouble["source"]: trouble for trouble in troubles}
    votes = counted(model["sources_total"], "vote", "votes")
    said = f"{model['sources_selected']} of {votes} agree" if model["sources_total"] else "no votes"
    yield from _row("sources", said if model["sources"] else "none was heard")
    for source in model["sources"]:
        # As `hourbook sources` has it, where anything is to be said; else as the vote has it.
        trouble = troubled.get(source["source"])
        state = trouble["state"] if trouble else source["standing"].replace("_", " ")
        words = ": ".join(filter(None, (state, (trouble or source)["reason"])))
        mark = MARKS[state] if trouble else _MARKS.get(source["standing"], "-")
        yield f"  {mark} {visible(source['source'])}  {visible(words)}"
        if source["half_width_ns"] is None:
            continue
        terms = [_term_text(name, size) for name, size in source["terms"].items() if size]
        yield f"      ±{duration_text(source['half_width_ns'])} = {' + '.join(terms) or 'untold'}"
        growth, age = duration_text(source["growth_ns"]), duration_text(source["age_ns"])
        ends = _ends(source["earliest_off_ns"], source["latest_off_ns"])
        yield f"      and {growth} for its age of {age}: {ends} about the estimate"


def _unheard_lines(troubles: Sequence[Mapping[str, str]], model: Document) -> Iterator[str]:
    """Yield why other sources are not heard, those with the same trouble in one line."""
    heard = {source["source"] for source in model["sources"]}
    alike: dict[tuple[str, str], list[str]] = {}
    for trouble in troubles:
        if trouble["source"] not in heard:
            alike.setdefault((trouble["state"], trouble["reason"]), []).append(trouble["source"])
    for (state, reason), names in alike.items():
        yield f"  {MARKS[state]} {visible(', '.join(names))}  {visible(f'{state}: {reason}')}"


def _forecaster_lines(model: Document) -> Iterator[str]:
    for label, one in zip(chain(("forecasts",), repeat("")), model["forecasters"], strict=False):
        words = f"{one['forecaster']}  {one['weight']:.1%} of the centre, {one['phase']}"
        if one["age_ns"] is not None:
            age, until = duration_text(one["age_ns"]), duration_text(one["horizon_ns"])
            words += f", its last is {age} old (good for {until})"
        yield from _row(label, visible(words + _counts(", ended", one["failures"])))
        if one["claimed_share"] is not None:
            size = duration_text(one["claimed_ns"])
            yield from _row("", f"  claims ±{size} for {one['claimed_share']:.0%} of measurements")
        if one["problem"]:
            yield from _row("", f"  {visible(one['problem'])}")


def _counter_lines(model: Document) -> Iterator[str]:
    yield from _row(
        "samples", f"{model['samples']} accepted{_counts(', rejected', model['rejected'])}"
    )
    yield from _row(
        "disrupted", _counts("", model["disruptions"]) or "never, since the model began"
    )
    if model["bound_violations"]:
        yield from _row("violated", f"{model['bound_violations']} intervals by their successors")


def _leap_lines(leap: Document, model: Document | None) -> Iterator[str]:
    tai = leap["tai_minus_utc_s"]
    words = "TAI - UTC is unknown" if tai is None else f"TAI - UTC = {tai} s"
    if leap["next"]:
        words += f", {leap['tai_minus_utc_after_s']} s from {leap['next']} on"
    elif tai is not None:
        words += ", no leap second is announced"
    if leap["smear"] != "none":
        words += f"; the sources smear ({leap['smear']}, {leap['smear_length_s']} s)"
    yield from _row("leap", words)
    if model is not None:
        until = f"{model['leap_table']} until {(model['leap_table_expires'] or '')[:10]}"
        yield from _row(
            "  table", visible(until) if model["leap_table"] else "none on this machine"
        )


def _term_text(name: str, size_ns: int) -> str:
    return f"{visible(name.removesuffix('_ns').replace('_', ' '))} {duration_text(size_ns)}"


def _counts(before: str, counts: Mapping[str, int]) -> str:
    words = ", ".join(f"{visible(name)} {number}" for name, number in counts.items())
    return f"{before} {words}".strip(" ") if words else ""


def _ends(earliest_ns: int, latest_ns: int) -> str:
    return f"{_signed(earliest_ns)} .. {_signed(latest_ns)}"


def _signed(duration_ns: int) -> str:
    return f"{'+' if duration_ns >= 0 else ''}{duration_text(duration_ns)}"
