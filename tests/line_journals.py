"""Journals of other tools, written as those write them; the rules are spelled out here anew."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

__all__ = ["FIRST_PARENT", "Journal", "check_lines", "record_hash"]

FIRST_PARENT = "0000000000000000"


def record_hash(record: dict[str, Any]) -> str:
    """Return the SHA-256 of the six other fields, joined, as hex."""
    names = ("timestamp", "action", "entity", "details", "parent_hash", "nonce")
    joined = "".join(record.get(name, "") for name in names)
    return hashlib.sha256(joined.encode()).hexdigest()


class Journal:
    """A journal in the making: each record follows the one before, unless told otherwise."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.parent = FIRST_PARENT
        self._count = 0

    def add(self, action: str, entity: str, details: str = "", **changed: Any) -> dict[str, Any]:
        """Append a record; `changed` fields are put in before it is hashed."""
        self._count += 1
        record = {
            "timestamp": f"2025-12-23T18:36:{self._count % 60:02d}.347Z",
            "action": action,
            "entity": entity,
            "details": details,
            "sha256": "",
            "parent_hash": self.parent,
            "nonce": f"{4000 + self._count}-2847561923",
            **changed,
        }
        if not record["sha256"]:
            record["sha256"] = record_hash(record)
        self.parent = record["sha256"]
        self.lines.append(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode())
        return record

    def text(self) -> bytes:
        """Return the file."""
        return b"".join(line + b"\n" for line in self.lines)


def check_lines(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the records of an exported journal; fail unless each is hashed and follows."""
    parent, records = FIRST_PARENT, []
    for line in lines:
        record = json.loads(line)
        assert record["parent_hash"] == parent
        assert record["sha256"] == record_hash(record)
        parent = record["sha256"]
        records.append(record)
    return records
