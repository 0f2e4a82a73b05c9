"""What somebody still has: for whoever must close it in the end, and must not keep it till then."""

from typing import Generic, TypeVar
from weakref import ReferenceType, ref

__all__ = ["Living"]

_T = TypeVar("_T")


class Living(Generic[_T]):
    """Objects that were added and are still there; threads may share it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[ReferenceType[_T], None] = {}

    def add(self, made: _T) -> None:
        """Know of an object until nobody else has it."""
        known = self._known  # not through us: the object would keep us
        known[ref(made, lambda gone: known.pop(gone, None))] = None

    def all(self) -> list[_T]:
        """Return those that are there, the oldest first."""
        found = [reference() for reference in list(self._known)]
        return [each for each in found if each is not None]
