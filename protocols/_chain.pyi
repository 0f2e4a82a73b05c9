# One link of the chain; its user is hourbook.book.journal.

from typing import Any

# The fields of an entry that are known before its hash, in the order of the table's columns: the
# binary ones as any buffer, but for `nonce`, `salt` and `parent`, which go into the row as they
# are. Returns the row and the record: the same as a MessagePack array.
def link(
    seq: int,
    time_ns: int,
    bound_ns: int,
    hlc: int,
    branch: int,
    writer: str,
    session: str,
    nonce: bytes,
    kind: str,
    action: str,
    entity: str,
    tags: tuple[str, ...],
    salt: bytes,
    details: bytes | bytearray | memoryview,
    parent: bytes,
    /,
) -> tuple[tuple[Any, ...], bytes]: ...
