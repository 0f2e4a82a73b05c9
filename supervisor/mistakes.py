"""Every mistake in a table of configuration, worded as the rule that it breaks. Pure.

``msgspec`` stops at the first mistake and speaks of types; a person who wrote three wrong lines
wants three lines back, each with its key, its value and what would have been right. So a table is
walked field by field against the annotations of its struct, and the rule is worded from the same
annotations that ``msgspec`` enforces: the two cannot disagree.
"""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from protocols import wire

__all__ = ["Problem", "find_problems", "rule_of", "show_value", "unknown_key"]

_SCALARS: Final = {float: "a number", int: "a whole number", str: "a string", bool: "true or false"}
_SEQUENCES: Final = (tuple, list, set, frozenset)
_VALUE_SIZE_MAX: Final = 80
_NAME_SIZE_MAX: Final = 4096


class Problem(NamedTuple):
    """One mistake: the path of the key, and what is wrong there."""

    path: str
    text: str


def find_problems(
    struct: type[msgspec.Struct],
    table: object,
    path: str,
    *,
    reserved: frozenset[str] = frozenset(),
) -> Iterator[Problem]:
    """Yield what is wrong with `table` as a `struct`.

    Args:
        struct: the type that it must fit.
        table: plain data, as TOML gives it.
        path: where the table stands, as ``actor.NAME``.
        reserved: fields of the struct that cannot be set from a table.
    """
    if not isinstance(table, Mapping):
        yield Problem(path, f"{show_value(table)}: must be a table")
        return
    fields = {
        field.encode_name: field
        for field in msgspec.structs.fields(struct)
        if field.encode_name not in reserved
    }
    is_sound = True
    for key, value in table.items():
        if key not in fields:
            found: Iterable[Problem] = [unknown_key(f"{path}.{key}", key, fields)]
        else:
            found = _problems_of_value(fields[key].type, value, f"{path}.{key}")
        for problem in found:
            is_sound = False
            yield problem
    for name, field in fields.items():
        if field.required and name not in table:
            is_sound = False
            yield Problem(f"{path}.{name}", f"missing: must be {rule_of(field.type)}")
    if is_sound and not reserved:
        yield from _problems_of_whole(struct, table, path)


def unknown_key(path: str, key: str, known: Iterable[str]) -> Problem:
    """Return the problem of a key that nobody reads, with what was probably meant."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    if near:
        return Problem(path, f"unknown key: did you mean {near[0]}?")
    return Problem(path, f"unknown key: must be one of {', '.join(names) or '(none)'}")


def rule_of(annotation: object) -> str:
    """Return what an annotation allows, to be read after "must be"."""
    base, metas = _strip(annotation)
    for meta in metas:
        if meta.description:
            return meta.description
    origin, choices = get_origin(base), get_args(base)
    if origin in (Literal, Union, UnionType):
        return _or(_parts(base))
    if origin in _SEQUENCES:
        return f"a list, each {rule_of(choices[0])}" + _length(metas)
    if origin is dict:
        return f"a table, each value {rule_of(choices[1])}"
    return _scalar(base, metas)


def show_value(value: object) -> str:
    """Return a value as TOML would write it, on one line and short."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        text = str(value)
    return wire.printable(text, _VALUE_SIZE_MAX) if not text.isprintable() else _short(text)


def show_name(name: str) -> str:
    """Return a file's name or path as it is, unless it would not stay on its one line."""
    return name if name.isprintable() else wire.printable(name, _NAME_SIZE_MAX)


def _problems_of_value(annotation: object, value: object, path: str) -> Iterator[Problem]:
    base, metas = _strip(annotation)
    arguments = get_args(base)
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        yield from find_problems(base, value, path)
        return
    inner: Iterator[Problem] | None = None
    if get_origin(base) in _SEQUENCES and isinstance(value, list | tuple):
        inner = _problems_of_items(arguments[0], value, path)
    elif get_origin(base) is dict and isinstance(value, Mapping):
        inner = _problems_of_entries(arguments[1], value, path)
    if inner is not None:
        found = list(inner)
        yield from found
        if found or not metas:
            return
    if isinstance(value, float) and not math.isfinite(value):
        # A duration of inf would pass the range check, and nan every comparison.
        yield Problem(path, f"{value}: must be finite, and {rule_of(annotation)}")
    elif not _fits(annotation, value):
        yield Problem(path, f"{show_value(value)}: must be {rule_of(annotation)}")


def _problems_of_items(
    annotation: object, values: Iterable[object], path: str
) -> Iterator[Problem]:
    for index, value in enumerate(values):
        yield from _problems_of_value(annotation, value, f"{path}[{index}]")


def _problems_of_entries(
    annotation: object, table: Mapping[str, object], path: str
) -> Iterator[Problem]:
    for key, value in table.items():
        yield from _problems_of_value(annotation, value, f"{path}.{key}")


def _problems_of_whole(
    struct: type[msgspec.Struct], table: Mapping[str, Any], path: str
) -> Iterator[Problem]:
    """Find what only the struct's own check of its fields together shows."""
    try:
        msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        yield Problem(path, str(error).partition(" - at `$")[0])


def _fits(annotation: object, value: object) -> bool:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def _strip(annotation: object) -> tuple[object, list[msgspec.Meta]]:
    """Return an annotation without its metadata, and the metadata."""
    if get_origin(annotation) is Annotated:
        base, *extras = get_args(annotation)
        return base, [extra for extra in extras if isinstance(extra, msgspec.Meta)]
    return annotation, []


def _scalar(base: object, metas: Iterable[msgspec.Meta]) -> str:
    for meta in metas:
        if meta.pattern is not None:
            return f"a string that matches {meta.pattern}"
        if (meta.gt, meta.ge, meta.lt, meta.le) != (None, None, None, None):
            return ("a whole number " if base is int else "") + _range(meta)
        if meta.min_length is not None or meta.max_length is not None:
            return f"a string{_length([meta])}"
    if isinstance(base, type) and (base is dict or issubclass(base, msgspec.Struct)):
        return "a table"
    return _SCALARS.get(base, "another value") if isinstance(base, type) else "another value"


def _range(meta: msgspec.Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f"in {meta.ge}..{meta.le}"
    signs = ((">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le))
    return " and ".join(f"{sign} {bound}" for sign, bound in signs if bound is not None)


def _length(metas: Iterable[msgspec.Meta]) -> str:
    for meta in metas:
        lower, upper = meta.min_length, meta.max_length
        if lower is not None and upper is not None:
            return f", {lower} to {upper} long"
        if lower is not None:
            return f", at least {lower} long"
        if upper is not None:
            return f", at most {upper} long"
    return ""


def _parts(annotation: object) -> list[str]:
    base, _ = _strip(annotation)
    if get_origin(base) is Literal:
        return [_quoted(value) for value in get_args(base)]
    if get_origin(base) in (Union, UnionType):
        return [part for choice in get_args(base) for part in _parts(choice)]
    return [] if base is type(None) else [rule_of(annotation)]


def _or(parts: list[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} or {last}" if first else last


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else show_value(value)


def _short(text: str) -> str:
    return text if len(text) <= _VALUE_SIZE_MAX else text[: _VALUE_SIZE_MAX - 3] + "..."
