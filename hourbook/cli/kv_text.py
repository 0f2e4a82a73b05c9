"""The store as lines for people and as JSON for programs. Pure; docs/CLI.md has the shapes."""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from hourbook.book.render import json_value
from hourbook.cli.book_text import cut_after
from hourbook.cli.tables import table
from hourbook.rfc3339 import format_utc_ns
from hourbook.words import counted, duration_text, size_text, text_width, visible
from protocols.kv_figures import NamespaceFigures, StoreFigures

if TYPE_CHECKING:
    from hourbook.book.store.past import KeyVersion
    from hourbook.book.store.reading import Item
    from hourbook.faces.store_stats import Holding
    from hourbook.faces.watch import StoreEvent
    from protocols.kv_messages import Lock

__all__ = [
    "event_json",
    "event_line",
    "holding_json",
    "holding_lines",
    "item_json",
    "lock_json",
    "lock_lines",
    "pair_line",
    "raw_value",
    "stats_json",
    "stats_lines",
    "value_text",
    "version_json",
    "version_line",
]

ACTION_WIDTH: Final = 9
KIND_WIDTH: Final = 12


def value_text(value: object, length_max: int = 0) -> str:
    """Return a value on one line: text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return visible(value, length_max)
    return visible(_json_of(value).decode(), length_max)


def pair_line(key: str, value: object, width: int | None) -> str:
    """Return a key and what it holds on a line; where no terminal is, with a tab between them."""
    gap = "\t" if width is None else "  "
    return f"{visible(key)}{gap}{value_text(value, width or 0)}"


def raw_value(value: object) -> bytes:
    """Return text and bytes exactly as they are, anything else as compact JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else _json_of(value)


def _json_of(value: object) -> bytes:
    """Return compact JSON; a number by itself with all its digits: `kv incr` prints it so, too."""
    return msgspec.json.encode(value if isinstance(value, int) else json_value(value))


def item_json(namespace: str, item: "Item") -> dict[str, Any]:
    """Return a key as ``kv get --json`` shows it."""
    return {
        "namespace": namespace,
        "key": item.key,
        "value": json_value(item.value),
        "version": json_value(item.version),
        "created": json_value(item.created),
        "type": item.type,
        "expires": None if item.expires_ns is None else format_utc_ns(item.expires_ns),
        "metadata": json_value(item.metadata),
    }


def version_json(version: "KeyVersion") -> dict[str, Any]:
    """Return one write of a key as each line of ``kv history --json`` shows it."""
    entry = version.entry
    return {
        "key": version.key,
        "version": version.version,
        "time": format_utc_ns(version.time_ns),
        "time_ns": str(version.time_ns),
        "action": version.action,
        "writer": version.writer,
        "value": None if entry.details_raw is None else json_value(version.value),
        "missing": None if entry.missing is None else msgspec.structs.asdict(entry.missing),
    }


def version_line(version: "KeyVersion", width: int | None = None) -> str:
    """Return one write of a key on a line, which the terminal's `width` (columns) may cut."""
    head = (
        f"{version.version:>8}  {format_utc_ns(version.time_ns, digits=3)}"
        f"  {version.action:<{ACTION_WIDTH}} {version.writer}"
    )
    return head + _said(version, text_width(head), width)


def event_json(event: "StoreEvent") -> dict[str, Any]:
    """Return an event as each line of ``kv watch --json`` shows it."""
    return {**version_json(event), "kind": event.kind, "token": event.token}


def event_line(event: "StoreEvent", width: int | None = None) -> str:
    """Return an event on a line, which the terminal's `width` (columns) may cut."""
    head = (
        f"{event.version:>8}  {format_utc_ns(event.time_ns, digits=3)}  {event.kind:<{KIND_WIDTH}}"
        f" {visible(event.key)}  {event.writer}"
    )
    if event.token:
        return f"{head}  token {event.token}"
    return head + _said(event, text_width(head), width)


def _said(version: "KeyVersion", used: int, width: int | None) -> str:
    if version.entry.details_raw is None:
        return "  (redacted)"
    if not version.is_present:
        return ""
    return f"  {cut_after(used + 2, value_text(version.value), width)}"


def lock_json(lock: "Lock") -> dict[str, Any]:
    """Return a lock as ``kv locks --json`` shows it."""
    return {
        "namespace": lock.ns,
        "key": lock.key,
        "token": lock.token,
        "writer": lock.writer,
        "pid": lock.holder.pid,
        "granted": format_utc_ns(lock.granted_ns),
        "ttl_ns": lock.ttl_ns,
        "left_ns": lock.left_ns,
        "waiting": lock.waiting,
    }


def lock_lines(locks: list["Lock"]) -> list[str]:
    """Return the locks that are held, as a table."""
    rows = [("LOCK", "TOKEN", "HOLDER", "PID", "SINCE", "LEFT", "WAITING")]
    rows += [
        (
            f"{lock.ns}/{lock.key}",
            str(lock.token),
            lock.writer,
            str(lock.holder.pid),
            format_utc_ns(lock.granted_ns, digits=0),
            duration_text(lock.left_ns),
            ", ".join(lock.waiting),
        )
        for lock in locks
    ]
    return table(rows) if locks else ["no lock is held"]


def holding_json(held: "Holding") -> dict[str, Any]:
    """Return what a namespace holds, as a line of ``kv stats --json`` shows it of each."""
    return {
        "namespace": held.namespace,
        "entries": sum(held.entries.values()),
        "types": held.entries,
        "bytes": held.bytes,
        "locks": held.locks,
    }


def holding_lines(holdings: "list[Holding]") -> list[str]:
    """Return what each namespace holds, as a table."""
    rows = [("NAMESPACE", "KEYS", "BYTES", "LOCKS", "TYPES")]
    rows += [
        (
            each.namespace,
            str(sum(each.entries.values())),
            str(each.bytes),
            str(each.locks),
            _types_text(each.entries),
        )
        for each in holdings
    ]
    return table(rows) if holdings else ["the store is empty"]


def _types_text(entries: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(entries.items()))


def stats_json(held: "Holding", of_all: StoreFigures | None) -> dict[str, Any]:
    """Return the figures of a namespace as ``kv stats NS --json`` shows them.

    Args:
        held: what it holds.
        of_all: what all processes did; None where journal_writer does not answer.
    """
    if of_all is None:
        names = NamespaceFigures.__struct_fields__
        return {**holding_json(held), **dict.fromkeys(names), "store": None}
    used = of_all.namespaces.get(held.namespace, NamespaceFigures())
    store = msgspec.structs.asdict(of_all)
    del store["namespaces"]
    return {**holding_json(held), **msgspec.structs.asdict(used), "store": store}


def stats_lines(held: "Holding", of_all: StoreFigures | None) -> list[str]:
    """Return the figures of a namespace for people; see :func:`stats_json`."""
    types = _types_text(held.entries)
    text = (
        f"{held.namespace}: {counted(sum(held.entries.values()), 'key', 'keys')}"
        f"{f' ({types})' if types else ''}, {size_text(held.bytes)},"
        f" {counted(held.locks, 'lock', 'locks')} held"
    )
    if of_all is None:
        return [text, "  what is done with it is not known: the tree does not run"]
    used = of_all.namespaces.get(held.namespace, NamespaceFigures())
    reads = counted(used.reads, "read", "reads")
    if used.reads:
        reads += f", {used.hit_rate:.1%} from memory"
    writes = f"{counted(used.writes, 'write', 'writes')}, {used.refusals} refused"
    watches = f"{counted(used.watches, 'watch', 'watches')} open"
    return [text, f"  {reads}; {writes}, {used.conflicts} of them as stale; {watches}"]
