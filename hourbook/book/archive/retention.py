"""What shall become of the details of an entry as it grows old: rules, and what they decide. Pure.

Rules are asked in their order; the first one that fits an entry and is due decides. So ``drop after
365 d`` before ``archive after 90 d`` does both, one after the other, and a ``keep`` before them
exempts what it fits. What no rule fits stays as it is.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Final, Literal

import msgspec

from protocols.keep_messages import SEALED_AGE_NS

__all__ = ["Decider", "Rule", "spans", "unfold"]

_UNIT_NS: Final = {"h": 3_600_000_000_000, "d": 86_400_000_000_000}
Age = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[1-9][0-9]{0,5} ?[hd]\Z", description='an age such as "36 h" or "90 d"'
    ),
]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of retention.

    Attributes:
        do: `archive` moves details into compressed files, `drop` forgets them for good, `keep`
            leaves them where they are, whatever later rules say.
        kind: of the entries that it fits, with `*` and `?`.
        action: as `kind`.
        after: their age, at least 24 h; of no meaning for `keep`.
    """

    do: Literal["archive", "drop", "keep"]
    kind: Pattern = "*"
    action: Pattern = "*"
    after: Age = "90 d"

    def __post_init__(self) -> None:
        """Check what the pattern does not say."""
        if self.age_ns < SEALED_AGE_NS:
            raise ValueError(f"after must be at least 24 h, not {self.after!r}")

    @property
    def age_ns(self) -> int:
        """The age from which on it is due (nanoseconds)."""
        return int(self.after[:-1]) * _UNIT_NS[self.after[-1]]

    @property
    def text(self) -> str:
        """The rule in words, as the record of what it has dropped has it."""
        fits = "".join(
            f" {name}={value}"
            for name, value in (("kind", self.kind), ("action", self.action))
            if value != "*"
        )
        return f"{self.do}{fits}" + ("" if self.do == "keep" else f" after {self.after}")


class Decider:
    """Rules, ready to be asked about many entries."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Take the rules in their order."""
        self._rules = tuple(rules)
        self._fitting = cache(self._find_fitting)
        ages = [rule.age_ns for rule in rules if rule.do != "keep"]
        self.youngest_ns = min(ages, default=0)
        self.does_anything = bool(ages)
        self.drops = any(rule.do == "drop" for rule in rules)

    def decide(self, kind: str, action: str, age_ns: int, *, is_archived: bool) -> Rule | None:
        """Return the rule that says what to do with the details of an entry; None: nothing.

        Args:
            kind: of the entry.
            action: of the entry.
            age_ns: of the entry.
            is_archived: its details are in the archive already.
        """
        for rule in self._fitting(kind, action):
            if rule.do == "keep":
                return None
            if age_ns >= rule.age_ns:
                return None if is_archived and rule.do == "archive" else rule
        return None

    def _find_fitting(self, kind: str, action: str) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rule in self._rules
            if fnmatchcase(kind, rule.kind) and fnmatchcase(action, rule.action)
        )


def spans(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Return rising seqs as ranges, each (first, last)."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


def unfold(ranges: Iterable[tuple[int, int]]) -> Iterable[int]:
    """Return the seqs that ranges hold, in their order."""
    return (seq for first, last in ranges for seq in range(first, last + 1))
