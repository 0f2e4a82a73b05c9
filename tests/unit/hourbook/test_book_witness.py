"""Heads kept elsewhere show what was cut off, rewritten or replaced, where the book cannot."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from books import STAMP, append, open_writer, raw_connection, write_book

from hourbook.book.proof.keys import SiteKey
from hourbook.book.proof.verify import Verdict
from hourbook.book.proof.witness import load_witnesses, witness_json
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import errors


def head_of(home: Home) -> dict[str, Any]:
    """Return the head of a book as `hourbook head --json` prints it."""
    with BookReader(home) as reader:
        document = reader.query(witness_json)
    assert document is not None
    return document


def verify(home: Home, *heads: dict[str, Any], from_commit: int = 1) -> Verdict:
    """Verify a book against heads, as a file of them says."""
    path = home.path / "heads.jsonl"
    path.write_text("".join(json.dumps(head) + "\n" for head in heads))
    with BookReader(home) as reader:
        return reader.verify(from_commit=from_commit, witnesses=load_witnesses(path))


def write_more(home: Home, *groups: int, begin: int = 1) -> None:
    """Write further commits, with nonces that begin at `begin`."""
    writer = open_writer(home)
    for count in groups:
        writer.commit([append(begin, count, incarnation=8)], STAMP)
        begin += count
    writer.close()


def cut_off(home: Home, commits_kept: int) -> None:
    """Remove the last commits and their entries, as somebody with the file could."""
    connection = raw_connection(home.book_db)
    connection.execute("DELETE FROM signed_commit WHERE commit_no > ?", (commits_kept,))
    connection.execute(
        "DELETE FROM entry WHERE seq > (SELECT coalesce(max(last_seq), 0) FROM signed_commit)"
    )
    connection.close()


def test_book_that_grew_since_holds_its_witnesses(home: Home) -> None:
    """However many heads were kept, in any order, and from whichever commit one verifies."""
    heads = []
    write_book(home, [2])
    for begin in range(1, 30, 3):
        heads.append(head_of(home))
        write_more(home, 1, 2, begin=begin)

    verdict = verify(home, *reversed(heads))

    assert (verdict.ok, verdict.finding, verdict.witnesses) == (True, "", 10)
    assert verify(home, *heads, from_commit=7).ok


def test_cut_off_end_is_found(home: Home) -> None:
    """The book holds together, and ends before a witness says it did."""
    write_book(home, [2, 3, 1])
    head = head_of(home)
    cut_off(home, 2)

    verdict = verify(home, head)

    with BookReader(home) as reader:
        assert reader.verify(all_signatures=True).ok
    assert (verdict.ok, verdict.finding, verdict.first_bad_seq) == (False, "truncated", 6)
    assert verdict.problem == (
        "the end is cut off: the book ends with commit 2 (seq 5),"
        " and a witness saw commit 3 (seq 6..6)"
    )


def test_emptied_book_is_found(home: Home) -> None:
    """Nothing is left, and nothing of it was wrong."""
    write_book(home, [2])
    head = head_of(home)
    cut_off(home, 0)

    verdict = verify(home, head)

    assert (verdict.finding, verdict.first_bad_seq) == ("truncated", 1)
    assert "the book is empty" in verdict.problem


def test_end_that_was_cut_off_and_written_anew_is_found(home: Home) -> None:
    """Somebody with the key wrote another history; it begins after the last agreeing witness."""
    write_book(home, [2, 2])
    earlier = head_of(home)
    write_more(home, 1, 3, begin=1)
    later = head_of(home)
    cut_off(home, 3)
    write_more(home, 2, 2, begin=50)

    verdict = verify(home, earlier, later)

    assert (verdict.ok, verdict.finding, verdict.first_bad_seq) == (False, "rewritten", 5)
    assert verdict.problem == (
        "history was rewritten after seq 4: a witness saw another commit 4 (seq 6..8)"
    )


@pytest.mark.parametrize("key", ["the same", "another"])
def test_other_book_is_found(home: Home, key: str) -> None:
    """A book that was begun anew, under whichever key, is not the one that was witnessed."""
    write_book(home, [2, 3])
    head = head_of(home)
    home.book_db.unlink()
    if key == "another":
        shutil.rmtree(home.keys_dir)
    write_book(home, [2, 3])

    verdict = verify(home, head)

    assert (verdict.finding, verdict.first_bad_seq) == ("other_book", 1)
    assert verdict.problem.endswith(f"under {key} key")


def test_forged_witness_is_not_believed(home: Home) -> None:
    """A head that was edited does not carry the signature of its key."""
    write_book(home, [2, 3])

    verdict = verify(home, head_of(home) | {"commit": 9, "seq": 99})

    assert (verdict.finding, verdict.first_bad_seq) == ("forged_witness", 3)


def test_damage_is_named_before_any_witness(home: Home) -> None:
    """A book that does not hold together needs no witness."""
    write_book(home, [2, 3])
    head = head_of(home)
    connection = raw_connection(home.book_db)
    connection.execute("UPDATE entry SET action = 'x' WHERE seq = 2")
    connection.close()

    verdict = verify(home, head)

    assert (verdict.finding, verdict.first_bad_seq, verdict.witnesses) == ("damaged", 2, 0)


def test_commit_that_is_not_there_to_begin_with_is_a_cut_off_end(home: Home) -> None:
    """Whoever goes on verifying where he stopped learns that this is no longer there."""
    write_book(home, [2, 3])

    with BookReader(home) as reader:
        at_the_end = reader.verify(from_commit=3)
        beyond = reader.verify(from_commit=4)

    assert (at_the_end.ok, at_the_end.entries) == (True, 0)
    assert (beyond.finding, beyond.first_bad_seq) == ("truncated", 6)
    assert beyond.problem == "there is no commit 3: the book ends with 2"


def test_witness_outlives_a_change_of_keys(home: Home) -> None:
    """It carries the key of its time."""
    write_book(home, [1])
    head = head_of(home)
    other = SiteKey.create(home.path / "other")

    assert verify(home, head).ok
    assert verify(home, head | {"key": other.public.hex()}).finding == "forged_witness"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"{", "heads:1"),
        (b"\xff\n", "heads:1"),
        (b'{"seq": 1}', "heads:1"),
        (b"[]", "heads:1"),
    ],
)
def test_file_that_holds_no_heads_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """The error names the line."""
    (tmp_path / "heads").write_bytes(content)

    with pytest.raises(errors.BadRequest, match=problem) as caught:
        load_witnesses(tmp_path / "heads")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("commit", 0), ("commit", 1 << 70), ("seq", "7"), ("hash", "xyz"), ("hlc", "-1"), ("key", "")],
)
def test_head_with_an_impossible_field_is_refused(home: Home, field: str, value: object) -> None:
    """Every field is checked before anything is compared."""
    write_book(home, [1])

    with pytest.raises(errors.BadRequest, match=field):
        verify(home, head_of(home) | {field: value})


def test_file_of_heads_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """One line names it."""
    with pytest.raises(errors.BadRequest, match=r"No such file.*heads"):
        load_witnesses(tmp_path / "heads")
