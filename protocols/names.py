"""Names of instances and sessions: they appear in paths, tables and terminals. Pure."""

import functools
import re
from typing import Final

from protocols import errors, wire

__all__ = ["NAME_PATTERN", "check_name"]

NAME_PATTERN: Final = r"[a-z0-9._-]{1,64}"
_SIZE_MAX: Final = 64
_find: Final = re.compile(NAME_PATTERN).fullmatch


def check_name(name: object, field: str) -> None:
    """Check the name of an instance or a session.

    Raises:
        BadRequest: not ``[a-z0-9._-]{1,64}``.
    """
    if not (isinstance(name, str) and len(name) <= _SIZE_MAX and _is_name(name)):
        raise errors.BadRequest(
            f"Expected `{field}` to fit {NAME_PATTERN}, got {wire.printable(name)!r}",
            field=field,
            value=wire.printable(name),
        )


@functools.lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    """Return whether it fits; nearly every message bears names that the one before bore."""
    return _find(text) is not None
