"""Verdicts, heads and keys as lines for people. Pure."""

from collections.abc import Mapping
from typing import Any

from hourbook.book.proof.verify import Verdict
from hourbook.words import counted, visible

__all__ = ["head_lines", "key_lines", "rotated_lines", "verdict_lines"]

_ADVICE = {
    "damaged": 'What follows it proves nothing; see "A corrupted book" in docs/OPERATIONS.md.',
    "truncated": "What is left holds together. The rest was there, and was cut off.",
    "rewritten": "The book holds together, but it is not the one that was: see who has its key.",
    "archive": "The chain of entries holds together; details that left the database do not.",
    "store": "The chain of entries holds together; what keys hold now is not what it says.",
    "other_book": "Compare with a head of this book, or look whether this one was replaced.",
    "forged_witness": "The file proves nothing. The book itself holds together.",
}


def verdict_lines(verdict: Verdict) -> list[str]:
    """Return what a verification found."""
    entries = counted(verdict.entries, "entry", "entries")
    commits = counted(verdict.commits, "commit", "commits")
    signatures = counted(verdict.signatures, "signature", "signatures")
    checked = f"{entries} in {commits}, {signatures}, {verdict.seconds:.2f} s"
    if verdict.witnesses:
        checked += f", compared with {counted(verdict.witnesses, 'witness', 'witnesses')}"
    if verdict.ok:
        return [f"ok       {checked}", *_notes(verdict)]
    seq = verdict.first_bad_seq
    where = "" if seq is None else f"entry {seq}: "
    return [
        f"WRONG    {where}{visible(verdict.problem)}",
        f"checked  {checked}",
        _ADVICE[verdict.finding],
    ]


def _notes(verdict: Verdict) -> list[str]:
    """Return what is no fault, and still worth knowing."""
    if not verdict.unexplained:
        return []
    entries = counted(verdict.unexplained, "entry has", "entries have")
    return [f"note     {entries} lost details for a reason that a restore cut off"]


def head_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the head of the book."""
    if document["hash"] is None:
        return ["the book is empty"]
    names = ("seq", "hash", "commit", "signature", "key", "book")
    return [f"{name:<10} {document[name]}" for name in names]


def key_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the keys of a book, oldest first, and whether the present one is here."""
    lines = []
    for row in document["keys"]:
        until = row["until_commit"]
        what = f"commits {row['since_commit']}..{until}" if until else "in use"
        since = "" if until else f", since commit {row['since_commit']} (seq {row['since_seq']})"
        lines.append(f"{row['key']}  {what}{since}")
    if not lines:
        lines = ["nothing was signed yet"]
    if document["problem"]:
        lines.append(f"CANNOT SIGN: {visible(document['problem'])}")
    return lines


def rotated_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what a change of keys did."""
    return [
        f"key        {document['key']}",
        f"previous   {document['previous']}",
        f"seq        {document['seq']}",
        "Give the new public key (keys/site.pub) to whoever keeps one; the old seed is destroyed.",
    ]
