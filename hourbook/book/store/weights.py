"""Which volatile keys there are, what they weigh, and which of them was used least lately. Pure.

Exact: one key that is overwritten a million times is one key. What is cached is put out by last
use; what is transient stays until its time is over, and counts against a limit.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from hourbook.book.store.rows import KvRow

__all__ = ["ROW_BYTES", "Weights", "weight_of"]

ROW_BYTES: Final = 128
"""What a row takes beside its key, value and metadata, in the file and in its indexes."""
_CACHED: Final = "cached"

_Name = tuple[str, str]


def weight_of(row: KvRow) -> int:
    """Return what a row takes (bytes)."""
    return (
        ROW_BYTES
        + len(row.ns)
        + len(row.key.encode())
        + (0 if row.value is None else len(row.value))
        + (0 if row.metadata is None else len(row.metadata))
    )


class Weights:
    """The volatile keys of one book.

    Attributes:
        names: of all of them.
        cached_bytes: what cached keys weigh together.
        transient_bytes: what all others do.
    """

    def __init__(self) -> None:
        self.names: set[_Name] = set()
        self.cached_bytes = self.transient_bytes = 0
        self._cached: OrderedDict[_Name, int] = OrderedDict()
        self._transient: dict[_Name, int] = {}

    def put(self, name: _Name, type_: str, weight: int) -> None:
        """Take in that a key was written: nothing was used later."""
        self.drop(name)
        self.names.add(name)
        if type_ == _CACHED:
            self._cached[name] = weight
            self.cached_bytes += weight
        else:
            self._transient[name] = weight
            self.transient_bytes += weight

    def drop(self, name: _Name) -> None:
        """Take in that a key is gone."""
        self.names.discard(name)
        if (weight := self._cached.pop(name, None)) is not None:
            self.cached_bytes -= weight
        elif (weight := self._transient.pop(name, None)) is not None:
            self.transient_bytes -= weight

    def of(self, name: _Name) -> int:
        """Return what a transient key weighs; 0 where there is none."""
        return self._transient.get(name, 0)

    def use(self, names: Iterable[_Name]) -> None:
        """Take in that keys were read, the last of them last."""
        for name in names:
            if name in self._cached:
                self._cached.move_to_end(name)

    def surplus(self, bytes_max: int) -> list[_Name]:
        """Return the cached keys that must go, the one that was used least lately first."""
        over = self.cached_bytes - bytes_max
        found = []
        for name, weight in self._cached.items():
            if over <= 0:
                break
            found.append(name)
            over -= weight
        return found
