"""``session.start``: a named stretch of work, whose entries can be found together afterwards."""

import msgspec

from protocols.change import Change

__all__ = ["SessionStarted", "StartSession"]


class StartSession(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``session.start``: begin a session, or go on with one that was begun before.

    Attributes:
        name: of the session (``[a-z0-9._-]{1,64}``).
        purpose: what it is for, "" where that need not be said (1 KiB).
    """

    name: str
    purpose: str = ""


class SessionStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``session.start``.

    Attributes:
        seq: of the entry that says so; it is the first one in the session.
        is_new: no session of this name was begun before.
    """

    seq: int
    is_new: bool
