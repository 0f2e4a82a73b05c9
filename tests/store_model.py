"""What the store must do, as a dictionary has it: no file, no group, no cache. Pure.

Each write gives back what it must be answered, and only a write that is done changes anything.
Versions of durable keys are told exactly, since each is the seq of an entry; those of volatile keys
are negative, falling, until the model learns which they are.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from protocols import errors
from protocols.kv_messages import VOLATILE
from protocols.kv_namespaces import defaults_of

__all__ = ["ABSENT", "Kept", "Model", "Name", "Past", "Step", "same"]

ABSENT: Final = 0
_I64: Final = 1 << 63
Name = tuple[str, str]


class Step(NamedTuple):
    """One step of a write: set, delete, increment or check; see ``protocols.kv_messages``."""

    op: str
    key: str
    value: Any = None
    type: str = ""
    ttl_ns: int | None = None
    keep_ttl: bool = False
    if_version: int | None = None
    metadata: Any = None
    token: int = 0


class Kept(NamedTuple):
    """What a key holds."""

    value: Any
    type: str
    version: int
    created: int
    expires_ns: int | None = None
    metadata: Any = None

    def is_over(self, now_ns: int) -> bool:
        """Return whether its time has come."""
        return self.expires_ns is not None and self.expires_ns <= now_ns


class Past(NamedTuple):
    """One thing that was done to a durable key."""

    version: int
    action: str
    value: Any


class Model:
    """The whole store.

    Attributes:
        rows: what was set and neither deleted nor swept, also what is over.
        history: of durable keys, the newest last.
        seq: of the last entry.
        locks: tokens in force.
        states: seq of each commit -> (its time, its rows).
    """

    def __init__(self, seq: int = 0, *, is_alone: bool = True) -> None:
        """Begin empty, after the entry `seq`; where others write too, versions must be learned."""
        self._is_alone = is_alone
        self.rows: dict[Name, Kept] = {}
        self.history: dict[Name, list[Past]] = {}
        self.seq = seq
        self._last_unknown = 0
        self.locks: dict[Name, int] = {}
        self.states: dict[int, tuple[int, dict[Name, Kept]]] = {seq: (0, {})}

    def get(self, ns: str, key: str, now_ns: int) -> Kept | None:
        """Return what a key holds that is there."""
        row = self.rows.get((ns, key))
        return None if row is None or row.is_over(now_ns) else row

    def scan(self, ns: str, now_ns: int) -> dict[str, Kept]:
        """Return all that a namespace holds, by key."""
        found = {key: row for (each, key), row in sorted(self.rows.items()) if each == ns}
        return {key: row for key, row in found.items() if not row.is_over(now_ns)}

    def commit(self, now_ns: int) -> None:
        """End a group; one that has made no entry is no moment of its own."""
        if self.seq in self.states:
            return
        durable = {n: row for n, row in self.rows.items() if row.type not in VOLATILE}
        self.states[self.seq] = (now_ns, durable)

    def sweep(self, now_ns: int, places: Mapping[Name, int]) -> None:
        """Take away what is over; of what is over at one instant, in the order of `places`."""
        due = [
            (row.expires_ns, places.get(name, 0), name)
            for name, row in self.rows.items()
            if row.is_over(now_ns)
        ]
        for *_, name in sorted(due):
            self._expire(name)

    def forget(self, first_seq: int, versions: int) -> None:
        """Forget versions that were superseded by `first_seq`; so many of a versioned key stay."""
        for name, past in self.history.items():
            below = max((done.version for done in past if done.version <= first_seq), default=0)
            row = self.rows.get(name)
            if row is not None and row.type == "versioned":
                below = min(below, past[-versions].version if len(past) >= versions else 0)
            past[:] = [done for done in past if done.version >= below]

    def acquire(self, name: Name) -> int | type[Exception]:
        """Hold a lock; return its token."""
        if name in self.locks:
            return errors.LockTimeout
        self.seq += 1
        self.locks[name] = self.seq
        return self.seq

    def release(self, name: Name, token: int) -> int:
        """Let a lock go; return the seq of that, 0 where it is not held so."""
        if self.locks.get(name) != token:
            return 0
        del self.locks[name]
        self.seq += 1
        return self.seq

    def write(
        self, ns: str, steps: list[Step], now_ns: int
    ) -> tuple[list[int], list[float]] | type[Exception]:
        """Do steps together or not at all; return versions and sums, or the error that it is."""
        draft = copy.copy(self)
        draft.rows = dict(self.rows)
        draft.history = {name: list(done) for name, done in self.history.items()}
        try:
            is_volatile = draft._place(ns, steps)
            answer = draft._apply(ns, steps, now_ns, is_volatile=is_volatile)
        except errors.HourbookError as error:
            return type(error)
        self.__dict__.update(draft.__dict__)
        return answer

    def learn(self, known: dict[int, int]) -> None:
        """Take in which versions those of a write of volatile keys are."""
        for name, row in self.rows.items():
            version, created = (known.get(each, each) for each in (row.version, row.created))
            self.rows[name] = row._replace(version=version, created=created)

    def _place(self, ns: str, steps: list[Step]) -> bool:
        """Return whether a write is about volatile keys: a key is where it is, or where it goes."""
        usual = defaults_of(ns).type
        places: dict[str, bool] = {}
        for step in steps:
            row = self.rows.get((ns, step.key))
            if row is not None:
                places.setdefault(step.key, row.type in VOLATILE)
            elif step.op in ("set", "increment"):
                places.setdefault(step.key, (step.type or usual) in VOLATILE)
        if len(set(places.values())) > 1:
            raise errors.MixedDurability("both")
        return next(iter(places.values())) if places else usual in VOLATILE

    def _apply(
        self, ns: str, steps: list[Step], now_ns: int, *, is_volatile: bool
    ) -> tuple[list[int], list[float]]:
        versions: list[int] = []
        numbers: list[float] = []
        for step in steps:
            name = (ns, step.key)
            row = self.rows.get(name)
            if row is not None and row.is_over(now_ns):
                self._expire(name)
                row = None
            version = ABSENT if row is None else row.version
            if step.if_version is not None and step.if_version != version:
                raise errors.VersionConflict("stale")
            put = self._put(ns, step, row, now_ns)
            self._check_token(name, step, row, put)
            if put is not None:
                if (put.type in VOLATILE) != is_volatile:
                    raise errors.MixedDurability("moved")
                versions.append(self._keep(name, put, step.op, is_volatile=is_volatile))
                if step.op == "increment":
                    numbers.append(put.value)
            elif step.op == "delete" and row is not None:
                del self.rows[name]
                versions.append(self._next(name, "delete", None, is_volatile=is_volatile))
            else:
                versions.append(version)
        return versions, numbers

    def _put(self, ns: str, step: Step, row: Kept | None, now_ns: int) -> Kept | None:
        """Return what a key would hold after a step that gives it a value."""
        if step.op not in ("set", "increment"):
            return None
        defaults = defaults_of(ns)
        lasting_ns = defaults.ttl_ns if step.ttl_ns is None else step.ttl_ns
        expires_ns = None if lasting_ns is None else min(now_ns + lasting_ns, _I64 - 1)
        if step.op == "increment":
            number = _sum(0 if row is None else row.value, step.value)
            if row is None:
                return Kept(number, step.type or defaults.type, 0, 0, expires_ns)
            return row._replace(value=number)
        if row is None:
            kept_ns = None if step.keep_ttl else expires_ns
            return Kept(step.value, step.type or defaults.type, 0, 0, kept_ns, step.metadata)
        if step.type and (step.type in VOLATILE) != (row.type in VOLATILE):
            raise errors.MixedDurability("other file")
        kept_ns = row.expires_ns if step.keep_ttl else expires_ns
        return Kept(step.value, step.type or row.type, 0, row.created, kept_ns, step.metadata)

    def _check_token(self, name: Name, step: Step, row: Kept | None, put: Kept | None) -> None:
        is_written = put is not None or (step.op == "delete" and row is not None)
        is_locked = is_written and row is not None and row.type == "locked"
        is_locked |= put is not None and put.type == "locked"
        if (step.token or is_locked) and (not step.token or self.locks.get(name) != step.token):
            raise errors.TokenStale("no lock")

    def _keep(self, name: Name, put: Kept, op: str, *, is_volatile: bool) -> int:
        version = self._next(name, op, put.value, is_volatile=is_volatile)
        self.rows[name] = put._replace(version=version, created=put.created or version)
        return version

    def _next(self, name: Name, action: str, value: Any, *, is_volatile: bool) -> int:
        if is_volatile or not self._is_alone:
            self._last_unknown -= 1
            return self._last_unknown
        self.seq += 1
        self.history.setdefault(name, []).append(Past(self.seq, action, value))
        return self.seq

    def _expire(self, name: Name) -> None:
        is_volatile = self.rows.pop(name).type in VOLATILE
        self._next(name, "expire", None, is_volatile=is_volatile)


def _sum(number: Any, by: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise errors.BadRequest("no number")
    total = number + by
    fits = -_I64 <= total < _I64 if isinstance(total, int) else math.isfinite(total)
    if not fits:
        raise errors.LimitExceeded("too large")
    return total


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of the same types: True is not 1."""
    return msgspec.msgpack.encode(one) == msgspec.msgpack.encode(other)
