"""The store as an agent sees it: one namespace of keys that all processes share.

``store.get`` is the C method of a cache (``shm/store_cache.c``), bound without a layer between: a
key that was read before costs about what a dict costs, until anybody writes it. All other reads ask
SQLite, writes ask journal_writer (``store_writes``), and nothing that reads ever writes.
"""

import _thread
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from hourbook.book.branches import MAIN
from hourbook.book.moment import MomentLike
from hourbook.book.store.files import StoreFiles
from hourbook.book.store.glob import parse_glob
from hourbook.book.store.past import KeyVersion
from hourbook.book.store.reading import Item, KeyReader
from hourbook.book.store.views import ViewReader, view_at
from hourbook.faces.store_link import StoreLink
from hourbook.faces.store_schema import StoreSchema
from hourbook.faces.store_sharing import StoreSharing
from hourbook.faces.store_stats import StoreStats, gather_stats
from hourbook.faces.store_steps import check_count
from hourbook.faces.store_writes import StoreWrites
from protocols import errors
from protocols.kv_figures import Reads
from protocols.kv_messages import OPS_MAX, KvUsed
from shm import _core

if TYPE_CHECKING:
    from hourbook.faces.store_async import AsyncStore

__all__ = ["CACHE_BYTES", "CACHE_ENTRIES", "HISTORY_LIMIT", "Getter", "Store"]

CACHE_ENTRIES: Final = 65_536
"""Keys that a process keeps of one namespace, at most."""
CACHE_BYTES: Final = 64 << 20
"""And what they may weigh together, about, as Python holds them."""
HISTORY_LIMIT: Final = 100
NEWS_S: Final = 1.0
"""How often the writer hears which keys of type cached were read; while any is read at all."""


class Getter(Protocol):
    """How ``Store.get`` is called."""

    def __call__(
        self,
        key: str,
        default: Any = None,  # noqa: ANN401 - any value
        *,
        version: int | None = None,
        at: MomentLike | None = None,
    ) -> Any:  # noqa: ANN401 - any value
        """Return what the store holds under a key, the caller's own copy.

        Args:
            key: 1 B to 1 KiB of text.
            default: what to return where the key is absent; None, 0, "" and False are values.
            version: what it held at that version (:meth:`Store.history`); `default` where that was
                its end.
            at: what it held as of a seq, a time or a hash (``Book.at``).

        Raises:
            BadRequest, LimitExceeded: no key, or no such moment can be.
            Redacted: the value was dropped for good.
            NotInBook: no such version or moment. Compacted: it is not known any more.
            BookMissing, NeedsWriter, BookClosed: the store cannot be read.
        """


class Store(StoreWrites, StoreSharing, StoreSchema):
    """One namespace; threads may share it, and a forked child may go on reading.

    Attributes:
        get: ``get(key, default=None, *, version=None, at=None)``, see :class:`Getter`. After a
            write was acknowledged, to whomever, the next get in every process sees it; and no
            process ever goes back.
        namespace: its name.
    """

    def __init__(self, namespace: str, files: StoreFiles, link: StoreLink, branch: int) -> None:
        """Use ``Book.store``."""
        self._files = files
        self._next_news_s = 0.0
        self._stamp = files.stamp
        self._view = ViewReader(files, namespace, branch)
        self._reads: KeyReader | ViewReader = (
            KeyReader(files, namespace) if branch == MAIN else self._view
        )
        StoreWrites.__init__(self, namespace, link, branch, self._reads.find)
        StoreSharing.__init__(self)
        self._home = files.home
        self._cache = _core.StoreCache(
            namespace,
            self._reads.load,
            self._inspect,
            files.time_ns,
            self._get,
            CACHE_ENTRIES,
            CACHE_BYTES,
        )
        # What a branch sees follows from its parent too, whose writes move no counter of it.
        self.get: Getter = self._cache.get if branch == MAIN else self._get
        if branch == MAIN:
            link.reads.add(namespace, self._count_reads)

    def get_item(self, key: str, *, at: MomentLike | None = None) -> Item | None:
        """Return a key with its version, type, time limit and metadata; None where it is absent.

        Raises:
            What :attr:`get` does.
        """
        return self._as_of(at).find(key)

    def get_many(self, keys: Iterable[str], *, at: MomentLike | None = None) -> dict[str, Any]:
        """Return the values of those keys that are there, as they were at one moment.

        Volatile keys lie in another database, and are read at a moment of their own.

        Raises:
            What :attr:`get` does.
        """
        if isinstance(keys, str) or not isinstance(keys, Iterable):
            raise errors.BadRequest(
                f"Expected `keys` as a list of texts, got {type(keys).__name__}", field="keys"
            )
        return self._as_of(at).many(keys)

    def keys(self, glob: str = "*", *, at: MomentLike | None = None) -> Iterator[str]:
        """Return an iterator over the keys that fit, rising as UTF-8 does.

        Pages of 256 keys are read as it goes on, each of one moment: a key that is there all the
        while is yielded once.

        Args:
            glob: ``*`` any text, ``?`` one character, ``[a-z]`` one of a set, ``[!a-z]`` none of
                it; anything else stands for itself. Matched against the whole key.
            at: as of a seq, a time or a hash; then all is of that moment.

        Raises:
            BadRequest, LimitExceeded: a bad glob; at the call.
            What :attr:`get` does.
        """
        pattern = parse_glob(glob)
        return self._as_of(at).keys(pattern)

    def scan(self, glob: str = "*", *, at: MomentLike | None = None) -> Iterator[tuple[str, Any]]:
        """Return an iterator over (key, value) of the keys that fit; as :meth:`keys`."""
        pattern = parse_glob(glob)
        return self._as_of(at).scan(pattern)

    def count(self, glob: str = "*", *, at: MomentLike | None = None) -> int:
        """Return how many keys fit; as :meth:`keys`."""
        pattern = parse_glob(glob)
        return self._as_of(at).count(pattern)

    def history(
        self, key: str, *, limit: int = HISTORY_LIMIT, before: int | None = None
    ) -> list[KeyVersion]:
        """Return what was done to a key, the newest first; of a volatile key nothing is kept.

        What was superseded long ago may be gone: see ``docs/STORE.md``.

        Args:
            key: 1 B to 1 KiB of text.
            limit: how many (>= 1).
            before: only versions below this one: the last of a page, to go on from.

        Raises:
            BadRequest, LimitExceeded: no key, or no such limit.
            BookMissing, NeedsWriter, BookClosed: the store cannot be read.
        """
        if before is not None:
            check_count(before, "before")
        return self._view.history(key, check_count(limit, "limit"), before)

    def stats(self) -> StoreStats:
        """Return what is in the namespace, and what was read and written of it.

        By this process, and where journal_writer answers (within a second) by all.
        """
        figures, counts = self._cache.figures(), self._write_counts
        watches, of_all = len(self._open_watches()), self._link.figures(self.namespace)
        return gather_stats(self._files, self.namespace, figures, counts, watches, of_all)

    def asynchronous(self) -> "AsyncStore":
        """Return the same namespace for the tasks of an event loop (``store_async``)."""
        from hourbook.faces.store_async import AsyncStore  # noqa: PLC0415 - few use asyncio

        return AsyncStore(self)

    def forget(self) -> None:
        """Forget what is cached, as if this process had read nothing yet."""
        self._cache.clear()

    def _count_reads(self) -> Reads:
        hits, misses, *_ = self._cache.figures()
        return Reads(hits, misses, len(self._open_watches()))

    def _as_of(self, at: MomentLike | None) -> KeyReader | ViewReader:
        if at is None:
            return self._reads
        return view_at(self._files, self.namespace, at, self._branch)

    def _inspect(self) -> Any:  # noqa: ANN401 - a map, for C
        """Say which segment is in force; where a database was replaced, forget what it held.

        And tell the writer now and then which cached keys were used, so that others go first.
        """
        found = self._files.inspect()
        if self._stamp != self._files.stamp:
            self._stamp = self._files.stamp
            self._cache.clear()
        now_s = time.monotonic()
        if now_s >= self._next_news_s:
            self._next_news_s = now_s + NEWS_S
            if news := self._cache.news(OPS_MAX):
                # From a thread of its own, started without a lock: a get may stand anywhere, in a
                # finalizer in the midst of a send as well, and must wait for nobody.
                told = ("kv.used", KvUsed(self.namespace, news))
                with contextlib.suppress(RuntimeError):  # no thread to be had: the process ends
                    _thread.start_new_thread(self._link.tell, told)
        return found

    def _get(
        self,
        key: str,
        default: Any = None,  # noqa: ANN401 - any value
        *,
        version: int | None = None,
        at: MomentLike | None = None,
    ) -> Any:  # noqa: ANN401 - any value
        """Answer what is more than a plain get of main."""
        if version is not None and at is not None:
            raise errors.BadRequest("Expected either `version` or `at`, got both", field="at")
        if version is not None:
            return self._get_version(key, default, version)
        if at is None and self._branch == MAIN and type(key) is str:  # a keyword, `default`
            return self._cache.get(key, default)
        found = self._as_of(at).find(key)
        return default if found is None else found.value

    def _get_version(self, key: str, default: Any, version: int) -> Any:  # noqa: ANN401 - any value
        check_count(version, "version")
        item = self._reads.find(key)
        if item is not None and item.version == version:
            return item.value
        past = self._view.version(key, version)
        return past.value if past.is_present else default
