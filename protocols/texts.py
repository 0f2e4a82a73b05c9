"""Text that comes from outside: UTF-8 must carry it, and it has an end. Pure.

NUL, newline and emoji are legal, and kept.
"""

from collections.abc import Iterable

from protocols import errors

__all__ = ["are_short", "check_text", "not_utf8", "text_size"]


def check_text(text: object, field: str, bytes_max: int) -> None:
    """Check a text of at most `bytes_max` bytes of UTF-8.

    Raises:
        BadRequest: no text, or one that UTF-8 cannot carry.
        LimitExceeded: longer.
    """
    if isinstance(text, str) and text.isascii() and len(text) <= bytes_max:
        return
    size = text_size(text, field)
    if size > bytes_max:
        raise errors.LimitExceeded(
            f"Expected `{field}` of at most {bytes_max} bytes, got {size}",
            field=field,
            value=str(size),
        )


def are_short(texts: Iterable[str], bytes_max: int) -> bool:
    """Return whether these are texts that need no closer look, as nearly all are.

    They are ASCII, and all of them together no longer than each may be. Anything else is a no,
    values that are no texts included.
    """
    try:
        joined = "".join(texts)
    except TypeError:
        return False
    return joined.isascii() and len(joined) <= bytes_max


def text_size(text: object, field: str) -> int:
    """Return the size of a text in UTF-8 (bytes).

    Raises:
        BadRequest: no text, or one that UTF-8 cannot carry.
    """
    if not isinstance(text, str):
        raise errors.BadRequest(
            f"Expected `{field}` to be text, got {type(text).__name__}", field=field
        )
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise not_utf8(error, field) from None


def not_utf8(error: UnicodeEncodeError, field: str) -> errors.BadRequest:
    """Return the refusal of a text with a lone surrogate, which says where."""
    return errors.BadRequest(
        f"Expected text that UTF-8 can carry, got a lone surrogate"
        f" {error.object[error.start]!a} in {field}",
        field=field,
    )
