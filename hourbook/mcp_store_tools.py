"""The tools that agents get over MCP for the store: keys and values that all of them share.

Values are JSON here. Versions are decimal strings, as all numbers that must be exact; a tool takes
them as text or number. There is no tool for locks: a lease ends with the process that holds it, and
that is the server's, not the model's; what a model read it protects by `if_version`.
"""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue

from hourbook.book.render import json_value
from hourbook.faces.book import Book
from hourbook.faces.store import Store
from hourbook.mcp_shapes import KvItem, KvKeys, KvNumber, KvVersion
from hourbook.mcp_tool_errors import as_tool_error
from hourbook.rfc3339 import format_utc_ns
from protocols import errors

__all__ = ["StoreTools"]

KEYS_MAX: Final = 1000
DIGITS_MAX: Final = 20
"""Of a version; Python refuses to read thousands of them."""
MOMENT_LENGTH_MAX: Final = 80
Namespace = Annotated[
    str, Field(description="[a-z0-9._-]{1,64}, such as shared_state; it is made by using it")
]
Key = Annotated[str, Field(description="any text of 1 to 1024 bytes")]
IfVersion = Annotated[
    str | int | None,
    Field(description="only where the key has this version; 0: only where it is not there"),
]
KeyType = Literal["", "persistent", "versioned", "shared", "transient", "cached"]
"""Of the store's types all but `locked`: to write such a key takes a lock."""
Ttl = Annotated[float | None, Field(description="seconds that it lives; null: as usual there")]


class StoreTools:
    """The store's tools on one book."""

    def __init__(self, open_book: Callable[[], Book]) -> None:
        """Prepare; `open_book` is called when a tool is."""
        self._open_book = open_book

    @as_tool_error
    def kv_get(
        self,
        namespace: Namespace,
        key: Key,
        at: Annotated[
            str | None,
            Field(description="as of a seq, a time or a hash", max_length=MOMENT_LENGTH_MAX),
        ] = None,
    ) -> KvItem:
        """Read what a key of the shared store holds, or held, with its version."""
        item = self._store(namespace).get_item(key, at=at)
        if item is None:
            return KvItem(namespace=namespace, key=key, found=False)
        return KvItem(
            namespace=namespace,
            key=key,
            found=True,
            value=json_value(item.value),
            version=str(item.version),
            type=item.type,
            expires=None if item.expires_ns is None else format_utc_ns(item.expires_ns),
            metadata=json_value(item.metadata),
        )

    @as_tool_error
    def kv_set(
        self,
        namespace: Namespace,
        key: Key,
        value: Annotated[JsonValue, Field(description="any JSON value")],
        ttl_seconds: Ttl = None,
        if_version: IfVersion = None,
        type: Annotated[  # noqa: A002 - as the store calls it
            KeyType,
            Field(
                description="persistent; versioned: its past is kept; shared: shown to all agents;"
                ' transient, cached: not for long; "": as it is or as usual there'
            ),
        ] = "",
        metadata: Annotated[
            dict[str, JsonValue] | None, Field(description="what else is to be known of it")
        ] = None,
    ) -> KvVersion:
        """Give a key of the shared store a value; every agent sees it when this returns."""
        version = self._store(namespace).set(
            key,
            value,
            ttl_s=ttl_seconds,
            if_version=_version(if_version),
            type=type,
            metadata=metadata,
        )
        return KvVersion(namespace=namespace, key=key, version=str(version))

    @as_tool_error
    def kv_delete(self, namespace: Namespace, key: Key, if_version: IfVersion = None) -> KvVersion:
        """Take a key out of the shared store; version 0 says that it was not there."""
        version = self._store(namespace).delete(key, if_version=_version(if_version))
        return KvVersion(namespace=namespace, key=key, version=str(version))

    @as_tool_error
    def kv_increment(
        self,
        namespace: Namespace,
        key: Key,
        by: Annotated[int | float, Field(description="how much to add")] = 1,
        ttl_seconds: Ttl = None,
    ) -> KvNumber:
        """Add to a number in the shared store, whoever else does so too, and read the sum."""
        number = self._store(namespace).increment(key, by, ttl_s=ttl_seconds)
        return KvNumber(namespace=namespace, key=key, value=json_value(number))

    @as_tool_error
    def kv_keys(
        self,
        namespace: Namespace,
        glob: Annotated[
            str, Field(description="* any text, ? one character, [a-z] one of a set")
        ] = "*",
        limit: Annotated[int, Field(ge=1, le=KEYS_MAX, description="keys at most")] = 100,
    ) -> KvKeys:
        """List the keys of the shared store that fit a glob."""
        found = list(islice(self._store(namespace).keys(glob), limit + 1))
        return KvKeys(namespace=namespace, keys=found[:limit], truncated=len(found) > limit)

    def _store(self, namespace: str) -> Store:
        return self._open_book().store(namespace)


def _version(said: str | int | None) -> int | None:
    if said is None or isinstance(said, int):
        return said
    if not (said.isascii() and said.isdigit() and len(said) <= DIGITS_MAX):
        raise errors.BadRequest(
            f"Expected `if_version` as a decimal number, got {said[:40]!r}", field="if_version"
        )
    return int(said)
