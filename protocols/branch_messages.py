"""Branches: what would be if, written beside the main line of the same book.

An entry of a branch is an ordinary entry whose `branch` is not 0: in the one order, under the one
chain, signed like the rest. A branch sees its own entries, and its parent's up to its base.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocols.change import Change

__all__ = [
    "BRANCH_CREATE",
    "BRANCH_DELETE",
    "BRANCH_MERGE",
    "MAIN_NAME",
    "CreateBranch",
    "CreatedBranch",
    "DeleteBranch",
    "DeletedBranch",
    "MergeBranch",
    "MergedBranch",
    "Strategy",
]

BRANCH_CREATE: Final = "branch.create"
BRANCH_MERGE: Final = "branch.merge"
BRANCH_DELETE: Final = "branch.delete"
MAIN_NAME: Final = "main"
Strategy = Literal["", "ours", "theirs", "both"]


class CreateBranch(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``branch.create``: begin a branch.

    Attributes:
        name: of the branch (``[a-z0-9._-]{1,64}``, not ``main``).
        parent: number of the branch that it comes from; 0 is main.
        base_seq: the last entry of the parent that it sees; 0: as the parent is now.
    """

    name: str
    parent: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0
    base_seq: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class CreatedBranch(msgspec.Struct, frozen=True):
    """The answer: its entry, its number, its base."""

    seq: int
    number: int
    base_seq: int


class MergeBranch(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``branch.merge``: bring what was written on a branch to its parent.

    Attributes:
        name: of the branch.
        strategy: for entities that both have written about since they parted: `ours` leaves the
            branch's entries about them behind, `theirs` and `both` bring them along, `both` with
            the tag ``conflict``; "" refuses.
    """

    name: str
    strategy: Strategy = ""


class MergedBranch(msgspec.Struct, frozen=True):
    """The answer.

    Attributes:
        seq: of the entry that says so; 0 where there was nothing to merge.
        entries: brought to the parent.
        left: entries left behind.
        conflicts: entities that both have written about, the first 1000.
        conflict_count: how many there are.
    """

    seq: int
    entries: int
    left: int
    conflicts: list[str]
    conflict_count: int = 0


class DeleteBranch(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``branch.delete``: end a branch; its entries stay in the book, its name is free.

    Attributes:
        name: of the branch.
    """

    name: str


class DeletedBranch(msgspec.Struct, frozen=True):
    """The answer: its entry, and how many entries of the branch were never merged."""

    seq: int
    unmerged: int
