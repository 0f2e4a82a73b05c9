"""What journal_writer has done since its start, as the figures of its beat. Pure."""

from collections.abc import Sequence
from typing import Final

from hourbook.book.journal import Row
from protocols.control import Snapshot

__all__ = ["WriterFigures"]

_NS: Final = 1e-9
_DETAILS: Final = 13


class WriterFigures:
    """Cumulative counters; ``actors/metrics_help.py`` says what each means.

    Attributes:
        resends: requests that had been seen before.
        disk_full: groups that found no room.
        last_commit_ns: how long the last commit took.
    """

    def __init__(self) -> None:
        self.resends = self.disk_full = self.last_commit_ns = 0
        self._entries = self._commits = self._bytes = 0
        self._commit_ns = self._commit_ns_max = self._publish_ns = 0

    def count(self, rows: Sequence[Row], commit_ns: int, publish_ns: int) -> None:
        """Add one commit."""
        self._commits += 1
        self._entries += len(rows)
        self._bytes += sum([len(row[_DETAILS]) for row in rows])
        self._commit_ns += commit_ns
        self.last_commit_ns = commit_ns
        self._commit_ns_max = max(self._commit_ns_max, commit_ns)
        self._publish_ns += publish_ns

    def snapshot(self) -> Snapshot:
        """Return the figures by their names."""
        return {
            "book_entries_total": float(self._entries),
            "book_commits_total": float(self._commits),
            "book_details_bytes_total": float(self._bytes),
            "book_resends_total": float(self.resends),
            "book_disk_full_total": float(self.disk_full),
            "book_commit_seconds_sum": self._commit_ns * _NS,
            "book_commit_seconds_count": float(self._commits),
            "book_commit_seconds_max": self._commit_ns_max * _NS,
            "book_publish_seconds_sum": self._publish_ns * _NS,
        }
