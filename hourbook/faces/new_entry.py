"""From what a caller says to an entry that can be sent, checked while the caller still listens."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from protocols import errors
from protocols.book_messages import NO_DETAILS, NewEntry, check_details, check_entry, check_labels
from protocols.entry import encode_value

__all__ = ["NewLike", "coerce_entry", "make_entry"]

NewLike = NewEntry | tuple[str, str] | tuple[str, str, Any] | Mapping[str, Any]
"""One entry of a batch: (action, entity[, details]), or a map of log's arguments."""


def make_entry(
    action: str, entity: str, details: object, tags: Iterable[str], kind: str
) -> NewEntry:
    """Return a checked entry.

    Raises:
        BadRequest, LimitExceeded: it cannot be kept.
    """
    raw = None if details is None else encode_value(details, "details")
    if isinstance(tags, str):
        raise errors.BadRequest("Expected `tags` to be a list of texts, got a text", field="tags")
    labels = tuple(tags)
    check_labels(action, entity, kind, labels)
    if raw is None:
        return NewEntry(action, entity, NO_DETAILS, labels, kind)
    check_details(raw)
    return NewEntry(action, entity, msgspec.Raw(raw), labels, kind)


def coerce_entry(new: NewLike) -> NewEntry:
    """Return an element of a batch as an entry.

    Raises:
        BadRequest, LimitExceeded: it is none, or cannot be kept.
    """
    if isinstance(new, NewEntry):
        check_entry(new)
        return new
    if not isinstance(new, tuple) and isinstance(new, Mapping):
        known = {"action", "entity", "details", "tags", "kind"}
        if not {"action", "entity"} <= new.keys() <= known:
            raise errors.BadRequest(
                f"Expected action, entity and perhaps details, tags, kind, got {sorted(new)}",
                field="entries",
            )
        return make_entry(
            new["action"],
            new["entity"],
            new.get("details"),
            new.get("tags", ()),
            new.get("kind", "log"),
        )
    if len(new) in (2, 3):
        return make_entry(new[0], new[1], new[2] if len(new) > 2 else None, (), "log")  # noqa: PLR2004
    raise errors.BadRequest(
        f"Expected (action, entity[, details]), got {len(new)} values", field="entries"
    )
