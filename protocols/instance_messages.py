"""What instances tell journal_writer: who they are, that they live, how far they have read.

Kinds: ``instance.register`` and ``instance.release`` are changes and journaled; ``instance.beat``
and ``instance.list`` are neither, and cost no fsync.
"""

from typing import Annotated, Final

import msgspec

from protocols.change import Change
from protocols.kv_figures import ReadReport

__all__ = [
    "BEAT_S",
    "SILENT_NS_MAX",
    "Beat",
    "Beaten",
    "Holder",
    "Instance",
    "Instances",
    "ListInstances",
    "Register",
    "Registered",
    "Release",
    "Released",
]

BEAT_S: Final = 2.0
"""Between two beats of an instance (seconds)."""
SILENT_NS_MAX: Final = 15_000_000_000
"""Without a beat for longer, a holder that cannot be seen is taken for dead."""
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Pid = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
_BootId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Which process holds a name; no other process that ever was is the same.

    Attributes:
        boot_id: of the machine (16 bytes).
        pid: of the process, as its own namespace numbers it.
        start_ticks: when it began (field 22 of /proc/PID/stat).
        pid_ns: that namespace (inode of /proc/PID/ns/pid); 0: unknown, taken for the reader's.
    """

    boot_id: _BootId
    pid: _Pid
    start_ticks: _Count
    pid_ns: _Count = 0


class Register(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``instance.register``: hold the name `writer` for a process, until it ends or lets go.

    Attributes:
        holder: the process.
    """

    holder: Holder


class Registered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``instance.register``.

    Attributes:
        seq: of the entry that says so; 0 where this process held the name already.
        position: how far the name has read.
    """

    seq: int
    position: int


class Release(Change, frozen=True, kw_only=True, omit_defaults=True):
    """``instance.release``: let a name go.

    Attributes:
        name: of the instance.
        holder: the process that holds it; where another one does, nothing is done.
        reason: `closed`, `ended`, `silent` (it could not be seen) or `rebooted`.
    """

    name: str
    holder: Holder
    reason: str = "closed"


class Released(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``instance.release``: the seq of its entry; 0 where nothing was held."""

    seq: int


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """``instance.beat``: still here, and read as far as this. Idempotent; no nonce.

    Attributes:
        name: of the instance, or of whoever reads without holding a name.
        holder: the process, None where the name is not held but only reads.
        position: the last seq that is done with; -1 says nothing of it.
        rewind: set the position back too; otherwise it only rises.
        reads: what the connection has read of the store; None says nothing of it.
    """

    name: str
    holder: Holder | None = None
    position: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)] = -1
    rewind: bool = False
    reads: ReadReport | None = None


class Beaten(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to ``instance.beat``.

    Attributes:
        is_held: the name is registered for this process; if not, register.
        position: as it now stands; -1 where the name has none.
    """

    is_held: bool
    position: int = -1


class ListInstances(msgspec.Struct, frozen=True):
    """``instance.list``: what is known of every name. No keys."""


class Instance(msgspec.Struct, frozen=True, array_like=True):
    """One name that was ever registered or has read.

    Attributes:
        name: of the instance.
        is_held: registered, and not released since.
        holder: the last process that held it; None for a name that only reads.
        registered_ns: UTC of its last registration; 0 for none.
        seen_ns: UTC when it was last heard of.
        position: the last seq that it is done with; -1 where it never read.
    """

    name: str
    is_held: bool
    holder: Holder | None
    registered_ns: int
    seen_ns: int
    position: int


class Instances(msgspec.Struct, frozen=True):
    """The answer to ``instance.list``, by name."""

    instances: list[Instance]
