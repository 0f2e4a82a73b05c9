"""Secrets that must not get into the book: found and replaced before anything is hashed. Pure.

A text is a secret where it stands under a name that says so (``password``, ``API_TOKEN``), also as
a part of what stands there, or where it looks like one wherever it stands: keys of well-known
services, private keys, tokens. What was found reads ``[redacted]``; all else stays as it was, byte
for byte. It is a net, not a proof: what looks like any other text passes.

Looked through are details of entries, and values and metadata of keys. Names, actions, entities,
tags and keys are not: they are indexed as they are.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from protocols.book_messages import Append, NewEntry
from protocols.entry import DETAILS_NONE
from protocols.kv_messages import KvWrite, Op, Set

__all__ = ["MARK", "SecretRules"]

MARK: Final = "[redacted]"
_NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "credentials",
    "authorization",
)
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9]+")
# Each begins with a fixed text and goes on with one class of characters: time is linear.
_LOOKS: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[0-9A-Za-z]{20,}"
    r"|\bgithub_pat_[0-9A-Za-z_]{20,}"
    r"|\bglpat-[0-9A-Za-z_-]{20,}"
    r"|\bxox[abeoprs]-[0-9A-Za-z-]{10,}"
    r"|\bsk-[0-9A-Za-z_-]{20,}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]*"
    r"|(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)"
    r"|(?<=\bBearer )[0-9A-Za-z._~+/=-]{16,}"
)
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_replace = msgspec.structs.replace


class SecretRules:
    """What is taken for a secret."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Add names to the usual ones; letters and digits count, capitals do not."""
        self._names = (*_NAMES, *filter(None, map(_plain, names)))

    def clean_append(self, request: Append) -> Append:
        """Return a request without secrets in its details; the same where there are none."""
        entries = [self._clean_entry(new) for new in request.entries]
        is_same = all(one is other for one, other in zip(entries, request.entries, strict=True))
        return request if is_same else _replace(request, entries=entries)

    def clean_write(self, change: KvWrite) -> KvWrite:
        """Return a write without secrets in its values; the same where there are none."""
        ops = [self._clean_op(op) for op in change.ops]
        is_same = all(one is other for one, other in zip(ops, change.ops, strict=True))
        return change if is_same else _replace(change, ops=ops)

    def _clean_entry(self, new: NewEntry) -> NewEntry:
        raw = self.clean(bytes(new.details))
        return new if raw is None else _replace(new, details=msgspec.Raw(raw))

    def _clean_op(self, op: Op) -> Op:
        if not isinstance(op, Set):
            return op
        value = self.clean(bytes(op.value), is_secret=self._is_secret(op.key))
        metadata = self.clean(bytes(op.metadata))
        if value is not None:
            op = _replace(op, value=msgspec.Raw(value))
        return op if metadata is None else _replace(op, metadata=msgspec.Raw(metadata))

    def clean(self, raw: bytes, *, is_secret: bool = False) -> bytes | None:
        """Return a MessagePack value without its secrets; None: it has none.

        Args:
            raw: the value, checked.
            is_secret: it stands under a name that says so.
        """
        if raw == DETAILS_NONE:
            return None
        value = _decode(raw)
        cleaned = self._walk(value, is_secret=is_secret)
        return None if cleaned is value else _encode(cleaned)

    def _walk(self, value: Any, *, is_secret: bool) -> Any:  # noqa: ANN401 - any MessagePack value
        """Return `value` itself where nothing in it had to go."""
        if isinstance(value, str):
            cleaned = MARK if is_secret and value else _LOOKS.sub(MARK, value)
            return value if cleaned == value else cleaned
        if isinstance(value, bytes):
            text = value.decode("latin-1")
            cleaned = MARK if is_secret and text else _LOOKS.sub(MARK, text)
            return value if cleaned == text else cleaned.encode("latin-1")
        if isinstance(value, list):
            items = [self._walk(item, is_secret=is_secret) for item in value]
            return value if _are_same(items, value) else items
        if isinstance(value, dict):
            parts = [
                self._walk(part, is_secret=is_secret or self._is_secret(name))
                for name, part in value.items()
            ]
            same = _are_same(parts, value.values())
            return value if same else dict(zip(value, parts, strict=True))
        return value

    def _is_secret(self, name: object) -> bool:
        return isinstance(name, str) and _plain(name).endswith(self._names)


def _plain(name: str) -> str:
    return _NOT_OF_A_NAME.sub("", name.lower())


def _are_same(some: Iterable[Any], others: Iterable[Any]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))
