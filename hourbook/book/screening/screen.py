"""Taking secrets out of requests before they are queued: `[redacted:RULE]` stands in their place.

Every way into the book is a request to journal_writer, and each passes here, so a rule holds for
all of them or none: what agents log, values and metadata of keys, purposes and reasons, imports.
What only says something is changed: action, entity, kind, tags and details of an entry, values,
metadata, purposes, reasons. What names something (keys, namespaces, instances, sessions, branches,
a schema) is refused, since whoever gave the name would not find it under another.

Pure but for the rules' engine. A request without secrets is returned as it is: its bytes are never
encoded anew.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from hourbook.book.changes.kv import ScreenedWrite
from hourbook.book.screening.rules import FIELD_ENDINGS, NAMED, Rule, compile_rules
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry
from protocols.change import Change
from protocols.kv_messages import NO_METADATA, KvWrite, Op, Set

__all__ = ["SAID", "Screen", "ScreenedAppend"]

SAID: Final = frozenset(("purpose", "why"))
"""Fields of changes that say something; every other text in a change is a name."""
_REMEMBERED_MAX: Final = 10_000
"""Short texts that are known to hold no secret: most actions, entities and fields come again."""
_REMEMBERED_CHARS_MAX: Final = 64
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9]+")
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
        self._hides_named = NAMED in self._rules
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
            pairs = enumerate(zip(ops, request.ops, strict=True))
            if redacted := tuple(index for index, (op, old) in pairs if op is not old):
                self.count += 1
                fields = {name: getattr(request, name) for name in KvWrite.__struct_fields__}
                return ScreenedWrite(**{**fields, "ops": ops}, redacted=redacted)  # type: ignore[return-value]
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
        value, metadata = self.value(op.value, op.key), op.metadata
        if metadata != NO_METADATA:
            metadata = self.value(metadata)
        if value is op.value and metadata is op.metadata:
            return op
        return msgspec.structs.replace(op, value=value, metadata=metadata)

    def _require_clean(self, field: str, name: str) -> None:
        screened = self.text(name)
        if screened is not name:
            raise errors.BadRequest(
                f"Expected `{field}` to be a name without a secret, got {screened!r}: it could not"
                " be found under another name",
                field=field,
            )

    # -- what they say ---------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """Return text without secrets; the same object where it has none."""
        if text in self._clean:
            return text
        screened = text
        for rule in self._rules:
            screened = self._cut(rule, screened)
        if screened is text and len(text) <= _REMEMBERED_CHARS_MAX:
            if len(self._clean) >= _REMEMBERED_MAX:
                self._clean.clear()
            self._clean.add(text)
        return screened

    def value(self, raw: msgspec.Raw, name: str = "") -> msgspec.Raw:
        """Return a MessagePack value without secrets; the same object where it has none.

        Args:
            raw: the value, checked.
            name: under which it stands.
        """
        if len(raw) <= 1:
            return raw
        value = entry.decode_value(bytes(raw), "value")
        screened = self._walk(value, is_secret=self._is_secret(name))
        return raw if screened is value else msgspec.Raw(entry.encode_value(screened, "value"))

    def _walk(self, value: Any, *, is_secret: bool) -> Any:  # noqa: ANN401 - any MessagePack value
        """Return a value without secrets, itself where it has none."""
        match value:
            case str():
                return _same_or(value, _marker(NAMED) if is_secret else self.text(value))
            case bytes():
                # As Latin-1 each byte is one character, whatever it means.
                text = value.decode("latin-1")
                screened = _same_or(text, _marker(NAMED) if is_secret else self.text(text))
                return value if screened is text else screened.encode("latin-1")
            case list():
                items = [self._walk(item, is_secret=is_secret) for item in value]
                changed = any(a is not b for a, b in zip(items, value, strict=True))
                return items if changed else value
            case dict():
                return self._walk_map(value, is_secret=is_secret)
            case msgspec.msgpack.Ext():
                old = bytes(value.data)
                data = self._walk(old, is_secret=is_secret)
                return value if data is old else msgspec.msgpack.Ext(value.code, data)
            case _:
                return value

    def _walk_map(self, value: dict[Any, Any], *, is_secret: bool) -> dict[Any, Any]:
        screened: dict[Any, Any] = {}
        changed = False
        for name, old in value.items():
            new_name = self._walk(name, is_secret=False)
            while new_name is not name and (new_name in screened or new_name in value):
                new_name = new_name + new_name[-1:]  # two secrets must not become one
            new = self._walk(old, is_secret=is_secret or self._is_secret(name))
            changed |= new is not old or new_name is not name
            screened[new_name] = new
        return screened if changed else value

    def _is_secret(self, name: object) -> bool:
        """Return whether what stands under a name is a secret."""
        if not self._hides_named or not isinstance(name, str):
            return False
        return _NOT_OF_A_NAME.sub("", name.lower()).endswith(FIELD_ENDINGS)

    def _cut(self, name: str, text: str) -> str:
        rule, compiled = self._rules[name]
        if rule.hints and not _has_hint(rule, text):
            return text
        if compiled.search(text) is None:
            return text
        group, marker = compiled.groupindex.get("secret", 0), _marker(name)

        def replace(match: Any) -> str:  # noqa: ANN401 - RE2 has no types
            whole, begun = match.group(), match.start()
            start, end = match.span(group)
            return f"{whole[: start - begun]}{marker}{whole[end - begun :]}"

        return _same_or(text, compiled.sub(replace, text))


def _has_hint(rule: Rule, text: str) -> bool:
    within = text.casefold() if rule.folds else text
    for hint in rule.hints:  # noqa: SIM110 - three times as fast as any()
        if hint in within:
            return True
    return False


def _same_or(old: str, new: str) -> str:
    """Return `old` itself where nothing is to be changed: empty text is no secret."""
    return old if not old or new == old else new


def _marker(rule: str) -> str:
    return f"[redacted:{rule}]"
