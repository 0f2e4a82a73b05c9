"""Which entries somebody wants to see: data, compared for equality. Pure.

A filter is never spliced into code of any kind, so quotes, SQL or jq in it are only text that is
compared. A field that is empty asks nothing; several values of one field mean any of them, several
fields all of them.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from protocols import errors, wire
from protocols.entry import KEY_BYTES_MAX, Entry
from protocols.texts import text_size

__all__ = ["VALUES_MAX", "EntryFilter", "RawFilter", "Sieve", "Wanted", "make_filter"]

VALUES_MAX = 1000
"""Values of one field."""
NEEDLES_MAX = 8
"""With more values of one field it is quicker to decode."""
MAIN_BRANCH = 0
Wanted = str | Iterable[str] | None
"""One value, any of several, or no matter which."""


class EntryFilter(msgspec.Struct, frozen=True):
    """Values by field; an entry passes where each field that asks has one of its values.

    Attributes:
        action: what was done.
        entity: to what.
        writer: by whom.
        kind: the operation it stands for.
        tag: one of its tags.
        session: in which session.
        branch: on which branch; None for any.
    """

    action: frozenset[str] = frozenset()
    entity: frozenset[str] = frozenset()
    writer: frozenset[str] = frozenset()
    kind: frozenset[str] = frozenset()
    tag: frozenset[str] = frozenset()
    session: frozenset[str] = frozenset()
    branch: int | None = MAIN_BRANCH

    def passes(self, entry: Entry) -> bool:
        """Return whether `entry` is wanted."""
        return (
            (self.branch is None or entry.branch == self.branch)
            and (not self.action or entry.action in self.action)
            and (not self.entity or entry.entity in self.entity)
            and (not self.writer or entry.writer in self.writer)
            and (not self.kind or entry.kind in self.kind)
            and (not self.session or entry.session in self.session)
            and (not self.tag or not self.tag.isdisjoint(entry.tags))
        )


class Sieve(Protocol):
    """What tells entries that are wanted from others (see `RawFilter`)."""

    needles: tuple[tuple[bytes, ...], ...]

    def passes(self, entry: Entry) -> bool:
        """Return whether a decoded entry is wanted."""


class RawFilter:
    """A filter that can also look at encoded entries, and mostly need not decode them.

    A text that an entry has stands in its encoding, length and all; where none of a field's values
    does, the entry cannot pass. Where one does it may stand there as something else: then the
    decoded entry decides. To look costs a tenth of decoding.

    Attributes:
        needles: an entry that passes holds, encoded, at least one of each tuple.
    """

    __slots__ = ("_wanted", "needles")

    def __init__(self, wanted: EntryFilter) -> None:
        self._wanted = wanted
        asking = (
            wanted.action,
            wanted.entity,
            wanted.writer,
            wanted.kind,
            wanted.tag,
            wanted.session,
        )
        self.needles = tuple(
            tuple(msgspec.msgpack.encode(value) for value in values)
            for values in asking
            if 0 < len(values) <= NEEDLES_MAX
        )

    def passes(self, entry: Entry) -> bool:
        """Return whether a decoded entry is wanted."""
        return self._wanted.passes(entry)


def make_filter(
    *,
    action: Wanted = None,
    entity: Wanted = None,
    writer: Wanted = None,
    kind: Wanted = None,
    tag: Wanted = None,
    session: Wanted = None,
    branch: int | None = MAIN_BRANCH,
) -> EntryFilter:
    """Return a filter; each argument is one text, several, or None.

    Raises:
        BadRequest: a value that is no text, or that no entry could have.
        LimitExceeded: too many values.
    """
    return EntryFilter(
        action=_values(action, "action"),
        entity=_values(entity, "entity"),
        writer=_values(writer, "writer"),
        kind=_values(kind, "kind"),
        tag=_values(tag, "tag"),
        session=_values(session, "session"),
        branch=branch,
    )


def _values(wanted: Wanted, field: str) -> frozenset[str]:
    if wanted is None:
        return frozenset()
    given: Any = wanted  # whatever the caller passed, whatever its type says
    is_many = isinstance(given, Iterable) and not isinstance(given, str)
    values: list[Any] = list(given) if is_many else [given]
    if len(values) > VALUES_MAX:
        raise errors.LimitExceeded(
            f"Expected at most {VALUES_MAX} values of `{field}`, got {len(values)}", field=field
        )
    for value in values:
        _check(value, field)
    return frozenset(values)


def _check(value: object, field: str) -> None:
    size = text_size(value, field)
    if size > KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `{field}` of at most {KEY_BYTES_MAX} bytes, got {size}",
            field=field,
            value=wire.printable(value),
        )
