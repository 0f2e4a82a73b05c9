"""Verdicts, heads and keys as people read them."""

import pytest

from hourbook.book.proof.verify import Verdict
from hourbook.cli.proof_text import head_lines, key_lines, verdict_lines


def make_verdict(finding: str = "", witnesses: int = 0) -> Verdict:
    """Return a verdict on three entries."""
    return Verdict(
        ok=not finding,
        entries=3,
        commits=2,
        first_bad_seq=2 if finding else None,
        problem="its hash\nis" if finding else "",
        seconds=0.01,
        finding=finding,
        witnesses=witnesses,
    )


def test_good_verdict_is_one_line() -> None:
    """It says how much was checked, and against what."""
    checked = "ok       3 entries in 2 commits, 0 signatures, 0.01 s"

    assert verdict_lines(make_verdict()) == [checked]
    assert verdict_lines(make_verdict(witnesses=1)) == [f"{checked}, compared with 1 witness"]


@pytest.mark.parametrize(
    ("finding", "advice"),
    [
        ("damaged", "A corrupted book"),
        ("truncated", "was cut off"),
        ("rewritten", "not the one that was"),
        ("other_book", "a head of this book"),
        ("forged_witness", "The file proves nothing"),
    ],
)
def test_bad_verdict_names_the_first_bad_entry_and_what_it_means(finding: str, advice: str) -> None:
    """Whoever verifies learns where, what, how much was checked, and what to think of it."""
    lines = verdict_lines(make_verdict(finding))

    assert lines[0] == r"WRONG    entry 2: its hash\nis"
    assert lines[1] == "checked  3 entries in 2 commits, 0 signatures, 0.01 s"
    assert advice in lines[2]


def test_details_that_went_for_an_unknown_reason_are_noted() -> None:
    """A restore to an earlier state is no fault, and not passed over either."""
    verdict = Verdict(True, 3, 2, None, "", 0.01, unexplained=1)  # noqa: FBT003

    assert verdict_lines(verdict)[1] == (
        "note     1 entry has lost details for a reason that a restore cut off"
    )


def test_verdict_on_the_archive_names_no_entry() -> None:
    """The chain holds; what is wrong lies beside it."""
    verdict = Verdict(False, 3, 2, None, "it is cut short", 0.01, "archive")  # noqa: FBT003

    assert verdict_lines(verdict)[0] == "WRONG    it is cut short"


def test_head_lines_say_that_a_book_is_empty() -> None:
    """An empty book has no head to print."""
    assert head_lines({"hash": None}) == ["the book is empty"]


def test_key_lines_show_which_commits_each_key_signed() -> None:
    """The last key is in use; where it is not here, that is said."""
    old = {"key": "aa", "since_commit": 1, "since_seq": 1, "until_commit": 40}
    new = {"key": "bb", "since_commit": 41, "since_seq": 90, "until_commit": None}

    assert key_lines({"keys": [old, new], "problem": "Expected the key"}) == [
        "aa  commits 1..40",
        "bb  in use, since commit 41 (seq 90)",
        "CANNOT SIGN: Expected the key",
    ]
    assert key_lines({"keys": [], "problem": ""}) == ["nothing was signed yet"]
