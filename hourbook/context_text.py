"""A digest as text for an agent's context: markdown, one line each (compact), or JSON. Pure.

What entries say is shown on one line each, cut to a length, with control characters visible: an
entry cannot pretend to be a heading, and the whole keeps within a size. The same digest is always
the same text, so a file is only written when something has changed.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from hourbook.book.digest import Active, Digest, EntityState, Locked, SessionState
from hourbook.book.render import entry_json, json_value
from hourbook.book.store.shared_keys import Shared
from hourbook.rfc3339 import format_utc_ns
from hourbook.words import visible
from protocols import errors
from protocols.entry import Entry

__all__ = ["CHARS_MAX", "ContextFormat", "digest_json", "render_digest", "session_json"]

ContextFormat = Literal["markdown", "json", "compact"]
CHARS_MAX: Final = 16_000
"""About 4000 tokens; whole lines are left out from the end of the longest lists."""
KEY_CHARS_MAX: Final = 80
DETAILS_CHARS_MAX: Final = 160
JSON_DETAILS_CHARS_MAX: Final = 1000

Section = tuple[str, list[str]]


def render_digest(digest: Digest, form: ContextFormat, chars_max: int = CHARS_MAX) -> str:
    """Return the digest as text that ends with a newline.

    Args:
        digest: what to show.
        form: which text.
        chars_max: the size that it keeps within (markdown and compact).

    Raises:
        BadRequest: another format.
    """
    if form not in ("markdown", "json", "compact"):
        raise errors.BadRequest(
            f"Expected a format of markdown, json or compact, got {form!r}", field="format"
        )
    if form == "json":
        return json.dumps(digest_json(digest), allow_nan=False) + "\n"
    title, line = (
        (_markdown_title, _markdown_line) if form == "markdown" else (_compact_title, _compact_line)
    )
    sections = [
        _recent(digest, line),
        _entities(digest, line),
        _decisions(digest, line),
        ("Shared keys", [_shared_line(each, line) for each in digest.shared]),
        ("Active", [_active_line(each, line) for each in digest.active]),
        ("Locked", [_locked_line(each, line) for each in digest.locked]),
    ]
    if digest.session is not None:
        sections = sections[:3]
    head = _head_lines(digest, form)
    _cut(sections, chars_max - sum(len(text) + 1 for text in head))
    lines = head
    for name, texts in sections:
        lines += title(name)
        lines += texts or (["- nothing"] if form == "markdown" else [])
    return "\n".join(lines).rstrip("\n") + "\n"


def digest_json(digest: Digest) -> dict[str, Any]:
    """Return the digest as ``hourbook context --json`` prints it (docs/CLI.md)."""
    head = digest.head
    return {
        "seq": 0 if head is None else head.seq,
        "hash": None if head is None else head.hash.hex(),
        "time": None if head is None else format_utc_ns(head.time_ns),
        "time_ns": None if head is None else str(head.time_ns),
        "entries": digest.entries,
        "session": None if digest.session is None else session_json(digest.session),
        "recent": [_entry_json(entry) for entry in digest.recent],
        "entities": [
            {"entity": each.last.entity, "count": each.count, "last": _entry_json(each.last)}
            for each in digest.entities
        ],
        "decisions": [_entry_json(entry) for entry in digest.decisions],
        "active": [
            {
                "name": each.name,
                "pid": each.pid,
                "last": None if each.last is None else _entry_json(each.last),
            }
            for each in digest.active
        ],
        "shared": [_shared_json(each) for each in digest.shared],
        "locked": [msgspec.structs.asdict(each) for each in digest.locked],
    }


def session_json(session: SessionState) -> dict[str, Any]:
    """Return one session as ``hourbook session list --json`` prints it."""
    return {
        "name": session.name,
        "started": format_utc_ns(session.started_ns),
        "started_ns": str(session.started_ns),
        "started_by": session.started_by,
        "entries": session.entries,
        "first_seq": session.first_seq,
        "last_seq": session.last_seq,
        "last": format_utc_ns(session.last_ns),
        "last_ns": str(session.last_ns),
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    """Return an entry without its proofs, and without more details than a context can use."""
    shown = entry_json(entry)
    for name in ("hlc", "nonce", "parent_hash", "bound_ns"):
        del shown[name]
    if (cut := _cut_json(shown["details"])) is not None:
        shown["details"] = cut
        shown["details_cut"] = True
    return shown


def _shared_json(shared: Shared) -> dict[str, Any]:
    value = json_value(shared.value)
    shown = {
        "namespace": shared.namespace,
        "key": shared.key,
        "version": shared.version,
        "writer": shared.writer,
        "time": format_utc_ns(shared.time_ns),
        "value": value,
        "missing": shared.missing or None,
    }
    if (cut := _cut_json(value)) is not None:
        shown["value"] = cut
        shown["value_cut"] = True
    return shown


def _cut_json(shown: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return the beginning of a value that is too long for a context, as text; None: it is not."""
    text = msgspec.json.encode(shown).decode()
    if len(text) <= JSON_DETAILS_CHARS_MAX:
        return None
    return (shown if isinstance(shown, str) else text)[:JSON_DETAILS_CHARS_MAX]


# -- text ---------------------------------------------------------------------------------------


def _head_lines(digest: Digest, form: ContextFormat) -> list[str]:
    name = "Hourbook" if digest.session is None else f"Session {digest.session.name}"
    if digest.head is None:
        said = "the book is empty"
    else:
        at = format_utc_ns(digest.head.time_ns, digits=3)
        entries = "1 entry" if digest.entries == 1 else f"{digest.entries} entries"
        said = f"{entries}, the book ends at #{digest.head.seq}, {at}"
    return [f"# {name}", "", said] if form == "markdown" else [f"{name}: {said}"]


def _recent(digest: Digest, line: Callable[[Entry, str], str]) -> Section:
    return "Recent actions", [line(entry, "") for entry in digest.recent]


def _entities(digest: Digest, line: Callable[[Entry, str], str]) -> Section:
    return "State", [line(each.last, _times(each)) for each in digest.entities]


def _decisions(digest: Digest, line: Callable[[Entry, str], str]) -> Section:
    return "Decisions", [line(entry, "") for entry in digest.decisions]


def _times(state: EntityState) -> str:
    return "" if state.count == 1 else f" ({state.count} actions)"


def _active_line(active: Active, line: Callable[[Entry, str], str]) -> str:
    who = f"{active.name}, process {active.pid}"
    is_markdown = line is _markdown_line
    start = f"- **{active.name}**, process {active.pid}" if is_markdown else who
    if active.last is None:
        return start
    return f"{start}: {_said(active.last)} (#{active.last.seq})"


def _shared_line(shared: Shared, line: Callable[[Entry, str], str]) -> str:
    name = visible(f"{shared.namespace}/{shared.key}", KEY_CHARS_MAX)
    said = f"[{shared.missing}]" if shared.missing else _value(shared.value)
    if line is not _markdown_line:
        return f"#{shared.version} {shared.writer} {name}: {said}"
    when = format_utc_ns(shared.time_ns, digits=0)
    return f"- {when} **{name}**: {said} _{shared.writer} #{shared.version}_"


def _locked_line(locked: Locked, line: Callable[[Entry, str], str]) -> str:
    name = visible(f"{locked.namespace}/{locked.key}", KEY_CHARS_MAX)
    start = f"- **{name}**" if line is _markdown_line else name
    return f"{start} by {locked.writer}, process {locked.pid} (#{locked.token})"


def _markdown_title(name: str) -> list[str]:
    return ["", f"## {name}", ""]


def _compact_title(name: str) -> list[str]:
    return [f"{name}:"]


def _markdown_line(entry: Entry, extra: str) -> str:
    when = format_utc_ns(entry.time_ns, digits=0)
    action, entity = _key(entry.action), _key(entry.entity)
    return f"- {when} **{action}** {entity}{_details(entry)}{extra} _{entry.writer} #{entry.seq}_"


def _compact_line(entry: Entry, extra: str) -> str:
    return f"#{entry.seq} {entry.writer} {_said(entry)}{extra}"


def _said(entry: Entry) -> str:
    return f"{_key(entry.action)} {_key(entry.entity)}{_details(entry)}"


def _details(entry: Entry) -> str:
    if entry.details_raw is None:
        return "" if entry.missing is None else f": [{entry.missing.cause}]"
    value = entry.details
    if value is None:
        return ""
    return f": {_value(value)}"


def _value(value: Any) -> str:  # noqa: ANN401 - any MessagePack value
    text = value if isinstance(value, str) else msgspec.json.encode(json_value(value)).decode()
    return visible(text, DETAILS_CHARS_MAX)


def _key(text: str) -> str:
    return visible(text, KEY_CHARS_MAX)


def _cut(sections: list[Section], chars_max: int) -> None:
    """Leave out the last lines of the longest list until all keep within the size."""
    overhead = sum(len(name) + 8 for name, _ in sections)
    size = overhead + sum(len(text) + 1 for _, texts in sections for text in texts)
    while size > chars_max:
        longest = max((texts for _, texts in sections), key=lambda t: sum(map(len, t)))
        if not longest:
            return
        size -= len(longest.pop()) + 1
