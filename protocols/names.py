"""Names of instances and sessions: they appear in paths, tables and terminals. Pure."""

import re
from typing import Final

from protocols import errors, wire

__all__ = ["NAME_PATTERN", "check_name"]

NAME_PATTERN: Final = r"[a-z0-9._-]{1,64}"
_NAME: Final = re.compile(NAME_PATTERN)


def check_name(name: object, field: str) -> None:
    """Check the name of an instance or a session.

    Raises:
        BadRequest: not ``[a-z0-9._-]{1,64}``.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise errors.BadRequest(
            f"Expected `{field}` to fit {NAME_PATTERN}, got {wire.printable(name)!r}",
            field=field,
            value=wire.printable(name),
        )
