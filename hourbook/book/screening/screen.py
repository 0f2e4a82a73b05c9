"""Taking secrets out of requests before they are queued: `[redacted:RULE]` stands in their place.

Every way into the book is a request to journal_writer, and each passes here, so a rule holds for
all of them or none: what agents log, values and metadata of keys, purposes and reasons, imports.
What only says something is changed: action, entity, kind, tags and details of an entry, values,
metadata, purposes, reasons. What names something (keys, namespaces, instances, sessions, branches,
a schema) is refused, since whoever gave the name would not find it under another.

Pure but for the rules' engine. A request without secrets is returned as it is: its bytes are never
encoded anew.
"""

from typing import Any, Final, TypeVar

import msgspec

from hourbook.book.screening.rules import FIELD_NAME, NAMED_SECRET, compile_pattern, compile_rules
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry
from protocols.change import Change
from protocols.kv_messages import NO_METADATA, KvWrite, Op, Set

__all__ = ["SAID", "Screen", "ScreenedAppend"]

SAID: Final = frozenset(("purpose", "why"))
"""Fields of changes that say something; every other text in a change is a name."""
_NAMES_KEPT_MAX: Final = 10_000
_ChangeT = TypeVar("_ChangeT", bound=Change)


class ScreenedAppend(Append, frozen=True, omit_defaults=True):
    """An append of which some entries were changed.

    Attributes:
        redacted: which, from 0 on.
    """

    redacted: tuple[int, ...] = ()


class Screen:
    """The rules of one writer."""

    def __init__(self, names: tuple[str, ...], patterns: dict[str, str]) -> None:
        """Compile them.

        Raises:
            BadRequest: a pattern that RE2 cannot read.
        """
        self._rules = compile_rules(names, patterns)
        has_fields = NAMED_SECRET in self._rules
        self._field_name = compile_pattern(NAMED_SECRET, FIELD_NAME) if has_fields else None
        self._clean: set[str] = set()
        self.count = 0

    # -- requests --------------------------------------------------------------------------------

    def append(self, request: Append) -> Append:
        """Return an append without secrets.

        Raises:
            BadRequest: the name of the writer or of the session is one.
        """
        self._require_clean("writer", request.writer)
        self._require_clean("session", request.session)
        entries = [self._entry(new) for new in request.entries]
        pairs = enumerate(zip(entries, request.entries, strict=True))
        redacted = tuple(index for index, (new, old) in pairs if new is not old)
        if not redacted:
            return request
        self.count += len(redacted)
        fields = {name: getattr(request, name) for name in Append.__struct_fields__}
        return ScreenedAppend(**{**fields, "entries": entries}, redacted=redacted)

    def change(self, request: _ChangeT) -> _ChangeT:
        """Return a change without secrets.

        Raises:
            BadRequest: a name in it is one.
        """
        new: dict[str, Any] = {}
        for field in request.__struct_fields__:
            value = getattr(request, field)
            if not isinstance(value, str) or not value:
                continue
            if field not in SAID:
                self._require_clean(field, value)
            elif (said := self.text(value)) != value:
                new[field] = said
        if isinstance(request, KvWrite):
            ops = [self._op(op) for op in request.ops]
            if any(op is not old for op, old in zip(ops, request.ops, strict=True)):
                new["ops"] = ops
        if not new:
            return request
        self.count += 1
        return msgspec.structs.replace(request, **new)

    def _entry(self, new: NewEntry) -> NewEntry:
        texts = (new.action, new.entity, new.kind, *new.tags)
        screened = [self.text(text) for text in texts]
        details = self.value(new.details)
        if details is new.details and all(a is b for a, b in zip(screened, texts, strict=True)):
            return new
        action, entity, kind, *tags = screened
        return NewEntry(action, entity, details, tuple(tags), kind)

    def _op(self, op: Op) -> Op:
        self._require_clean("key", op.key)
        if not isinstance(op, Set):
            return op
        value, metadata = self.value(op.value), op.metadata
        if metadata != NO_METADATA:
            metadata = self.value(metadata)
        if value is op.value and metadata is op.metadata:
            return op
        return msgspec.structs.replace(op, value=value, metadata=metadata)

    def _require_clean(self, field: str, name: str) -> None:
        if name in self._clean:
            return
        for rule in self._rules:
            if self._cut(rule, name) is not name:
                raise errors.BadRequest(
                    f"Expected `{field}` to be a name without a secret, got one that fits the rule"
                    f" {rule}: it could not be found under another name",
                    field=field,
                )
        if len(self._clean) >= _NAMES_KEPT_MAX:
            self._clean.clear()
        self._clean.add(name)

    # -- what they say ---------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Return text without secrets; the same object where it has none."""
        for rule in self._rules:
            text = self._cut(rule, text)
        return text

    def value(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Return a MessagePack value without secrets; the same object where it has none."""
        if len(raw) <= 1:
            return raw
        value = entry.decode_value(bytes(raw), "value")
        screened = self._walk(value)
        return raw if screened is value else msgspec.Raw(entry.encode_value(screened, "value"))

    def _walk(self, value: Any) -> Any:  # noqa: ANN401 - any MessagePack value
        match value:
            case str():
                return self.text(value)
            case bytes():
                # As Latin-1 each byte is one character, whatever it means.
                text = value.decode("latin-1")
                screened = self.text(text)
                return value if screened is text else screened.encode("latin-1", "replace")
            case list():
                items = [self._walk(item) for item in value]
                changed = any(a is not b for a, b in zip(items, value, strict=True))
                return items if changed else value
            case dict():
                return self._walk_map(value)
            case msgspec.msgpack.Ext():
                data = self._walk(bytes(value.data))
                return value if data == value.data else msgspec.msgpack.Ext(value.code, data)
            case _:
                return value

    def _walk_map(self, value: dict[Any, Any]) -> dict[Any, Any]:
        screened: dict[Any, Any] = {}
        changed = False
        for name, held in value.items():
            kept_name = self._walk(name) if isinstance(name, str | bytes) else name
            while kept_name is not name and (kept_name in screened or kept_name in value):
                kept_name = kept_name + kept_name[-1:]  # two secrets may not become one
            kept = self._hidden(name, held)
            if kept is held:
                kept = self._walk(held)
            changed |= kept is not held or kept_name is not name
            screened[kept_name] = kept
        return screened if changed else value

    def _hidden(self, name: object, held: Any) -> Any:  # noqa: ANN401 - any MessagePack value
        """Return what stands in a field whose name says that it holds a secret."""
        if self._field_name is None or not isinstance(name, str) or not held:
            return held
        marker = _marker(NAMED_SECRET)
        if not isinstance(held, str | bytes) or held in (marker, marker.encode()):
            return held
        if self._field_name.search(name) is None:
            return held
        return marker if isinstance(held, str) else marker.encode()

    def _cut(self, name: str, text: str) -> str:
        rule, compiled = self._rules[name]
        if rule.hints and not any(hint in text for hint in rule.hints):
            return text
        if compiled.search(text) is None:
            return text
        group, marker = compiled.groupindex.get("secret", 0), _marker(name)

        def replace(match: Any) -> str:  # noqa: ANN401 - RE2 has no types
            whole, begun = match.group(), match.start()
            start, end = match.span(group)
            return f"{whole[: start - begun]}{marker}{whole[end - begun :]}"

        screened: str = compiled.sub(replace, text)
        return text if screened == text else screened


def _marker(rule: str) -> str:
    return f"[redacted:{rule}]"
