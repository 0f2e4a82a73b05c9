"""What journal_writer and compactor are told, and what they answer.

Kinds: ``book.append`` and ``book.maintain`` to journal_writer, ``compactor.run`` to compactor.
A request that changes something carries a nonce; sent again with the same nonce it is answered
again and not done again.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocols import entry, errors
from protocols.change import check_kind, check_nonce, check_writer
from protocols.names import NAME_PATTERN, check_name
from protocols.texts import are_short, check_text

__all__ = [
    "NAME_PATTERN",
    "NO_DETAILS",
    "AckLevel",
    "Append",
    "Appended",
    "AskRules",
    "EntryAck",
    "Maintain",
    "Maintained",
    "NewEntry",
    "Run",
    "RunStarted",
    "check_append",
    "check_count",
    "check_details",
    "check_entry",
    "check_labels",
    "check_name",
]

_I64_MAX: Final = (1 << 63) - 1

NO_DETAILS: Final = msgspec.Raw(entry.DETAILS_NONE)
"""What an entry carries for details that were not given: this very object, which is not sent."""
AckLevel = Literal["durable", "received"]
"""When to answer: after the fsync, or once the request was checked and queued."""
MaintainOp = Literal["checkpoint", "vacuum", "sweep", "distrust", "trust"]
Job = Literal["verify", "backup", "checkpoint", "witness", "compact"]


class NewEntry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a writer says about one entry; the rest is added when it is sequenced."""

    action: str
    entity: str
    details: msgspec.Raw = NO_DETAILS
    tags: tuple[str, ...] = ()
    kind: str = "log"


class Append(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``book.append``: one or more entries, committed together or not at all.

    Attributes:
        writer: name of the instance (``[a-z0-9._-]{1,64}``).
        nonce: of the first entry (16 bytes); the n-th has n - 1 added to its counter.
        entries: 1..4096.
        ack: when to answer.
        session: name of a session, or "".
        branch: number of a branch that is there; 0 is main.
        hlc: the writer's hybrid logical time, merged into the book's; 0 is none.
    """

    writer: str
    nonce: bytes
    entries: list[NewEntry]
    ack: AckLevel = "durable"
    session: str = ""
    branch: Annotated[int, msgspec.Meta(ge=0, le=_I64_MAX)] = 0
    hlc: Annotated[int, msgspec.Meta(ge=0, le=_I64_MAX)] = 0


class EntryAck(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was added to one entry when it was sequenced: an array in this order."""

    seq: int
    time_ns: int
    bound_ns: int
    hlc: int
    salt: bytes | None
    parent_hash: bytes
    hash: bytes


class Appended(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to ``book.append``.

    Attributes:
        entries: one ack per entry; none at ack level `received`.
        redacted: which of them (from 0 on) were written with `[redacted:RULE]` in place of a
            secret: their hash is not that of what was sent. Read them back.
    """

    entries: list[EntryAck] = []
    redacted: list[int] = []


class Maintain(msgspec.Struct, frozen=True, omit_defaults=True):
    """``book.maintain``: work on the database that only its writer may do.

    Attributes:
        op: `checkpoint` moves the log into the database; `vacuum` returns up to `pages` free pages
            to the file system; `sweep` removes archive files that nothing names; `distrust` ends
            writing: the book was found corrupt; `trust` opens a distrusted book anew: a later
            verification was clean.
        pages: for `vacuum` (1..100 000; 1000 take about 10 ms).
        first_bad_seq: for `distrust`, the first entry that does not verify.
        problem: for `distrust`, what is wrong with it.
    """

    op: MaintainOp
    pages: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    first_bad_seq: int = 0
    problem: str = ""


class Maintained(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a maintenance command left behind (bytes, pages)."""

    wal_bytes: int = 0
    free_pages: int = 0


class Run(msgspec.Struct, frozen=True):
    """``compactor.run``: do a job of the calendar now. The result is in its log and snapshot."""

    job: Job


class AskRules(msgspec.Struct, frozen=True):
    """``compactor.rules``: by which rules details leave the database. No keys."""


class RunStarted(msgspec.Struct, frozen=True):
    """Whether the job was queued; False when it already waits or runs."""

    queued: bool


def check_append(request: Append) -> None:
    """Check what the types of an Append cannot say.

    Raises:
        BadRequest, LimitExceeded: naming the field.
    """
    check_writer(request.writer)
    if request.session:
        check_name(request.session, "session")
    count = len(request.entries)
    check_count(count)
    check_nonce(request.nonce, count)
    for new in request.entries:
        check_entry(new)


def check_count(count: int) -> None:
    """Check how many entries are to be written together.

    Raises:
        LimitExceeded: not 1..BATCH_ENTRIES_MAX.
    """
    if not 1 <= count <= entry.BATCH_ENTRIES_MAX:
        raise errors.LimitExceeded(
            f"Expected 1..{entry.BATCH_ENTRIES_MAX} entries in a batch, got {count}",
            field="entries",
            value=str(count),
        )


def check_entry(new: NewEntry) -> None:
    """Check the texts, tags and details of one entry.

    Raises:
        BadRequest: an empty action, entity or kind, or details that readers could not decode.
        LimitExceeded: a text, the tags or the details are too large.
    """
    check_labels(new.action, new.entity, new.kind, new.tags)
    if new.details is not NO_DETAILS:
        check_details(new.details)


def check_labels(action: str, entity: str, kind: str, tags: tuple[str, ...]) -> None:
    """Check the texts by which an entry is found.

    Raises:
        BadRequest: no text, an empty action, entity or kind, or a reserved kind.
        LimitExceeded: one is too long, or there are too many tags.
    """
    if not are_short((action, entity, kind), entry.KEY_BYTES_MAX):
        check_text(action, "action", entry.KEY_BYTES_MAX)
        check_text(entity, "entity", entry.KEY_BYTES_MAX)
        check_text(kind, "kind", entry.KEY_BYTES_MAX)
    if kind != "log":
        check_kind(kind)
    if not (action and entity and kind):
        field = "action" if not action else "entity" if not entity else "kind"
        raise errors.BadRequest(f"Expected `{field}` to say something, got empty text", field=field)
    if tags:
        _check_tags(tags)


def check_details(details: bytes) -> None:
    """Check the details of an entry, encoded.

    Raises:
        LimitExceeded: more than ENTRY_BYTES_MAX.
        BadRequest: readers could not decode them.
    """
    if len(details) > entry.ENTRY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected details of at most {entry.ENTRY_BYTES_MAX} bytes (16 MiB),"
            f" got {len(details)}",
            field="details",
            value=str(len(details)),
        )
    entry.check_value(details, "details")


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > entry.TAGS_MAX:
        raise errors.LimitExceeded(
            f"Expected at most {entry.TAGS_MAX} tags, got {len(tags)}",
            field="tags",
            value=str(len(tags)),
        )
    if not are_short(tags, entry.KEY_BYTES_MAX):
        for tag in tags:
            check_text(tag, "tags", entry.KEY_BYTES_MAX)
