"""What a key and a namespace may be, and how much a key may hold. Pure."""

from typing import Final

from protocols import entry, errors
from protocols.kv_messages import KEY_BYTES_MAX
from protocols.names import check_name
from protocols.texts import check_text

__all__ = [
    "METADATA_BYTES_MAX",
    "check_key",
    "check_metadata_size",
    "check_namespace",
    "check_value_size",
    "value_too_large",
]

METADATA_BYTES_MAX: Final = 64 << 10
"""Of a key, encoded: it is for what is said of a value, not for another one."""


def check_key(key: object, field: str = "key") -> None:
    """Check a key: any text of 1 B to 1 KiB, as UTF-8.

    Raises:
        BadRequest: no text, empty, or text that UTF-8 cannot carry.
        LimitExceeded: longer.
    """
    if isinstance(key, str) and key.isascii() and 0 < len(key) <= KEY_BYTES_MAX:
        return  # as nearly all are
    check_text(key, field, KEY_BYTES_MAX)
    if not key:
        raise errors.BadRequest(f"Expected `{field}` to say something, got empty text", field=field)


def check_namespace(ns: object, field: str = "namespace") -> None:
    """Check a namespace: ``[a-z0-9._-]{1,64}``.

    Raises:
        BadRequest: it is none.
    """
    check_name(ns, field)


def check_value_size(size: int, key: str) -> None:
    """Check the size (bytes) of what a key is to hold, encoded.

    Raises:
        LimitExceeded: more than an entry may have.
    """
    if size > entry.ENTRY_BYTES_MAX:
        raise value_too_large(size, key)


def value_too_large(size: int, key: str) -> errors.LimitExceeded:
    """Return why a key cannot hold so much (bytes)."""
    return errors.LimitExceeded(
        f"Expected a value of at most {entry.ENTRY_BYTES_MAX} bytes (16 MiB), with all that is"
        f" said of it, got {size}, of key {key!r}",
        field="value",
        value=str(size),
    )


def check_metadata_size(size: int) -> None:
    """Check the size (bytes) of the metadata of a key, encoded.

    Raises:
        LimitExceeded: more than METADATA_BYTES_MAX.
    """
    if size > METADATA_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `metadata` of at most {METADATA_BYTES_MAX} bytes, got {size}",
            field="metadata",
            value=str(size),
        )
