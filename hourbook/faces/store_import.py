"""Bringing a ``shared-memory.json`` into the store, each of its keys once.

What is there already is never overwritten: a key that the same words were imported to before is
*unchanged*, also where it was written or deleted since; any other is *kept* as it is. So a second
import of a file changes nothing.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hourbook.book.store.foreign import ForeignKey
from protocols import errors

if TYPE_CHECKING:
    from hourbook.faces.book import Book
    from hourbook.faces.store import Store

__all__ = ["SharedImport", "import_keys"]

LOOK_BACK: Final = 100
"""Writes of a key among which an earlier import is looked for."""
PROBLEMS_MAX: Final = 1000


class SharedImport(msgspec.Struct):
    """What became of each key of a file; the counts add up to `total`.

    Attributes:
        total: keys in the file.
        imported: written in their own place.
        preserved: not understood, and written in namespace ``imported``.
        unchanged: imported before.
        kept: another value is there, which stays.
        expired: their time to live was over.
        refused: too large, locked, or against a schema; they are nowhere but in the file.
        problems: by path, the first 1000.
    """

    total: int = 0
    imported: int = 0
    preserved: int = 0
    unchanged: int = 0
    kept: int = 0
    expired: int = 0
    refused: int = 0
    problems: list[dict[str, str]] = []

    def note(self, path: str, problem: str) -> None:
        """Add a problem."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append({"path": path, "problem": problem})


def import_keys(book: "Book", keys: list[ForeignKey], *, dry_run: bool = False) -> SharedImport:
    """Write those keys that are not there; return what became of each.

    Raises:
        What ``Store.set`` raises, but for keys that do not fit, which are reported.
    """
    report = SharedImport(total=len(keys))
    for key in keys:
        for problem in key.problems:
            report.note(key.path, problem)
        fate = "expired" if key.ttl_ns == 0 else _fate(book.store(key.namespace), key)
        if fate in ("imported", "preserved") and not dry_run:
            fate = _write(book.store(key.namespace), key, fate, report)
        elif fate == "kept":
            report.note(key.path, "another value is there, and was kept")
        setattr(report, fate, getattr(report, fate) + 1)
    return report


def _fate(store: "Store", key: ForeignKey) -> str:
    """Return what is to become of a key."""
    item = None
    with contextlib.suppress(errors.BookMissing):
        item = store.get_item(key.key)
        if item is not None and key.digest == _digest_of(item.metadata):
            return "unchanged"
        for version in store.history(key.key, limit=LOOK_BACK):
            with contextlib.suppress(errors.Redacted):
                if version.is_present and _digest_of(version.item.metadata) == key.digest:
                    return "unchanged"
    if item is not None:
        return "unchanged" if item.value == key.value else "kept"
    return "imported" if key.is_understood else "preserved"


def _write(store: "Store", key: ForeignKey, fate: str, report: SharedImport) -> str:
    said: dict[str, Any] = {
        "ttl_s": None if key.ttl_ns is None else key.ttl_ns / 1e9,
        "type": key.type,
        "metadata": key.metadata,
        "if_version": 0,
    }
    try:
        if key.type == "locked":
            with store.lock(key.key) as lock:
                store.set(key.key, key.value, token=lock.token, **said)
        else:
            store.set(key.key, key.value, **said)
    except errors.CallerError as error:
        report.note(key.path, error.message)
        return "kept" if isinstance(error, errors.VersionConflict) else "refused"
    return fate


def _digest_of(metadata: dict[str, Any]) -> object:
    about = metadata.get("import")
    return about.get("digest") if isinstance(about, dict) else None
