"""A lock that is held, and the token under which writes may rest on it. Pure.

Fencing: M. Kleppmann, "How to do distributed locking", 2016. A token is the seq of the entry that
granted its lock, so tokens rise for ever, whoever dies in between.
"""

from typing import Final, NamedTuple, TypeAlias

from protocols import errors
from protocols.instance_messages import Holder

__all__ = [
    "FREE",
    "TTL_NS_MAX",
    "TTL_NS_MIN",
    "WAIT_NS_MAX",
    "Lease",
    "LockName",
    "require_token",
]

TTL_NS_MIN: Final = 100_000_000
"""Shorter, and a busy machine loses leases that it wanted to keep."""
TTL_NS_MAX: Final = 7 * 86_400 * 1_000_000_000
WAIT_NS_MAX: Final = 12 * 3600 * 1_000_000_000
"""Half of the time for which a nonce may come again."""
FREE: Final = 0
"""The token in force where nobody holds a lock."""

LockName: TypeAlias = tuple[str, str]
"""Namespace and key."""


class Lease(NamedTuple):
    """One lock that is held, as table ``lease`` has it, column by column."""

    ns: str
    key: str
    token: int
    writer: str
    call: bytes
    boot_id: bytes
    pid: int
    start_ticks: int
    pid_ns: int
    granted_ns: int
    ttl_ns: int

    @property
    def name(self) -> LockName:
        """What is locked."""
        return self.ns, self.key

    @property
    def holder(self) -> Holder:
        """The process that holds it."""
        return Holder(self.boot_id, self.pid, self.start_ticks, self.pid_ns)


def require_token(ns: str, key: str, token: int, in_force: int, *, is_locked: bool = False) -> None:
    """Check the token that a write names for its key, or a renewal for its lock.

    Whoever calls it has had leases past their deadlines expired first (``LockDesk.prepare``).

    Args:
        ns: the namespace.
        key: the key.
        token: named by the caller; 0: none.
        in_force: of the lock of this name, FREE where nobody holds it.
        is_locked: the value is of type ``locked``, which may not be written without.

    Raises:
        TokenStale: no token where one is needed, or not the one in force, which is `value`.
    """
    if token == in_force != FREE or (token == FREE and not is_locked):
        return
    got = f"token {token}" if token else "no token"
    now = f"token {in_force} is in force" if in_force else "nobody holds the lock"
    raise errors.TokenStale(
        f"Expected the token of the lock of {ns}/{key}, got {got}, and {now}",
        field="token",
        value=str(in_force),
    )
