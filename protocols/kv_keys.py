"""What a key and a namespace may be. Pure."""

from typing import Final

from protocols import errors
from protocols.kv_messages import KEY_BYTES_MAX
from protocols.names import check_name

__all__ = ["check_key", "check_namespace"]

_CHARS_SURELY_SHORT: Final = KEY_BYTES_MAX // 4


def check_key(key: object, field: str = "key") -> None:
    """Check a key: any text of 1 B to 1 KiB, as UTF-8.

    Raises:
        BadRequest: no text, empty, or text that UTF-8 cannot carry.
        LimitExceeded: longer.
    """
    if not isinstance(key, str):
        raise errors.BadRequest(
            f"Expected `{field}` to be text, got {type(key).__name__}", field=field
        )
    if not key:
        raise errors.BadRequest(f"Expected `{field}` to say something, got empty text", field=field)
    if len(key) <= _CHARS_SURELY_SHORT and key.isascii():
        return
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise errors.BadRequest(
            f"Expected text that UTF-8 can carry, got a lone surrogate"
            f" {key[error.start]!a} in {field}",
            field=field,
        ) from None
    if size > KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected `{field}` of at most {KEY_BYTES_MAX} bytes, got {size}",
            field=field,
            value=str(size),
        )


def check_namespace(ns: object, field: str = "namespace") -> None:
    """Check a namespace: ``[a-z0-9._-]{1,64}``.

    Raises:
        BadRequest: it is none.
    """
    check_name(ns, field)
