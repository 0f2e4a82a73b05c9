"""Globs over keys: ``*`` any text, ``?`` one character, ``[a-z]`` one of a set, ``[!a-z]`` none.

Matched against the whole key, and each character of a key is like any other: a dot, a slash, a
newline and a backslash stand for themselves, in a key and in a glob. Inside a set ``]`` stands
first, ``-`` first or last, to be itself; so every character can be asked for (``[*]``, ``[[]``).

Matching takes time in proportion to the length of key times glob, whatever the glob. Pure.
"""

import re
from typing import Final

import msgspec

from protocols import errors
from protocols.kv_messages import KEY_BYTES_MAX
from protocols.texts import text_size

__all__ = ["EVERYTHING", "Glob", "parse_glob"]

_SURROGATES: Final = (0xD800, 0xDFFF)
_LAST: Final = 0x10FFFF


class Glob(msgspec.Struct, frozen=True):
    """A pattern that was understood.

    Attributes:
        pattern: as it was written.
        prefix: what every key that fits begins with.
        is_literal: only one key fits, `prefix`.
    """

    pattern: str
    prefix: str
    is_literal: bool
    _regex: re.Pattern[str]

    def matches(self, key: str) -> bool:
        """Return whether the whole key fits."""
        return self._regex.fullmatch(key) is not None

    @property
    def end(self) -> str | None:
        """The first text that is after every key with this prefix; None: there is none."""
        for index in range(len(self.prefix) - 1, -1, -1):
            following = ord(self.prefix[index]) + 1
            if _SURROGATES[0] <= following <= _SURROGATES[1]:
                following = _SURROGATES[1] + 1  # no key holds one, and UTF-8 keeps the order
            if following <= _LAST:
                return self.prefix[:index] + chr(following)
        return None


def parse_glob(pattern: object, field: str = "glob") -> Glob:
    """Return a glob.

    Raises:
        BadRequest: no text, empty, or a set that does not end, is empty or runs backwards.
        LimitExceeded: longer than a key.
    """
    if not isinstance(pattern, str):
        raise errors.BadRequest(
            f"Expected a glob as text, got {type(pattern).__name__}, in {field}", field=field
        )
    _check_size(pattern, field)
    parts: list[str] = []
    prefix, is_literal, is_open, index = "", True, False, 0
    while index < len(pattern):
        character = pattern[index]
        index += 1
        if character == "*":
            is_literal = False
            if is_open:
                parts.append(")")
            # Atomic: the first place where what follows fits is as good as any later one.
            parts.append("(?>.*?")
            is_open = True
            while index < len(pattern) and pattern[index] == "*":
                index += 1
            continue
        if character == "?":
            parts.append(".")
        elif character == "[":
            part, index = _set(pattern, index, field)
            parts.append(part)
        else:
            parts.append(re.escape(character))
            if is_literal:
                prefix += character
            continue
        is_literal = False
    regex = "".join(parts)
    if is_open:  # the last `*` has to reach the end, so it is not atomic
        head, _, tail = regex.rpartition("(?>.*?")
        regex = f"{head}.*{tail}"
    return Glob(pattern, prefix, is_literal, re.compile(regex, re.DOTALL))


def _set(pattern: str, start: int, field: str) -> tuple[str, int]:
    """Return a set as a regular expression, and where the pattern goes on after it."""
    index = start
    is_negated = pattern[index : index + 1] == "!"
    index += is_negated
    end = pattern.find("]", index + 1)
    if end < 0:
        raise _refusal(
            pattern, f"a `[` that ends with `]`, got one at {start - 1} that does", field
        )
    members, said = pattern[index:end], []
    position = 0
    while position < len(members):
        first = last = members[position]
        if members[position + 1 : position + 2] == "-" and position + 2 < len(members):
            last = members[position + 2]
            position += 2
        if last < first:
            raise _refusal(pattern, f"a rising range, got {first}-{last}, which does", field)
        said.append(f"{re.escape(first)}-{re.escape(last)}")
        position += 1
    return f"[{'^' * is_negated}{''.join(said)}]", end + 1


def _check_size(pattern: str, field: str) -> None:
    size = text_size(pattern, field)
    if not pattern:
        raise errors.BadRequest(
            f"Expected a glob, got empty text, in {field}: no key is empty", field=field
        )
    if size > KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected a glob of at most {KEY_BYTES_MAX} bytes, got {size}, in {field}",
            field=field,
            value=str(size),
        )


def _refusal(pattern: str, expected: str, field: str) -> errors.BadRequest:
    return errors.BadRequest(
        f"Expected {expected} not, in {field} {pattern[:80]!r}", field=field, value=pattern[:80]
    )


EVERYTHING: Final = parse_glob("*")
