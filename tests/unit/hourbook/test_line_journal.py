"""Lines of an export, and what is found in the lines of others."""

import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from books import STAMP, append, open_writer, write_book
from hypothesis import given, settings
from hypothesis import strategies as st
from line_journals import Journal, check_lines, record_hash

from hourbook.book.lines import source as line_source
from hourbook.book.lines.entry import digest_of, kept_line, to_entry
from hourbook.book.lines.export import export_book, export_to_file
from hourbook.book.lines.journal import FIRST_PARENT, entry_of, export_line
from hourbook.book.lines.reading import DamagedLine, read_line
from hourbook.book.lines.source import LineSource
from hourbook.book.moment import parse_moment
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import entry, errors

GOOD: dict[str, Any] = {
    "timestamp": "2025-12-23T18:36:52.347Z",
    "action": "deployed",
    "entity": "api",
    "details": "on 8080",
    "sha256": "",
    "parent_hash": FIRST_PARENT,
    "nonce": "83456-2847561923",
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def an_entry(details: object = None, **changed: Any) -> entry.Entry:
    """Return an entry that hashes to its hash."""
    fields: dict[str, Any] = {
        "seq": 7,
        "time_ns": 1_800_000_000_123_456_789,
        "bound_ns": -1,
        "hlc": 1_800_000_000_123_404_288,
        "branch": 0,
        "writer": "agent",
        "session": "s",
        "nonce": bytes(15) + b"\x01",
        "kind": "log",
        "action": "deployed",
        "entity": "api",
        "tags": ("prod", "eu"),
        "salt": bytes(range(16)),
        "details_raw": entry.encode_value(details, "details"),
        "details_hash": None,
        "parent_hash": entry.GENESIS_HASH,
        **changed,
    }
    unhashed = entry.Entry(**fields, hash=b"")
    return entry.Entry(**fields, hash=entry.entry_hash(entry.canonical_bytes(unhashed)))


def line_of(changed: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """Return a good line with some fields replaced after it was hashed."""
    record = {**GOOD, **fields}
    record["sha256"] = record_hash(record)
    return json.dumps(record | (changed or {}), separators=(",", ":")).encode()


def problems_of(line: bytes) -> dict[str, str]:
    """Return what is found wrong with one line: kind and what was found."""
    return {problem.what: problem.found for problem in read_line(1, line).problems}


def test_exported_book_follows_the_rule_of_the_format(home: Home) -> None:
    """Every line is hashed and chained as the format says, computed here anew."""
    write_book(home, [3, 500, 1])
    out = io.BytesIO()

    with BookReader(home) as reader:
        report = export_book(reader, out)
        entries = list(reader.since(0))

    records = check_lines(out.getvalue().splitlines())
    assert [(r["action"], r["entity"]) for r in records] == [(e.action, e.entity) for e in entries]
    assert [r["hourbook"]["hash"] for r in records] == [e.hash.hex() for e in entries]
    assert (report.entries, report.sha256) == (504, records[-1]["sha256"])
    assert report.size_bytes == len(out.getvalue())


@given(details=VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_comes_back_from_its_line(details: object) -> None:
    """Whatever MessagePack carries, a line carries, and its hash proves it."""
    original = an_entry(details)

    line, sha256 = export_line(original, FIRST_PARENT)

    record = json.loads(line)
    assert record["sha256"] == sha256 == record_hash(record)
    back = entry_of(record["action"], record["entity"], record["details"], record["hourbook"])
    assert back == original


@pytest.mark.parametrize(
    ("details", "text", "stands_for"),
    [
        ("on 8080", "on 8080", "text"),
        ("", "", "text"),
        (None, "", "packed"),
        ({"port": 8080}, '{"port":8080}', "json"),
        (b"\xff", '{"base64":"/w=="}', "packed"),
        (1 << 60, '"1152921504606846976"', "packed"),
    ],
)
def test_details_are_shown_as_text(details: object, text: str, stands_for: str) -> None:
    """What is text stays text; anything else is JSON to look at, and exact beside it if need be."""
    record = json.loads(export_line(an_entry(details), FIRST_PARENT)[0])

    found = record["hourbook"].get("details_as", "text")
    assert (record["details"], found) == (text, stands_for)


def test_dropped_details_are_said_to_be_gone() -> None:
    """The line still proves its entry, and an import will not take it for one without details."""
    gone = an_entry(details_raw=None, salt=None, details_hash=bytes(32))
    line, _ = export_line(gone, FIRST_PARENT)

    record = json.loads(line)

    assert entry_of("deployed", "api", "", record["hourbook"]) == gone
    assert problems_of(line) == {"copy": "their hash"}


@pytest.mark.parametrize("field", ["action", "entity", "details", "hourbook"])
def test_forged_copy_is_found(field: str) -> None:
    """Nothing of an exported entry can be changed, also not together with the line's own hash."""
    record = json.loads(export_line(an_entry("text"), FIRST_PARENT)[0])
    if field == "hourbook":
        record["hourbook"]["tags"] = ["forged"]
    else:
        record[field] = "forged"
    record["sha256"] = record_hash(record)

    reading = read_line(1, json.dumps(record).encode())

    assert reading.copy is None
    assert [problem.what for problem in reading.problems] == ["copy"]


def test_copy_that_no_book_could_hold_is_kept_as_a_record() -> None:
    """Its hashes hold, but its action is too long: somebody made it up."""
    line, _ = export_line(an_entry("text", action="x" * 2000), FIRST_PARENT)
    line = line[:-1] + b',"more":123456789012345678901234567890}'

    reading = read_line(1, line)
    new = to_entry(reading, "f")

    assert new.kind == "import.record"
    assert {problem.what for problem in reading.problems} == {"field", "value", "copy"}
    details = entry.decode_value(bytes(new.details), "details")
    assert (len(new.action), details["raw"]) == (1024, line)


def test_export_keeps_to_its_bounds(home: Home) -> None:
    """A seq is exclusive before and inclusive after, a time inclusive on both sides."""
    writer = open_writer(home)
    for number in range(1, 6):
        stamp = STAMP._replace(time_ns=number * 1_000_000_000)
        writer.commit([append(number * 10, 2)], stamp)
    writer.close()

    def seqs(since: str | None, until: str | None) -> list[int]:
        out = io.BytesIO()
        first = parse_moment(since, "since") if since else None
        last = parse_moment(until, "until") if until else None
        with BookReader(home) as reader:
            export_book(reader, out, since=first, until=last)
        return [r["hourbook"]["seq"] for r in check_lines(out.getvalue().splitlines())]

    assert seqs(None, None) == list(range(1, 11))
    assert seqs("3", "6") == [4, 5, 6]
    assert seqs("1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z") == [3, 4, 5, 6]
    assert seqs("10", None) == seqs(None, "1960-01-01T00:00:00Z") == []
    with pytest.raises(errors.BadRequest):
        parse_moment("yesterday", "since")


def test_exported_file_is_private_and_overwrites_nothing(home: Home, tmp_path: Path) -> None:
    """It gets its name when it is whole; one that exists is left alone unless told."""
    write_book(home, [3])
    target = tmp_path / "out.jsonl"
    with BookReader(home) as reader:
        report = export_to_file(reader, target)
        before = target.read_bytes()
        with pytest.raises(errors.AlreadyPresent):
            export_to_file(reader, target)
        export_to_file(reader, target, replace=True)

    assert report.entries == 3
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_exported_file_is_synced_before_it_gets_its_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves the whole file under its name, or none."""
    write_book(home, [3])
    target = tmp_path / "out.jsonl"
    seen: list[tuple[int, bool]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        seen.append((os.fstat(descriptor).st_size, target.exists()))

    monkeypatch.setattr(os, "fsync", note)
    with BookReader(home) as reader:
        export_to_file(reader, target)

    assert seen[0] == (target.stat().st_size, False)
    assert seen[-1][1]  # and then its directory


def test_export_leaves_entries_of_branches_out(home: Home) -> None:
    """The form has no place to say that they are of one; the lines about them still chain."""
    writer = open_writer(home)
    groups = [append(1), msgspec.structs.replace(append(2), branch=1), append(3)]
    writer.commit(groups, STAMP)
    writer.close()
    out = io.BytesIO()

    with BookReader(home) as reader:
        report = export_book(reader, out)

    assert report.entries == 2
    lines = check_lines(out.getvalue().splitlines())
    assert [line["hourbook"]["seq"] for line in lines] == [1, 3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (line_of(), {}),
        (line_of(nonce=""), {}),
        (line_of(timestamp="2025-12-23T18:36:52.3NZ"), {"timestamp": "2025-12-23T18:36:52.3NZ"}),
        (line_of({"details": "forged"}), {"hash": record_hash(GOOD)}),
        (line_of({"entity": 7}), {"field": "7"}),
        (line_of(action=""), {"field": "empty text"}),
        (line_of(action="x" * 1025), {"field": "1025 bytes"}),
        (b"[1, 2]", {"json": "[1, 2]"}),
        (b'"text"', {"json": "text"}),
        (bytes(4096), {"json": "4096 zero bytes"}),
        (b'{"timestamp":"2025-12', {"json": None}),
        (line_of() + line_of(), {"json": None}),
        (b'{"a":"\xe9"}', {"encoding": "0xe9 as byte 7, read as Latin-1"}),
        (b'{"a":"\\ud800"}', {"encoding": "a lone surrogate"}),
        (b'{"a":NaN}', {"value": "nan"}),
        (b'{"a":18446744073709551616}', {"value": "18446744073709551616"}),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", {"value": "more"}),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {"json": None}),
        (b'{"a":"\t"}', {"json": None}),
    ],
)  # fmt: skip
def test_departures_are_found(line: bytes, expected: dict[str, str | None]) -> None:
    """Each is named, with what was found."""
    found = problems_of(line)

    assert {what: found.get(what) if text else None for what, text in expected.items()} == expected
    assert expected.keys() <= found.keys()
    assert found.keys() - expected.keys() <= ({"field", "json"} if expected else set())


def test_first_version_and_genesis_are_known() -> None:
    """Lines without a nonce, and the first line of those tools, are as they should be."""
    first = {k: v for k, v in GOOD.items() if k != "nonce"}
    genesis = first | {"action": "genesis", "sha256": record_hash({"timestamp": "genesis"})}
    first["sha256"] = record_hash(first)

    assert problems_of(json.dumps(first).encode()) == {}
    assert problems_of(json.dumps(genesis).encode()) == {}


def entry_of_line(line: bytes) -> entry.Entry:
    """Return what a line becomes, as a book has it."""
    new = to_entry(read_line(1, line), "file.jsonl")
    fields = {"action": new.action, "entity": new.entity, "tags": new.tags, "kind": new.kind}
    return an_entry(**fields, details_raw=bytes(new.details))


RECORDS = st.dictionaries(st.sampled_from(sorted({*GOOD, "extra", "raw"})), VALUES | st.text())


@given(
    line=st.binary(max_size=200)
    | st.text(max_size=100).map(str.encode)
    | RECORDS.map(lambda record: json.dumps(record, default=str).encode())
    | RECORDS.map(lambda record: json.dumps(record, default=str, separators=(",", ":")).encode())
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_become_an_entry_that_gives_them_back(line: bytes) -> None:
    """Whatever stands in a line is kept, and nothing of it makes us fail."""
    kept = entry_of_line(line)

    assert kept_line(kept) == line
    assert digest_of(kept) == read_line(1, line).digest


def test_line_of_a_record_can_be_had_back_from_its_entry() -> None:
    """A line that is as those tools write it is kept as values; any other with its bytes."""
    record = json.loads(line_of())
    spaced = json.dumps(record).encode()
    turned = json.dumps(dict(reversed(record.items())), separators=(",", ":")).encode()

    exact = entry_of_line(line_of()).details

    assert "raw" not in exact
    assert {name: exact[name] for name in ("timestamp", "nonce", "parent_hash", "details")} == {
        name: GOOD[name] for name in ("timestamp", "nonce", "parent_hash", "details")
    }
    assert entry_of_line(spaced).details["raw"] == spaced
    assert entry_of_line(turned).details["raw"] == turned


@pytest.mark.parametrize("details", [None, 7, {}, {"raw": 1}, {"extra": 1}, {1: 2}])
def test_entry_that_no_import_wrote_keeps_no_line(details: object) -> None:
    """Its kind says that it is a record, and what it says is none, or another."""
    kept = an_entry(details, kind="import.record")

    assert kept_line(kept) in (None, b'{"action":"deployed","entity":"api"}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    """With a byte order mark or without, the lines are the same."""
    journal = Journal()
    journal.add("noted", "\N{GRINNING FACE}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    journal.add("noted", "again")
    path = tmp_path / "journal"
    path.write_bytes(journal.text().decode().encode(encoding))

    with LineSource(path) as source:
        lines = list(source.lines())

    assert lines == journal.lines


def test_long_line_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two ends, its size and its hash stand for it, and the lines about it are whole."""
    monkeypatch.setattr(line_source, "LINE_BYTES_MAX", 1 << 20)
    path = tmp_path / "journal"
    path.write_bytes(line_of() + b"\r\n{" + b"x" * (5 << 20) + b"}\n" + line_of())

    with LineSource(path) as source:
        first, long, last = source.lines()

    assert first == last == line_of()
    assert isinstance(long, DamagedLine)
    assert (long.size, long.head[:2], long.tail[-2:]) == ((5 << 20) + 2, b"{x", b"x}")
    assert [p.what for p in read_line(2, long).problems] == ["size"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b" + bytes(100), "packed with gzip"),
        (bytes(range(256)) * 100, "no such line"),
        (b"# A title\n\nSome prose.\n", "no such line"),
    ],
)
def test_files_that_are_no_journal_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """Before anything of them is kept for ever."""
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(errors.BadRequest, match=message):
        LineSource(path)


def test_empty_file_has_no_lines(tmp_path: Path) -> None:
    """That is no error."""
    path = tmp_path / "file"
    path.write_bytes(b"")

    with LineSource(path) as source:
        assert list(source.lines()) == []
