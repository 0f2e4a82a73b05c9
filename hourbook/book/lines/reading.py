"""One line of a journal file: what record it holds, and everything that is wrong with it. Pure.

A line is read as it should be; where it is not, it is read as well as it can be, and each departure
is a :class:`Problem`: what was expected, and what was found. Nothing is mended in silence, and
nothing is thrown away: :mod:`hourbook.book.lines.entry` keeps the bytes of a line that cannot be
had back from its record.
"""

import hashlib
import json
import math
import re
from typing import Any, Final

import msgspec

from hourbook.book.lines.journal import FIELDS, entry_of, line_hash
from protocols import entry, wire
from protocols.entry import Entry

__all__ = [
    "DIGEST_SIZE",
    "DamagedLine",
    "Problem",
    "Reading",
    "check_record",
    "has_record",
    "line_digest",
    "read_line",
]

DIGEST_SIZE: Final = 16
"""Of SHA-256: what tells one line from another in the book that imports them."""
DEPTH_MAX: Final = 16
"""Nesting of a record that is kept as a value; a deeper one is kept as bytes. The wire takes 32."""
FOUND_MAX: Final = 120
"""Characters of what was found that a report repeats."""
_DOMAIN: Final = b"hourbook/line/1"
_GENESIS_SHA256: Final = hashlib.sha256(b"genesis").hexdigest()
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_I64_MIN, _U64_MAX = -(1 << 63), (1 << 64) - 1
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_decode_json = msgspec.json.Decoder().decode


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a line.

    Attributes:
        what: `json`, `encoding`, `value`, `field`, `timestamp`, `hash`, `parent`, `fork`, `nonce`,
            `copy`, `size` or `repeated`.
        expected: in words.
        found: in words, or as it was found, shortened.
    """

    what: str
    expected: str
    found: str


class DamagedLine(msgspec.Struct, frozen=True):
    """A line that is longer than memory should be.

    Attributes:
        size: in bytes.
        sha256: of all of it.
        head, tail: its first and last bytes.
    """

    size: int
    sha256: bytes
    head: bytes
    tail: bytes


class Reading(msgspec.Struct):
    """What one line was found to hold.

    Attributes:
        number: of the line, from 1.
        raw: its bytes, without the line end; the two ends of one that is too long.
        digest: what tells it from other lines.
        record: its JSON object; None where none could be read.
        copy: the entry of another book that it is a whole copy of.
        problems: what is wrong with it.
        damaged: of a line that is too long.
    """

    number: int
    raw: bytes
    digest: bytes
    record: dict[str, Any] | None = None
    copy: Entry | None = None
    problems: list[Problem] = []
    damaged: DamagedLine | None = None

    def text(self, field: str) -> str:
        """Return a field of the record that is text; "" where it is missing or no text."""
        value = None if self.record is None else self.record.get(field)
        return value if isinstance(value, str) else ""


def read_line(number: int, line: bytes | DamagedLine) -> Reading:
    """Read one line, and check it by itself: its form, its fields, its hash."""
    if isinstance(line, DamagedLine):
        reading = Reading(number, b"", line.sha256[:DIGEST_SIZE], damaged=line)
        found = f"{line.size} bytes, of which the book keeps both ends and the SHA-256"
        reading.problems = [Problem("size", "a line that one entry can hold", found)]
        return reading
    reading = Reading(number, line, line_digest(line))
    reading.problems = []
    value = _parse(line, reading.problems)
    if not isinstance(value, dict):
        if value is not _NOTHING:
            found = _short(value)
            reading.problems.append(Problem("json", "an object in braces", found))
        return reading
    reading.record = value
    if "hourbook" in value and not reading.problems and _is_whole_copy(reading):
        return reading
    check_record(reading)
    return reading


def line_digest(line: bytes) -> bytes:
    """Return what tells a line from any other, without its line end."""
    return hashlib.sha256(_DOMAIN + line).digest()[:DIGEST_SIZE]


def check_record(reading: Reading) -> None:
    """Note what is wrong with the record of a line, and make of it what an entry can keep."""
    if _check_fields(reading):
        _check_hash(reading)
    if reading.record is not None and "hourbook" in reading.record and reading.copy is None:
        _note_copy(reading)


def has_record(line: bytes) -> bool:
    """Say whether a line looks like one of a journal: an object, or the beginning of one."""
    line = line.strip()
    if line.startswith(b'{"'):
        return True
    problems: list[Problem] = []
    return line.startswith(b"{") and isinstance(_parse(line, problems), dict)


_NOTHING: Final = object()


def _parse(line: bytes, problems: list[Problem]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of a line, or _NOTHING; as lenient as it must be, and saying so."""
    try:
        return _decode_json(line)
    except UnicodeDecodeError:
        problems.append(Problem("encoding", "UTF-8", _first_stray(line)))
        line = line.decode("latin-1").encode()
        try:
            return _decode_json(line)
        except (msgspec.MsgspecError, RecursionError) as again:
            reason: Exception = again
    except (msgspec.MsgspecError, RecursionError) as error:
        reason = error
    try:
        value = json.loads(line.decode(), strict=False)
    except (ValueError, RecursionError):
        problems.append(Problem("json", "one whole JSON object", _describe(line, reason)))
        return _NOTHING
    problems.append(Problem("json", "JSON as RFC 8259 has it", str(reason)[:FOUND_MAX]))
    return value


def _first_stray(line: bytes) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"{line[error.start]:#04x} as byte {error.start + 1}, read as Latin-1"
    return "something else"


def _describe(line: bytes, reason: Exception) -> str:
    if line.strip(b"\0") == b"":
        return f"{len(line)} zero bytes"
    return f"{_short(line.decode('utf-8', 'replace'), 40)}: {str(reason)[:80]}"


def _check_fields(reading: Reading) -> bool:
    """Note fields that are missing or no text; say whether the hash can be computed."""
    record, problems = reading.record, reading.problems
    assert record is not None
    if problems or any(type(value) is not str for value in record.values()):
        # Only what the strict decoder has passed, and is text throughout, needs no look.
        reading.record = record = {
            _clean(key, problems): _storable(value, problems, 0) for key, value in record.items()
        }
    is_whole = True
    for field in FIELDS:
        if field not in record:
            if field == "nonce":  # the first version of those tools had none
                continue
            problems.append(Problem("field", f"`{field}`", "nothing"))
            is_whole = False
        elif not isinstance(record[field], str):
            found = _short(record[field])
            problems.append(Problem("field", f"`{field}` as text", found))
            is_whole = False
    for field in ("action", "entity"):
        size = len(reading.text(field).encode())
        if record.get(field) == "":
            problems.append(Problem("field", f"`{field}` to say something", "empty text"))
        elif size > entry.KEY_BYTES_MAX:
            found = f"{size} bytes"
            problems.append(
                Problem("field", f"`{field}` of at most {entry.KEY_BYTES_MAX} bytes", found)
            )
    timestamp = reading.text("timestamp")
    if timestamp and _TIMESTAMP.fullmatch(timestamp) is None:
        problems.append(Problem("timestamp", "a time as RFC 3339 has it", _short(timestamp)))
    return is_whole


def _check_hash(reading: Reading) -> None:
    text = reading.text
    found = text("sha256").lower()
    try:
        computed = line_hash(
            text("timestamp"),
            text("action"),
            text("entity"),
            text("details"),
            text("parent_hash"),
            text("nonce"),
        )
    except UnicodeEncodeError:
        return  # noted where the text was cleaned
    is_genesis = text("action") == "genesis" and found == _GENESIS_SHA256
    if found == computed or is_genesis:
        return
    shown = found if _HASH.fullmatch(found) else _short(found)
    reading.problems.append(Problem("hash", computed, shown))


def _is_whole_copy(reading: Reading) -> bool:
    """Take a line of an export for the entry that it is a copy of, if all its hashes hold."""
    record = reading.record
    assert record is not None
    if any(type(record.get(field)) is not str for field in FIELDS):
        return False
    names = ("timestamp", "action", "entity", "details", "parent_hash", "nonce")
    try:
        if line_hash(*(record[name] for name in names)) != record["sha256"]:
            return False
        copy = entry_of(record["action"], record["entity"], record["details"], record["hourbook"])
    except ValueError:
        return False
    if copy.details_raw is None or copy.branch:
        return False
    reading.copy, reading.digest = copy, copy.hash[:DIGEST_SIZE]
    return True


def _note_copy(reading: Reading) -> None:
    """Say what keeps a line that claims to be a copy from being one."""
    assert reading.record is not None
    text = reading.text
    try:
        copy = entry_of(text("action"), text("entity"), text("details"), reading.record["hourbook"])
    except ValueError as error:
        found = str(error)[:FOUND_MAX]
        reading.problems.append(Problem("copy", "a whole copy of an entry", found))
        return
    if copy.details_raw is None:
        reading.problems.append(Problem("copy", "an entry with its details", "their hash"))
    elif copy.branch:
        reading.problems.append(Problem("copy", "an entry of main", f"branch {copy.branch}"))


def _storable(value: Any, problems: list[Problem], depth: int) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value as one that an entry can keep."""
    match value:
        case str():
            value = _clean(value, problems)
        case bool() | None:
            pass
        case int() if not _I64_MIN <= value <= _U64_MAX:
            problems.append(Problem("value", "an integer of 64 bits", _short(value)))
            value = str(value)
        case float() if not math.isfinite(value):
            problems.append(Problem("value", "a finite number", str(value)))
        case list() | dict() if depth >= DEPTH_MAX:
            problems.append(Problem("value", f"nesting of at most {DEPTH_MAX}", "more"))
            value = None
        case list():
            value = [_storable(item, problems, depth + 1) for item in value]
        case dict():
            value = {
                _clean(key, problems): _storable(item, problems, depth + 1)
                for key, item in value.items()
            }
    return value


def _clean(text: str, problems: list[Problem]) -> str:
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    problems.append(Problem("encoding", "text that UTF-8 can carry", "a lone surrogate"))
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _short(value: object, size_max: int = FOUND_MAX) -> str:
    return wire.printable(value, size_max)
