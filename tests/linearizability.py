"""Whether what many processes saw of keys can have been done one call after the other.

A history is linearizable if each call can be given one moment between its beginning and its end,
so that the calls, done at these moments, answer what they have answered. A call without an answer
may have been done at any moment since it began, or never.

The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's
memory of what was tried ("Testing for Linearizability", 2017), as Porcupine has it: depth first,
over pairs of calls that are done and what the key then holds. An unanswered call is done just
before the one that shows it, or not at all, and of those whose value nobody sees any more one
stands for all; so that hundreds of them cost little. Keys are independent of each other, so each
is searched alone (Herlihy and Wing's locality). Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["GONE", "NEVER_NS", "PLACES_MAX", "UNKNOWN", "Call", "Held", "explain", "step"]

GONE: Final = "gone"
"""What a key holds that is absent."""
UNKNOWN: Final = "unknown"
"""What a call was answered that was never answered."""
NEVER_NS: Final = 1 << 63
"""When it was."""
_SHOWN: Final = 8
_NO_VERSION: Final = 1 << 63
PLACES_MAX: Final = 200_000
"""Of one key; an order that is not found by then is not there, and to be sure takes hours."""


class Call(NamedTuple):
    """What one process asked of a key, and what it was answered.

    Attributes:
        who: the process.
        key: what it is about.
        kind: get, item, set, cas, increment or delete.
        given: the value of a set, (value, expected version) of a cas, what an increment adds.
        said: the answer. Of get the value, of item (version, value), of set the version, of
            increment (version, number), of delete the version, 0 where it was absent; of cas the
            version, or minus the current one (minus 0 is 0) where it was refused. GONE: absent.
            UNKNOWN.
        began_ns, ended_ns: by one monotonic clock; NEVER_NS without an answer.
    """

    who: int
    key: str
    kind: str
    given: Any
    said: Any
    began_ns: int
    ended_ns: int


class Held(NamedTuple):
    """What a key holds.

    Attributes:
        value: GONE where it is absent.
        version: of it, or of its deletion.
        is_exact: otherwise the version is only known to be above `version`.
    """

    value: Any = GONE
    version: int = 0
    is_exact: bool = True


class _Done(NamedTuple):
    """Which calls are done: all answered ones before `first`, and those in the masks."""

    first: int = 0
    later: int = 0
    unanswered: int = 0


class _Open(NamedTuple):
    """An unanswered call, and when the last one ended that may have seen its value."""

    call: Call
    seen_until_ns: int

    def effect(self, now_ns: int) -> tuple[Any, ...]:
        """Return what it comes to for all that has not ended by `now_ns`."""
        kind, given = self.call.kind, self.call.given
        if self.seen_until_ns >= now_ns:
            return kind, given
        return kind, "unseen", given[1] if kind == "cas" else None


class _Place(NamedTuple):
    """How far an order has come; and what was held before its last call, if that is unanswered."""

    done: _Done
    held: Held
    before: Held | None = None


def step(held: Held, call: Call) -> Held | None:
    """Return what a key holds after a call; None: then it would have been answered otherwise."""
    return _STEPS[call.kind](held, call.given, call.said)


def _get(held: Held, _: Any, said: Any) -> Held | None:
    return held if said == held.value else None


def _item(held: Held, _: Any, said: Any) -> Held | None:
    return _bound(held, *((0, GONE) if said == GONE else said))


def _set(held: Held, value: Any, said: Any) -> Held | None:
    if said == UNKNOWN:
        return Held(value, held.version, is_exact=False)
    return Held(value, said) if said > held.version else None


def _cas(held: Held, given: Any, said: Any) -> Held | None:
    value, expected = given
    if said != UNKNOWN and said <= 0:  # refused: that was its version
        return _bound(held, -said, held.value) if expected != -said else None
    found = _bound(held, expected, held.value)
    return None if found is None else _set(found, value, said)


def _increment(held: Held, by: Any, said: Any) -> Held | None:
    number = (0 if held.value == GONE else held.value) + by
    version, expected = (UNKNOWN, number) if said == UNKNOWN else said
    return _set(held, number, version) if number == expected else None


def _delete(held: Held, _: Any, said: Any) -> Held | None:
    if said == 0 or held.value == GONE:
        return held if held.value == GONE and said in (UNKNOWN, 0) else None
    return _set(held, GONE, said)


_STEPS: Final = {
    "get": _get,
    "item": _item,
    "set": _set,
    "cas": _cas,
    "increment": _increment,
    "delete": _delete,
}


def _bound(held: Held, version: int, value: Any) -> Held | None:
    """Return what is held, if it is this value in this version (0: it is absent)."""
    if value != held.value or (version == 0) != (value == GONE):
        return None
    if version == 0:
        return held
    if held.is_exact:
        return held if version == held.version else None
    return Held(value, version) if version > held.version else None


def explain(history: Iterable[Call], places_max: int = PLACES_MAX) -> str | None:
    """Return where a history cannot go on, in words; None where it is linearizable.

    Args:
        history: calls, in any order.
        places_max: how many states are tried for each key.
    """
    by_key: dict[str, list[Call]] = {}
    for call in history:
        by_key.setdefault(call.key, []).append(call)
    said = [_explain_key(calls, places_max) for _, calls in sorted(by_key.items())]
    return next((words for words in said if words is not None), None)


def _explain_key(calls: Sequence[Call], places_max: int) -> str | None:
    values = {version: value for call in calls for version, value in _told(call)}
    answered = [_with_value(call, values) for call in calls if call.said != UNKNOWN]
    answered.sort(key=lambda call: call.began_ns)
    open_ = _open(calls)
    tried: set[_Place] = set()
    branches = [iter([_Place(_Done(), Held())])]
    furthest, stuck = -1, _Place(_Done(), Held())
    while branches and len(tried) < places_max:
        place = next(branches[-1], None)
        if place is None:
            branches.pop()
            continue
        if place.done.first == len(answered):
            return None
        if place in tried:
            continue
        tried.add(place)
        count = place.done.first + place.done.later.bit_count()
        if count > furthest:
            furthest, stuck = count, place
        branches.append(_go_on(place, answered, open_))
    if branches:
        return f"no order was found in {places_max} states, of which the furthest was this:\n" + (
            _describe(stuck, answered, open_)
        )
    return _describe(stuck, answered, open_)


def _open(calls: Sequence[Call]) -> list[_Open]:
    """Return the unanswered calls, and until when somebody may see their values.

    Whoever sees a value sees it as it was written, or with all that was added to it since.
    """
    seen = sorted(
        (call.said if call.kind == "get" else call.said[1], call.ended_ns)
        for call in calls
        if call.kind in ("get", "item", "increment") and call.said not in (UNKNOWN, GONE)
    )
    values = [value for value, _ in seen]
    added = sum(call.given for call in calls if call.kind == "increment")
    found = []
    for call in sorted((c for c in calls if c.said == UNKNOWN), key=lambda c: c.began_ns):
        seen_until_ns = NEVER_NS
        if call.kind in ("set", "cas"):
            value = call.given if call.kind == "set" else call.given[0]
            first, end = bisect_left(values, value), bisect_right(values, value + added)
            seen_until_ns = max([ended_ns for _, ended_ns in seen[first:end]], default=-1)
        found.append(_Open(call, seen_until_ns))
    return found


def _told(call: Call) -> list[tuple[int, Any]]:
    """Return which value belongs to which version, where a call tells."""
    if call.said in (UNKNOWN, GONE) or call.kind == "get":
        return []
    if call.kind in ("item", "increment"):
        return [call.said]
    value = {"set": call.given, "delete": GONE}.get(call.kind) or call.given[0]
    return [(call.said, value)] if call.said > 0 else []


def _with_value(call: Call, values: dict[int, Any]) -> Call:
    """Return a refused cas as what it is: a look at a version, whose value others may have told."""
    if (
        call.kind == "cas"
        and call.said < 0
        and -call.said in values
        and call.given[1] != -call.said
    ):
        return call._replace(kind="item", said=(-call.said, values[-call.said]))
    return call


def _go_on(place: _Place, answered: Sequence[Call], open_: Sequence[_Open]) -> Iterator[_Place]:
    """Yield what may be next, the likeliest first."""
    done, held, _ = place
    ready, until_ns = _ready(done, answered)
    lowest = min([_version_of(answered[index]) for index in ready])
    following = []
    for index in ready:
        after = _after(place, answered[index])
        if after == held:  # it changes nothing, so at no other moment could it be better
            yield _Place(_with(done, index), held)
            return
        if after is not None and _version_of(answered[index]) in (lowest, _NO_VERSION):
            following.append((answered[index].ended_ns, index, after))
    for _, index, after in sorted(following):
        yield _Place(_with(done, index), after)
    unseen, alike = [], set()
    for index, each in enumerate(open_):
        if each.call.began_ns > until_ns:
            break
        if done.unanswered >> index & 1 or (effect := each.effect(until_ns)) in alike:
            continue
        alike.add(effect)  # the one that began first is as good as any
        after = _after(place, each.call)
        if after is not None and after != held:
            later = _Place(done._replace(unanswered=done.unanswered | 1 << index), after, held)
            if any(_after(later, answered[which]) is not None for which in ready):
                yield later
            else:
                unseen.append(later)
    yield from unseen


def _version_of(call: Call) -> int:
    """Return the version that a call has made or seen: they rise, so the lowest is next."""
    if call.kind in ("set", "delete", "cas"):
        version = abs(call.said)
    else:
        version = call.said[0] if call.kind in ("increment", "item") and call.said != GONE else 0
    return version or _NO_VERSION


def _after(place: _Place, call: Call) -> Held | None:
    """Return what is held after a call; None also where it shows that the last one is not needed.

    An unanswered call that makes no difference to the next one might as well never have been done.
    """
    after = step(place.held, call)
    if place.before is not None and step(place.before, call) == after:
        return None
    return after


def _ready(done: _Done, answered: Sequence[Call]) -> tuple[list[int], int]:
    """Return the answered calls that began before any other that is not done had ended."""
    until_ns, ready = NEVER_NS, []
    for index in range(done.first, len(answered)):
        if answered[index].began_ns > until_ns:
            break
        if not done.later >> (index - done.first) & 1:
            ready.append(index)
            until_ns = min(until_ns, answered[index].ended_ns)
    return ready, until_ns


def _with(done: _Done, index: int) -> _Done:
    first, later = done.first, done.later | 1 << (index - done.first)
    while later & 1:
        first, later = first + 1, later >> 1
    return _Done(first, later, done.unanswered)


def _describe(place: _Place, answered: Sequence[Call], open_: Sequence[_Open]) -> str:
    done, held, _ = place
    ready, _ = _ready(done, answered)
    first_ns = answered[0].began_ns
    count = done.first + done.later.bit_count()
    lines = [f"key {answered[0].key}: {count} of {len(answered)} calls can be put in order"]
    lines[0] += f" ({len(open_)} more have no answer); then it holds {held}, and none can be next:"
    for call in [answered[index] for index in ready[:_SHOWN]]:
        began, ended = ((at - first_ns) / 1e6 for at in (call.began_ns, call.ended_ns))
        lines.append(
            f"  process {call.who}, {began:.3f}..{ended:.3f} ms: {call.kind}({call.given})"
            f" said {call.said}"
        )
    return "\n".join(lines)
