"""Journals through a real writer: each line once, whatever happens, and back out again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from book_actors import ActorProcess, running_writer
from full_tree import FullTree
from line_journals import FIRST_PARENT, Journal, check_lines
from waiting import wait_until

from hourbook.book.lines import importing
from hourbook.book.lines.chain import LineChain
from hourbook.book.lines.entry import to_entry
from hourbook.book.lines.importing import ImportReport, import_file
from hourbook.book.lines.reading import read_line
from hourbook.book.lines.slots import Batch, ImportSender, Slots
from hourbook.book.reader import BookReader
from hourbook.faces.book import connect
from hourbook.home import Home, prepare_home
from hourbook.link.reply import Reply
from protocols import errors
from protocols.entry import Entry

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
KILLED_AFTER = """
import os, signal, sys
from pathlib import Path
from hourbook.book.lines import importing
from hourbook.home import find_home

importing.BATCH_LINES = 50
batches = 0
def progress(done, total):
    global batches
    batches += 1
    if batches == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
importing.import_file(find_home(sys.argv[1]), Path(sys.argv[2]), progress=progress)
"""


def a_journal(count: int) -> Journal:
    """Return a journal of `count` good records."""
    journal = Journal()
    for number in range(count):
        journal.add("deployed", f"api.{number}", f"on port {number}")
    return journal


def written(home: Home, kind: str = "import.") -> list[Entry]:
    """Return the entries that imports have written, without those that say where they came from."""
    with BookReader(home) as reader:
        assert reader.verify(all_signatures=True).ok
        found = [e for e in reader.since(0) if e.writer == "import"]
    return [e for e in found if e.kind != "import.origin" and e.kind.startswith(kind)]


def add_up(report: ImportReport) -> bool:
    """Say whether every line was counted once."""
    parts = (report.imported, report.flawed, report.damaged, report.duplicates, report.blank)
    return report.lines == sum(parts)


def test_journal_comes_in_once_and_as_data(writer: ActorProcess, tmp_path: Path) -> None:
    """Records keep their own times, nonces and hashes; a second run imports nothing."""
    journal = a_journal(1500)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(journal.text())

    first = import_file(writer.home, path)
    with BookReader(writer.home) as reader:
        head = reader.head_seq()
    told: list[tuple[int, int]] = []
    second = import_file(writer.home, path, progress=lambda *reached: told.append(reached))

    assert (first.lines, first.imported, first.problems) == (1500, 1500, {})
    assert (second.imported, second.duplicates) == (0, 1500)
    assert told  # also where nothing is new
    with BookReader(writer.home) as reader:
        assert reader.head_seq() == head
    entries = written(writer.home)
    record = json.loads(journal.lines[7])
    assert [e.entity for e in entries] == [f"api.{n}" for n in range(1500)]
    assert (entries[7].action, entries[7].kind) == ("deployed", "import.record")
    kept = {k: entries[7].details[k] for k in ("details", "timestamp", "sha256", "nonce")}
    assert kept == {k: record[k] for k in kept}
    assert entries[7].details["line"] == 8


def test_journal_that_grew_or_was_cut_brings_only_what_is_new(
    writer: ActorProcess, tmp_path: Path
) -> None:
    """A line is known by what it says, wherever it stands and whatever the file is called."""
    journal = a_journal(30)
    path, renamed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_bytes(journal.text())
    import_file(writer.home, path)
    journal.add("created", "more")
    renamed.write_bytes(b"".join(line + b"\n" for line in journal.lines[20:]))

    dry = import_file(writer.home, renamed, dry_run=True)
    report = import_file(writer.home, renamed)

    assert (report.imported + report.flawed, report.duplicates) == (1, 10)
    assert (dry.lines, dry.imported, dry.duplicates) == (11, report.imported, 10)
    assert len(written(writer.home)) == 31


def test_lines_whose_origin_was_redacted_are_known_by_their_entries(
    writer: ActorProcess, tmp_path: Path
) -> None:
    """Only a line whose own entry was redacted too comes in again."""
    journal = a_journal(30)
    journal.lines += [b'{"torn', b'{"action":"turned","timestamp":""}']
    path = tmp_path / "journal.jsonl"
    path.write_bytes(journal.text())
    import_file(writer.home, path)
    with connect("operator", writer.home) as book:
        origin, first, *_ = book.tail(34)  # the operator came last
        book.redact(first.seq, "a secret in it")
        kept = import_file(writer.home, path)
        book.redact(origin.seq, "its digest could be guessed at")

    report = import_file(writer.home, path)

    assert (origin.kind, first.entity) == ("import.origin", "api.0")
    assert (kept.imported, kept.duplicates) == (0, 32)
    assert (report.imported, report.duplicates) == (1, 31)
    assert add_up(report)


def test_everything_wrong_is_reported_and_kept(writer: ActorProcess, tmp_path: Path) -> None:
    """Forks, torn lines, nonces used twice, wrong hashes, bytes of no encoding, zeros, repeats."""
    journal = Journal()
    one = journal.add("created", "one")
    journal.add("created", "two")
    journal.add("created", "fork", parent_hash=one["sha256"])
    journal.add("created", "orphan", parent_hash="ab" * 32)
    journal.add("created", "nonce", nonce=one["nonce"])
    journal.add("created", "hash", sha256="cd" * 32)
    journal.add("created", "begin", parent_hash=FIRST_PARENT)
    journal.lines += [
        journal.lines[0],
        b"",
        bytes(512),
        b'{"timestamp":"2025-12-23T18:36:52.347Z","act',
        journal.lines[1].replace(b"two", b"tw\xf6"),
        b'{"action":"noted","entity":"x","big":123456789012345678901234567890,"nan":NaN}',
    ]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(journal.text())

    report = import_file(writer.home, path)

    assert add_up(report)
    counts = (report.lines, report.imported, report.duplicates, report.blank, report.damaged)
    assert counts == (13, 2, 1, 1, 2)
    found = {(p.line, p.what) for p in report.reported}
    assert found >= {
        (3, "fork"), (4, "parent"), (5, "nonce"), (6, "hash"), (7, "parent"), (8, "repeated"),
        (10, "json"), (11, "json"), (12, "encoding"), (12, "hash"), (13, "value"), (13, "field"),
    }  # fmt: skip
    by_line = {e.details["line"]: e for e in written(writer.home)}
    assert by_line.keys() == {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13}
    assert by_line[11].details["raw"] == journal.lines[10]
    assert by_line[12].details["raw"] == journal.lines[11]
    assert by_line[6].details["problems"][0]["found"] == "cd" * 32
    assert {n for n, e in by_line.items() if e.kind == "import.damaged"} == {10, 11}


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 8])
def test_killed_import_is_taken_up_where_it_ended(
    writer: ActorProcess, tmp_path: Path, after: int
) -> None:
    """Killed with batches under way, then run again at once: each line is there once."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(a_journal(500).text())

    died = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER, str(writer.home.path), str(path), str(after)],
        capture_output=True,
        check=False,
        timeout=30,
        cwd=ROOT,
    )
    report = import_file(writer.home, path)

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert add_up(report)
    assert [e.entity for e in written(writer.home)] == [f"api.{n}" for n in range(500)]


def all_left(sender: ImportSender, replies: list[Reply]) -> bool:
    """Say whether all is on its way, once there is a connection for it."""
    sender._client.hasten()
    return all(reply.was_sent for reply in replies)


@pytest.mark.parametrize(("theirs", "ours"), [(400, 70), (30, 1000), (100, 100)])
def test_batches_of_a_killed_run_that_come_late_are_not_doubled(
    writer: ActorProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theirs: int,
    ours: int,
) -> None:
    """Three of them come in after the next run has read what the book has."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(a_journal(1500).text())
    remember = LineChain.remember
    late: list[ImportSender] = []

    def remember_and_be_overtaken(chain: LineChain, digests: Iterator[bytes]) -> None:
        remember(chain, digests)
        sender = ImportSender(writer.home, Slots(None), "journal.jsonl")
        replies: list[Reply] = []
        for slot in range(3):
            numbers = range(slot * theirs, (slot + 1) * theirs)
            lines = path.read_bytes().splitlines()
            readings = [read_line(n + 1, lines[n]) for n in numbers]
            batch = Batch(readings, [to_entry(r, "journal.jsonl") for r in readings])
            replies.append(sender._send(batch, slot))
        wait_until(lambda: all_left(sender, replies), 10, "what the killed run had sent")
        late.append(sender)

    monkeypatch.setattr(importing, "BATCH_LINES", ours)
    monkeypatch.setattr(LineChain, "remember", remember_and_be_overtaken)
    report = import_file(writer.home, path)
    for sender in late:
        sender._client.close()

    assert add_up(report)
    assert sorted(e.details["line"] for e in written(writer.home)) == list(range(1, 1501))


def test_writer_killed_meanwhile_loses_and_doubles_nothing(
    writer: ActorProcess, tmp_path: Path
) -> None:
    """The batches under way are sent again to its successor."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(a_journal(6000).text())
    is_killed = False

    def kill_once(_: int, __: int) -> None:
        nonlocal is_killed
        if not is_killed:
            is_killed = True
            writer.kill()
            writer.start()

    report = import_file(writer.home, path, progress=kill_once)

    assert (report.imported, is_killed) == (6000, True)
    assert sorted(e.details["line"] for e in written(writer.home)) == list(range(1, 6001))


def test_full_disk_stops_an_import_that_goes_on_later(home: Home, tmp_path: Path) -> None:
    """It says how far it came, and once there is room each line comes in once."""
    path = tmp_path / "journal.jsonl"
    journal = Journal()
    for number in range(3000):
        journal.add("noted", f"n.{number}", "x" * 400)
    path.write_bytes(journal.text())

    with running_writer(home, size_max_mib=2):
        with pytest.raises(errors.DiskFull) as caught:
            import_file(home, path)
        before = len(written(home))
    with running_writer(home):
        report = import_file(home, path)

    assert f"imported up to line {before};" in str(caught.value)
    assert 0 < before < 3000
    assert (report.imported, report.duplicates) == (3000 - before, before)
    assert [e.entity for e in written(home)] == [f"n.{n}" for n in range(3000)]


def test_two_imports_at_once_are_refused(writer: ActorProcess, tmp_path: Path) -> None:
    """Neither would see what the other writes."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(a_journal(10).text())
    refusals: list[errors.HourbookError] = []

    def again(_: int, __: int) -> None:
        with pytest.raises(errors.AlreadyRunning) as caught:
            import_file(writer.home, path)
        refusals.append(caught.value)

    import_file(writer.home, path, progress=again)

    assert len(refusals) == 1
    assert len(written(writer.home)) == 10


def test_export_comes_back_in_another_home(
    writer: ActorProcess, other: Home, tmp_path: Path
) -> None:
    """Action, entity, details and tags are as they were; into its own book nothing comes."""
    values: list[Any] = [
        None,
        "",
        "text",
        {"n": [1, None, 2.5]},
        b"\0\xff",
        1 << 63,
        "\0\n\N{OGHAM SPACE MARK}",
    ]
    with connect("agent", writer.home) as book:
        book.log_many(
            [
                {"action": "did", "entity": f"e{n}", "details": value, "tags": ["t", f"{n}"]}
                for n, value in enumerate(values)
            ]
        )
        book.log("noted", "x", kind="note.own")
        book.log("large", "x", "y" * (2 << 20))
    out = tmp_path / "out.jsonl"
    from full_tree import run_hourbook  # noqa: PLC0415 - only here

    result = run_hourbook("export", "--out", str(out), "--json", home=writer.home.path)
    back = import_file(writer.home, out)
    prepare_home(other)
    with running_writer(other):
        report = import_file(other, out)
        again = import_file(other, out)

    assert result.returncode == 0, result.stderr
    assert len(check_lines(out.read_bytes().splitlines())) == report.lines
    assert (back.imported, back.duplicates) == (0, back.lines)
    assert (report.imported, again.imported) == (report.lines, 0)
    with BookReader(writer.home) as reader:
        originals = list(reader.since(0))
    copies = written(other, "")
    fields = [
        [(e.action, e.entity, e.details_raw, e.tags) for e in es] for es in (originals, copies)
    ]
    assert fields[0] == fields[1]
    with BookReader(other) as reader:
        origin = next(e for e in reader.since(0) if e.kind == "import.origin").details["originals"]
    assert [o[5] for o in origin][:3] == [e.hash for e in originals][:3]


def test_commands_export_and_import(tmp_path: Path) -> None:
    """The commands on a tree: counts, exit codes, one line for what cannot be imported."""
    journal = a_journal(3)
    journal.lines.append(b'{"torn')
    good, garbage, empty, long = (tmp_path / name for name in ("good", "garbage", "empty", "long"))
    good.write_bytes(journal.text())
    garbage.write_bytes(os.urandom(50_000).replace(b'{"', b"  "))
    empty.write_bytes(b"")
    long.write_bytes(journal.lines[0].replace(b"api.0", b"x" * (17 << 20)) + b"\n{}\n")
    os.mkfifo(tmp_path / "fifo")
    with FullTree(tmp_path / "home") as tree:
        imported = tree.hourbook_json("import", str(good))
        lines = tree.hourbook("export", "--since", "0")
        text = tree.hourbook("import", str(good), "--dry-run")
        nothing = tree.hourbook_json("import", str(empty))
        cut = tree.hourbook("import", str(long), "--json")
        refused = {
            str(path): tree.hourbook("import", str(path))
            for path in (garbage, tmp_path, tmp_path / "fifo", tmp_path / "missing")
        }

    assert (imported["lines"], imported["imported"], imported["damaged"]) == (4, 3, 1)
    assert imported["reported"][0]["line"] == 4
    assert "DRY RUN" in text.stdout
    assert nothing["lines"] == 0
    assert (
        cut.returncode == 1
    )  # a line that no entry can hold; its ends are kept, and the next line
    assert {n: json.loads(cut.stdout)[n] for n in ("lines", "damaged", "truncated", "flawed")} == {
        "lines": 2,
        "damaged": 1,
        "truncated": 1,
        "flawed": 1,
    }
    assert {e["action"] for e in check_lines(lines.stdout.encode().splitlines())} >= {
        "deployed",
        "damaged",
    }
    assert {r.returncode for r in refused.values()} == {2}
    assert {r.stderr.count("\n") for r in refused.values()} == {1}
