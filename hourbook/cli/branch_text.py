"""Branches and their differences as lines for people. Pure."""

from collections.abc import Sequence

from hourbook.book.branches import Branch, BranchDiff
from hourbook.cli.book_text import entry_line
from hourbook.cli.tables import table
from hourbook.words import counted, visible
from protocols.branch_messages import MAIN_NAME, MergedBranch
from protocols.entry import Entry

__all__ = ["branch_lines", "diff_lines", "merge_lines"]


def branch_lines(branches: Sequence[Branch]) -> list[str]:
    """Return a table of branches."""
    if not branches:
        return ["there is no branch but main"]
    names = {0: MAIN_NAME, **{branch.number: branch.name for branch in branches}}
    return table(
        [
            ("NUMBER", "NAME", "FROM", "AFTER", "MERGED", "DELETED"),
            *(
                (
                    str(branch.number),
                    branch.name,
                    names[branch.parent],
                    str(branch.base_seq),
                    str(branch.merged_seq or "-"),
                    str(branch.deleted_seq or "-"),
                )
                for branch in branches
            ),
        ]
    )


def diff_lines(diff: BranchDiff) -> list[str]:
    """Return what two branches do not share: of each its own, then what both wrote about."""
    return [
        f"both see entries up to {diff.base_seq}",
        *_side_lines(diff.a, diff.only_a),
        *_side_lines(diff.b, diff.only_b),
        *(f"both wrote about {visible(entity)}" for entity in diff.conflicts),
    ]


def merge_lines(name: str, done: MergedBranch) -> list[str]:
    """Return what a merge brought, and what both had written about."""
    if not done.seq:
        return [f"nothing to merge from {name}"]
    left = f", left {done.left} behind" if done.left else ""
    lines = [
        f"merged {counted(done.entries, 'entry', 'entries')} of {name}{left} (entry {done.seq})"
    ]
    lines += [f"both wrote about {visible(entity)}" for entity in done.conflicts]
    if more := done.conflict_count - len(done.conflicts):
        lines.append(f"and about {counted(more, 'entity', 'entities')} more")
    return lines


def _side_lines(name: str, entries: Sequence[Entry]) -> list[str]:
    if not entries:
        return []
    count = counted(len(entries), "entry", "entries")
    return [f"only {name} sees {count}:", *map(entry_line, entries)]
