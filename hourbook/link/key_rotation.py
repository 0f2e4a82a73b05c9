"""Asking journal_writer for a new signing key."""

import time

import msgspec

from hourbook.home import Home
from hourbook.hybrid_clock import process_clock
from hourbook.link.client import TIMEOUT_S, MailboxClient
from hourbook.link.nonce_source import new_nonces
from protocols.change import JOURNAL_WRITER
from protocols.key_messages import KEY_ROTATE, KeyRotated, RotateKey

__all__ = ["rotate_key"]


def rotate_key(
    home: Home, writer: str, why: str = "", *, timeout_s: float = TIMEOUT_S
) -> KeyRotated:
    """Have the book go on under a new signing key; return once that is durable.

    Args:
        home: whose book.
        writer: who asks (``[a-z0-9._-]{1,64}``).
        why: kept in the book (1 KiB).
        timeout_s: until OutcomeUnknown (seconds, > 0).

    Raises:
        BadRequest, LimitExceeded: `writer` or `why` does not fit.
        HomeUnusable: the new key cannot be written; the old one stays in force.
        DiskFull, BookCorrupt: refused; the old key stays in force.
        ActorUnreachable, OutcomeUnknown: no answer; of the second, `hourbook keys` tells.
    """
    client = MailboxClient(home, JOURNAL_WRITER, writer, timeout_s=timeout_s)
    try:
        change = RotateKey(
            writer=writer,
            nonce=next(new_nonces()),
            why=why,
            hlc=process_clock.to_send(time.time_ns()),
        )
        answer = client.request(KEY_ROTATE, change)
        return msgspec.msgpack.decode(answer.body, type=KeyRotated)
    finally:
        client.close()
