"""The keeping half of a Book: what may be done to entries that stand already. Asks journal_writer.

Nothing is ever unsaid: each of these writes an entry that says what was done, why and by whom.
"""

import time
from typing import Any, TypeVar

import msgspec

from hourbook.client import MailboxClient
from hourbook.hybrid_clock import process_clock
from hourbook.membership import Membership
from hourbook.nonce_source import NonceSource
from protocols import errors
from protocols.change import CHANGE_NONCES, Change
from protocols.keep_messages import BOOK_REDACT, Redact, Redaction

__all__ = ["BookKeeping"]

_T = TypeVar("_T")


class BookKeeping:
    """What a connection to the book can do beside writing and reading it."""

    name: str
    session: str
    _client: MailboxClient
    _nonces: NonceSource
    _membership: Membership

    def redact(self, seq: int, why: str) -> Redaction:
        """Drop the details of one entry for good, from the book and from its archive.

        They can be had no more from anywhere but backups that were made before (and, on some
        disks, from blocks that were written over). What was done to what, by whom and when stays,
        and the chain verifies as before. `why` stays too, for ever: it must not repeat a secret.
        Asked again, the first redaction is returned.

        Args:
            seq: of an entry that an instance wrote.
            why: 1 B to 1 KiB.

        Raises:
            NotInBook: there is no such entry.
            BadRequest, LimitExceeded: it is the book's own record; or `why` does not fit.
            ArchiveDamaged: its archive file cannot be read, so nothing was dropped.
            DiskFull: an archive file could not be made anew; nothing was dropped.
            What :meth:`Book.log` raises.
        """
        return self._change(Redact, BOOK_REDACT, Redaction, seq=seq, why=why)

    def _change(
        self,
        change: type[Change],
        kind: str,
        answer: type[_T],
        **fields: Any,  # noqa: ANN401 - of the change
    ) -> _T:
        """Have a change made, and return its answer.

        Raises:
            BadRequest: a field is of another type than its change wants; nothing was sent.
        """
        self._client.check_usable()
        _check_fields(change, fields)
        self._membership.require()
        request = change(
            writer=self.name,
            nonce=self._nonces.take(CHANGE_NONCES),
            session=self.session,
            hlc=process_clock.to_send(time.time_ns()),
            **fields,
        )
        return msgspec.msgpack.decode(self._client.request(kind, request).body, type=answer)


def _check_fields(change: type[Change], fields: dict[str, Any]) -> None:
    """Check what was given against the types of the change, while the caller still listens."""
    for known in msgspec.structs.fields(change):
        if known.name not in fields:
            continue
        value = fields[known.name]
        try:
            raw = msgspec.msgpack.encode(value)
            msgspec.msgpack.decode(raw, type=known.type)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
            raise errors.BadRequest(
                f"Expected `{known.name}` that fits, got {value!a}: {error}", field=known.name
            ) from None
