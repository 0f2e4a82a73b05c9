# One link of the chain; its user is hourbook.book.journal.

from typing import Any

# The fields of an entry that are known before its hash, in the order of the table's columns: the
# binary ones as any buffer, but for `nonce`, `salt` and `parent`, which go into the row as they
# are. Returns the row, the same as it is inserted (without a digest of dropped details), and the
# record of the feed.
def link(
    seq: int,
    time_ns: int,
    bound_ns: int,
    hlc: int,
    branch: int,
    writer: str,
    session: str,
    nonce: bytearray,
    kind: str,
    action: str,
    entity: str,
    tags: tuple[str, ...],
    salt: bytes | bytearray,
    details: bytes | bytearray | memoryview,
    parent: bytearray,
    /,
) -> tuple[tuple[Any, ...], tuple[Any, ...], bytes]: ...
