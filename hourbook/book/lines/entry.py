"""What an imported line becomes: an entry that keeps the record, and what is wrong with it. Pure.

| the line is | kind | details |
|---|---|---|
| a whole copy of an entry | as it was (`import.copy` where that is reserved) | as they were |
| a record | `import.record` | `details`, `timestamp`, `nonce`, `sha256`, `parent_hash`, ... |
| anything else | `import.damaged` | its bytes |

Where the original bytes of a line cannot be had back from its record, they are in `raw`.
"""

from typing import Any, Final

import msgspec

from hourbook.book.lines.journal import FIELDS
from hourbook.book.lines.reading import Problem, Reading, check_record, line_digest
from protocols import book_messages, entry, errors
from protocols.book_messages import NewEntry
from protocols.change import check_kind
from protocols.entry import Entry

__all__ = [
    "DAMAGED",
    "ORIGIN",
    "RAW_BYTES_MAX",
    "RECORD",
    "digest_of",
    "kept_line",
    "origin_entry",
    "to_entry",
]

RECORD: Final = "import.record"
DAMAGED: Final = "import.damaged"
COPY: Final = "import.copy"
ORIGIN: Final = "import.origin"
"""Kind of the entry that precedes those of one batch, and says where they came from."""
RAW_BYTES_MAX: Final = entry.ENTRY_BYTES_MAX - (1 << 20)
"""Of a line that is kept as bytes; with a record beside them both must fit."""
_ENDS_BYTES: Final = 64 << 10
_UNNAMED: Final = "journal"
_encode_json = msgspec.json.Encoder().encode


def to_entry(reading: Reading, file: str) -> NewEntry:
    """Return the entry that keeps a line.

    Args:
        reading: of it; a `size` problem is added where it is too long to be kept whole.
        file: its name, for people.
    """
    if reading.copy is not None and (new := _copied(reading)) is not None:
        return new
    if reading.record is not None and len(reading.raw) <= RAW_BYTES_MAX // 2:
        return _recorded(reading, file)
    return _damaged(reading, file)


def origin_entry(readings: list[Reading], file: str) -> NewEntry:
    """Return the entry that says which lines a batch holds: their digests, and what copies were."""
    details: dict[str, Any] = {
        "lines": [readings[0].number, readings[-1].number],
        "digests": b"".join(reading.digest for reading in readings),
    }
    originals = [_original(reading.copy) for reading in readings]
    if any(originals):
        details["originals"] = originals
    return NewEntry("imported", _name(file), _packed(details), (), ORIGIN)


def kept_line(kept: Entry) -> bytes | None:
    """Return the bytes of the line that became an entry, without the line end.

    None for a copy, which says what the line said, but not where it was first written; for a line
    that was too long; and where the details are gone.
    """
    details = None if kept.details_raw is None else kept.details
    if kept.kind not in (RECORD, DAMAGED) or not isinstance(details, dict):
        return None
    raw = details.get("raw")
    if isinstance(raw, bytes):
        return raw
    try:
        return _line_of(kept.action, kept.entity, details) if kept.kind == RECORD else None
    except TypeError:  # whatever it is, no import has written it
        return None


def digest_of(kept: Entry) -> bytes | None:
    """Return the digest of the line that became an entry; None where nothing tells it."""
    line = kept_line(kept)
    return None if line is None else line_digest(line)


def _copied(reading: Reading) -> NewEntry | None:
    """Return an entry as it was; None where no book could hold it, whatever its hash says."""
    copy = reading.copy
    assert copy is not None
    assert copy.details_raw is not None
    kind = COPY if copy.kind == ORIGIN or _is_reserved(copy.kind) else copy.kind
    new = NewEntry(copy.action, copy.entity, msgspec.Raw(copy.details_raw), copy.tags, kind)
    try:
        book_messages.check_entry(new)
    except errors.CallerError as error:
        check_record(reading)
        reading.copy = None
        found = Problem("copy", "an entry that a book can hold", error.message)
        reading.problems.append(found)
        return None
    return new


def _recorded(reading: Reading, file: str) -> NewEntry:
    record = reading.record
    assert record is not None
    details: dict[str, Any] = {
        field: record[field]
        for field in ("details", "timestamp", "nonce", "sha256", "parent_hash")
        if field in record
    }
    extra = {key: value for key, value in record.items() if key not in FIELDS}
    if extra:
        details["extra"] = extra
    action = _key(record.get("action")) or "imported"
    entity = _key(record.get("entity")) or _name(file)
    for field, kept in (("action", action), ("entity", entity)):
        if kept != record.get(field):
            details[field] = record.get(field)
    if _line_of(action, entity, details) != reading.raw:
        details["raw"] = reading.raw
    details["file"], details["line"] = file, reading.number
    _add_problems(details, reading)
    return NewEntry(action, entity, _packed(details), (), RECORD)


def _line_of(action: str, entity: str, details: dict[str, Any]) -> bytes:
    """Return a record as those tools write it, from what its entry keeps of it."""
    said = {"action": action, "entity": entity, **details}
    record = {field: said[field] for field in FIELDS if field in said}
    return _encode_json(record | details.get("extra", {}))


def _damaged(reading: Reading, file: str) -> NewEntry:
    details: dict[str, Any] = {"file": file, "line": reading.number}
    if reading.damaged is not None:
        long = reading.damaged
        details |= {"size": long.size, "sha256": long.sha256, "head": long.head, "tail": long.tail}
    elif len(reading.raw) > RAW_BYTES_MAX:
        details |= {"size": len(reading.raw)}
        details |= {"head": reading.raw[:_ENDS_BYTES], "tail": reading.raw[-_ENDS_BYTES:]}
        found = f"{len(reading.raw)} bytes, of which the book keeps both ends"
        reading.problems.append(Problem("size", "a line that one entry can hold", found))
    else:
        details["raw"] = reading.raw
    _add_problems(details, reading)
    return NewEntry("damaged", _name(file), _packed(details), (), DAMAGED)


def _add_problems(details: dict[str, Any], reading: Reading) -> None:
    if reading.problems:
        details["problems"] = [msgspec.structs.asdict(problem) for problem in reading.problems]


def _is_reserved(kind: str) -> bool:
    """Say whether a kind stands for a change of the book that it was written in."""
    try:
        check_kind(kind)
    except errors.BadRequest:
        return True
    return False


def _original(copy: Entry | None) -> list[Any] | None:
    if copy is None:
        return None
    return [copy.seq, copy.time_ns, copy.writer, copy.session, copy.kind, copy.hash]


def _packed(details: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(entry.encode_value(details, "details"))


def _name(file: str) -> str:
    return _key(file) or _UNNAMED


def _key(value: object) -> str:
    """Return text cut to what an action or entity may be; "" for anything that is no text."""
    if not isinstance(value, str):
        return ""
    if len(value) * 4 <= entry.KEY_BYTES_MAX:
        return value
    return value.encode()[: entry.KEY_BYTES_MAX].decode("utf-8", "ignore")
