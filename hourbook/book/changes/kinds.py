"""Every change that the book knows. A new kind is a struct in protocols, a module here, a line."""

from collections.abc import Mapping
from typing import Any, Final

from hourbook.book.changes.archiving import RETAIN, SEAL_ARCHIVE
from hourbook.book.changes.branching import CREATE_BRANCH, DELETE_BRANCH, MERGE_BRANCH
from hourbook.book.changes.instances import REGISTER, RELEASE
from hourbook.book.changes.kv import KV_WRITE, SWEEP, ScreenedWrite
from hourbook.book.changes.kv_compaction import COMPACT_KEYS
from hourbook.book.changes.kv_schema import SET_SCHEMA
from hourbook.book.changes.locks import ACQUIRE
from hourbook.book.changes.locks import RELEASE as RELEASE_LOCK
from hourbook.book.changes.redaction import REDACT
from hourbook.book.changes.scope import ChangeKind
from hourbook.book.changes.sessions import START_SESSION
from hourbook.book.changes.signing import ROTATE_KEY
from protocols.change import Change

__all__ = ["KINDS"]

_ALL: Final[tuple[ChangeKind[Any], ...]] = (
    *(REGISTER, RELEASE, START_SESSION, ROTATE_KEY),
    *(REDACT, SEAL_ARCHIVE, RETAIN),
    *(CREATE_BRANCH, MERGE_BRANCH, DELETE_BRANCH),
    *(KV_WRITE, SWEEP, COMPACT_KEYS, SET_SCHEMA, ACQUIRE, RELEASE_LOCK),
)
KINDS: Final[Mapping[type[Change], ChangeKind[Any]]] = {
    **{kind.request: kind for kind in _ALL},
    ScreenedWrite: KV_WRITE,
}
