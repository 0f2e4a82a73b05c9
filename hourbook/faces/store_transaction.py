"""Several steps that are done together or not at all, gathered until their block ends.

Reading through a transaction makes its write rest on what was read: each key that was read is
compared at the end, by version. So a transaction that succeeds happened at one moment.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from hourbook.book.store.reading import Item
from hourbook.faces.store_steps import check_step, delete_step, increment_step, set_step
from protocols import entry, errors
from protocols.kv_messages import ABSENT, OPS_MAX, KvWritten, Op, ValueType

__all__ = ["Transaction"]

_UNKNOWN: Final = object()
"""What an increment has made of a key: only the writer knows."""
_GONE: Final = object()


class Transaction:
    """Steps to be done at once; for one thread, and one block.

    Attributes:
        result: the answer once the block has ended: versions in the order of the steps, and the
            sums of increments in theirs.
    """

    def __init__(
        self, find: Callable[[str], Item | None], write: Callable[[list[Op]], KvWritten]
    ) -> None:
        """Use ``Store.transaction``."""
        self._find, self._write = find, write
        self._compared: dict[str, int] = {}
        self._pending: dict[str, Any] = {}
        self._ops: list[Op] = []
        self._is_done = False
        self.result: KvWritten | None = None

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - any value
        """Return what a key holds, the steps so far included; the write rests on it.

        Raises:
            BadRequest: it was incremented here, so that its value is not known yet.
            What ``Store.get`` does.
        """
        self._check_open()
        if key in self._pending:
            value = self._pending[key]
            if value is _UNKNOWN:
                raise errors.BadRequest(
                    f"Expected a key whose value is known, got {key!r}, which was incremented in"
                    " this transaction",
                    field="key",
                )
            return default if value is _GONE else entry.decode_value(value, "value")
        item = self._find(key)
        self._compare(key, ABSENT if item is None else item.version)
        return default if item is None else item.value

    def set(
        self,
        key: str,
        value: object,
        *,
        ttl_s: float | None = None,
        keep_ttl: bool = False,
        type: ValueType = "",  # noqa: A002 - as the store calls it
        if_version: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        token: int = 0,
    ) -> None:
        """Give a key a value; as ``Store.set``."""
        step = set_step(
            key,
            value,
            ttl_s=ttl_s,
            keep_ttl=keep_ttl,
            type=type,
            if_version=if_version,
            metadata=metadata,
            token=token,
        )
        self._add(step, step.value)

    def delete(self, key: str, *, if_version: int | None = None, token: int = 0) -> None:
        """Take a key away; as ``Store.delete``."""
        self._add(delete_step(key, if_version=if_version, token=token), _GONE)

    def increment(
        self,
        key: str,
        by: float = 1,
        *,
        ttl_s: float | None = None,
        type: ValueType = "",  # noqa: A002 - as the store calls it
        if_version: int | None = None,
        token: int = 0,
    ) -> None:
        """Add to a number; as ``Store.increment``. The sum is in `result` afterwards."""
        step = increment_step(key, by, ttl_s=ttl_s, type=type, if_version=if_version, token=token)
        self._add(step, _UNKNOWN)

    def require(self, key: str, version: int | None = None, *, token: int = 0) -> None:
        """Do nothing at all unless a key has a version (0: it is absent), or a lock is held."""
        self._add(check_step(key, version, token), None)

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Do the steps, unless the block raised.

        Raises:
            VersionConflict: what was read or required has changed; nothing was written.
            What ``Store.set`` does.
        """
        self._is_done = True
        if kind is None and self._ops:
            self.result = self._trim(self._write(self.steps))

    @property
    def steps(self) -> list[Op]:
        """What is sent: the comparisons, then the steps."""
        compared = [check_step(key, version) for key, version in self._compared.items()]
        return [*compared, *self._ops]

    def _trim(self, answer: KvWritten) -> KvWritten:
        before = len(self._compared)
        redacted = tuple(index - before for index in answer.redacted)
        return KvWritten(answer.versions[before:], answer.numbers, redacted)

    def _add(self, step: Op, pending: Any) -> None:  # noqa: ANN401 - a value, or what became of it
        self._check_open()
        self._check_room()
        self._ops.append(step)
        if pending is not None:
            self._pending[step.key] = pending

    def _compare(self, key: str, version: int) -> None:
        if key not in self._compared:
            self._check_room()
            self._compared[key] = version
        elif self._compared[key] != version:
            raise errors.VersionConflict(
                f"Expected {key!r} to stay at version {self._compared[key]}, got {version}",
                field="key",
                value=str(version),
            )

    def _check_room(self) -> None:
        if len(self._compared) + len(self._ops) >= OPS_MAX:
            raise errors.LimitExceeded(
                f"Expected at most {OPS_MAX} steps in a transaction, got more", field="ops"
            )

    def _check_open(self) -> None:
        if self._is_done:
            raise errors.BadRequest("Expected a transaction in its block, got one that has ended")
