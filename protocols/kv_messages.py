"""What the store is told: every write is one ``kv.write``, every lock a lease with a token.

Kinds: ``kv.write``, ``lock.acquire`` and ``lock.release`` are changes, and journaled where their
keys are durable; ``lock.renew`` and ``lock.list`` are neither, and cost no fsync.

Entries that they mean: ``kv.set``, ``kv.delete``, ``kv.expire``, ``lock.grant``, ``lock.release``,
``lock.expire``, each with ``NAMESPACE/KEY`` as its entity.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from protocols.change import Change
from protocols.instance_messages import Holder

__all__ = [
    "ABSENT",
    "KEY_BYTES_MAX",
    "NO_METADATA",
    "OPS_MAX",
    "VOLATILE",
    "AcquireLock",
    "Check",
    "CompactKeys",
    "Delete",
    "Increment",
    "KeysCompacted",
    "KvUsed",
    "KvWrite",
    "KvWritten",
    "LeaveLock",
    "ListLocks",
    "Lock",
    "LockGranted",
    "LockLeft",
    "LockReleased",
    "LockRenewed",
    "Locks",
    "Op",
    "ReleaseLock",
    "RenewLock",
    "SchemaSet",
    "Set",
    "SetSchema",
    "Spent",
    "Sweep",
    "Swept",
    "ValueType",
]

KEY_BYTES_MAX: Final = 1024
OPS_MAX: Final = 4096
"""Steps of one write; as many as a batch of entries has."""
ABSENT: Final = 0
"""The version of a key that is not there."""
_I64_MAX: Final = (1 << 63) - 1

ValueType = Literal["", "persistent", "versioned", "shared", "locked", "transient", "cached"]
"""What becomes of a value; "" is what the key has, and for a new key what its namespace has."""
NO_METADATA: Final = msgspec.Raw(b"\xc0")
"""Nil. (A union of raw bytes and None cannot be decoded.)"""
VOLATILE: Final = frozenset(("transient", "cached"))
"""Types that do not outlive a reboot; they are not journaled."""

_Version = Annotated[int, msgspec.Meta(ge=0, le=_I64_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=-_I64_MAX - 1, le=_I64_MAX)] | float
_Duration = Annotated[int, msgspec.Meta(ge=1, le=_I64_MAX)]


class _Step(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="op"
):
    """What all steps have in common.

    Attributes:
        key: 1 B to 1 KiB.
        if_version: the version that the key must have; ABSENT: it must not be there; None: any.
        token: of the lock that protects the key, 0 for none; one that is given must be in force.
    """

    key: str
    if_version: _Version | None = None
    token: _Version = 0


class Set(_Step, frozen=True, kw_only=True, omit_defaults=True, tag="set"):
    """Give a key a value.

    Attributes:
        value: any MessagePack value.
        type: of the value.
        ttl_ns: how long it lives, by our clock; None: for ever, or as its namespace has it.
        keep_ttl: what is there keeps the time that it has left (`ttl_ns` is None).
        metadata: a map of the writer's own; nil: none.
    """

    value: msgspec.Raw
    type: ValueType = ""
    ttl_ns: _Duration | None = None
    keep_ttl: bool = False
    metadata: msgspec.Raw = NO_METADATA


class Delete(_Step, frozen=True, kw_only=True, omit_defaults=True, tag="delete"):
    """Take a key away; one that is not there stays away."""


class Increment(_Step, frozen=True, kw_only=True, omit_defaults=True, tag="increment"):
    """Add to a number; a key that is not there counts as 0, and keeps the time that it has left.

    Attributes:
        by: what to add (64-bit integer, or finite float).
        type: of a key that is not there.
        ttl_ns: of a key that is not there.
    """

    by: _Number = 1
    type: ValueType = ""
    ttl_ns: _Duration | None = None


class Check(_Step, frozen=True, kw_only=True, omit_defaults=True, tag="check"):
    """Only require what `if_version` and `token` say."""


Op: TypeAlias = Set | Delete | Increment | Check


class KvWrite(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``kv.write``: steps that are done together or not at all, in their order.

    Attributes:
        ns: the namespace (``[a-z0-9._-]{1,64}``).
        ops: 1..OPS_MAX; a later one sees what an earlier one did.
        branch: number of a branch that is there; 0 is main.
    """

    ns: str
    ops: list[Op]
    branch: _Version = 0


class KvWritten(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to ``kv.write``.

    Attributes:
        versions: of each step's key after it; of a key that was deleted, the version of its
            deletion; ABSENT where it had not been there; of a check the version that was found.
        numbers: of each increment, in their order, what the number is now.
        redacted: steps, from 0 on, of whose value a rule has taken a secret out.
    """

    versions: list[int]
    numbers: list[int | float] = []
    redacted: tuple[int, ...] = ()


class Sweep(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``kv.sweep``: take away values whose time has come. journal_writer does so by itself."""


class Swept(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``kv.sweep``: how many durable keys that were; 1000 at a time."""

    count: int = 0


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """Versions of a key that nobody needs any more: an array in this order.

    Attributes:
        branch: number of the branch; 0 is main.
        ns, key: the key.
        below: the first version that stays; it is there.
    """

    branch: _Version
    ns: str
    key: str
    below: _Version


class CompactKeys(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``kv.compact``: forget versions of keys that were superseded before a seq.

    Their entries stay; but nobody can find by them any more what the store held before.

    Attributes:
        first_seq: what the namespaces held is known from here on.
        keys: 1..OPS_MAX of them.
    """

    first_seq: Annotated[int, msgspec.Meta(ge=1, le=_I64_MAX)]
    keys: list[Spent]


class KeysCompacted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``kv.compact``: how many versions were forgotten."""

    versions: int = 0


class SetSchema(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``kv.schema``: what values of a namespace must fit from now on.

    Attributes:
        ns: the namespace.
        schema: a JSON Schema, as JSON (64 KiB); "" for none.
    """

    ns: str
    schema: str = ""


class SchemaSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``kv.schema``: the seq of its entry."""

    seq: int


class KvUsed(msgspec.Struct, frozen=True, omit_defaults=True):
    """``kv.used``: cached keys were read, the last of them last. No answer; no key must be there.

    Attributes:
        ns: the namespace.
        keys: up to OPS_MAX of them.
    """

    ns: str
    keys: Annotated[list[str], msgspec.Meta(max_length=OPS_MAX)]


class AcquireLock(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``lock.acquire``: hold a lock for a process; answered once it is held, or the wait is over.

    The nonce is the call: a waiting call that is sent again keeps its place.

    Attributes:
        ns, key: what is locked; there need be no value.
        holder: the process.
        ttl_ns: how long the lease lives without a renewal, by the boot-time clock.
        wait_ns: how long to wait for others (0: not at all).
    """

    ns: str
    key: str
    holder: Holder
    ttl_ns: _Duration
    wait_ns: Annotated[int, msgspec.Meta(ge=0, le=_I64_MAX)] = 0


class LockGranted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``lock.acquire``: the fencing token (the seq of the grant)."""

    token: int


class ReleaseLock(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``lock.release``: let a lock go. One that is not held under this token stays as it is.

    Attributes:
        ns, key: what is locked.
        token: of its lease.
        reason: "" where the holder lets go; else why journal_writer, which alone may, ends a lease:
            `expired`, `ended` (the process has), `rebooted`.
    """

    ns: str
    key: str
    token: _Version
    reason: Literal["", "expired", "ended", "rebooted"] = ""


class LockReleased(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``lock.release``.

    Attributes:
        seq: of the release; 0 where the token was no longer in force.
    """

    seq: int = 0


class RenewLock(msgspec.Struct, frozen=True, omit_defaults=True):
    """``lock.renew``: a lease lives for its whole time from now on."""

    ns: str
    key: str
    token: _Version


class LockRenewed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``lock.renew``; a token that is not in force is refused (TokenStale)."""

    ttl_ns: int


class LeaveLock(msgspec.Struct, frozen=True, omit_defaults=True):
    """``lock.leave``: a call that waits does not want its lock any more.

    Attributes:
        writer, nonce: of its ``lock.acquire``.
    """

    writer: str
    nonce: bytes


class LockLeft(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``lock.leave``.

    Attributes:
        waited: the call did wait, and was refused now (LockTimeout).
    """

    waited: bool


class ListLocks(msgspec.Struct, frozen=True, omit_defaults=True):
    """``lock.list``: who holds what, and who waits.

    Attributes:
        ns: of one namespace; "" for all.
    """

    ns: str = ""


class Lock(msgspec.Struct, frozen=True, omit_defaults=True):
    """One lock.

    Attributes:
        ns, key: what is locked.
        token: the seq of its grant.
        writer: the instance that asked.
        holder: the process.
        granted_ns: when (UTC).
        ttl_ns: the whole lease.
        left_ns: what is left of it.
        waiting: the instances that wait, first in first out.
    """

    ns: str
    key: str
    token: int
    writer: str
    holder: Holder
    granted_ns: int
    ttl_ns: int
    left_ns: int
    waiting: list[str] = []


class Locks(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``lock.list``, by namespace and key."""

    locks: list[Lock] = []
