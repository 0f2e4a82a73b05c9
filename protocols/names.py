"""Names of instances, sessions and namespaces: they appear in paths, tables and terminals. Pure."""

import functools
import re
from typing import Final

from protocols import errors, wire

__all__ = ["NAME_PATTERN", "check_name", "check_sent_name"]

NAME_PATTERN: Final = r"[a-z0-9._-]{1,64}"
_SIZE_MAX: Final = 64
_find: Final = re.compile(NAME_PATTERN).fullmatch


def check_name(name: object, field: str) -> None:
    """Check what somebody gave as a name.

    Raises:
        BadRequest: not ``[a-z0-9._-]{1,64}``.
    """
    if not (isinstance(name, str) and len(name) <= _SIZE_MAX and _find(name)):
        raise errors.BadRequest(
            f"Expected `{field}` to fit {NAME_PATTERN}, got {wire.printable(name)!r}",
            field=field,
            value=wire.printable(name),
        )


@functools.lru_cache(maxsize=1024)
def check_sent_name(name: str, field: str) -> None:
    """Do the same for a name in a message; nearly all bear names that the one before bore."""
    check_name(name, field)
