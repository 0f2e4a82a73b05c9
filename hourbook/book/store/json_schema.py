"""JSON Schemas, and whether a value fits one. Pure.

The writer must never hang on one: patterns are matched in linear time (no look-around, no back
references), nothing is fetched, references stay within the schema, a schema that would check a
value of the deepest kind more than STEPS_MAX times over is refused, and so is a value that is too
large for all the steps of its schema: together they take a second at the worst.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from protocols import errors
from protocols.wire import DEPTH_MAX, printable

__all__ = ["SCHEMA_BYTES_MAX", "STEPS_MAX", "Compiled", "check_value", "compile_schema"]

SCHEMA_BYTES_MAX: Final = 64 << 10
STEPS_MAX: Final = 10_000
"""Subschemas that one place in a value may be held against, with what is below it counted once."""
PART_STEPS_MAX: Final = 4_000_000
"""Parts of a value times steps of its schema, each some 0.1 us."""
BYTE_STEPS_MAX: Final = 256 << 20
"""Bytes of a value times steps of its schema, each some 2 ns in a pattern or a message."""
_PATTERN_BYTES_MAX: Final = 1 << 20
_decode = msgspec.msgpack.Decoder().decode
_BESIDE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Hold the same value against more."""
_BELOW_SUM: Final = (
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
)
"""Hold what is in it against more, all of them the same."""
_BELOW_MAX: Final = ("properties", "prefixItems")
"""Each holds another part of it."""
_FOREIGN: Final = ("$dynamicRef", "$recursiveRef", "dependencies")


class Compiled(NamedTuple):
    """A schema as it is asked.

    Attributes:
        validator: of the library.
        steps: how often it may look at one place of a value.
    """

    validator: Any
    steps: int


def compile_schema(text: str) -> Compiled:
    """Return what checks values by a schema.

    Args:
        text: JSON.

    Raises:
        BadRequest: it is no schema. LimitExceeded: it is too large, or takes too many steps.
    """
    import jsonschema_rs  # noqa: PLC0415 - few namespaces have a schema

    size = len(text.encode())
    if size > SCHEMA_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected a schema of at most {SCHEMA_BYTES_MAX} bytes, got {size}",
            field="schema",
            value=str(size),
        )
    try:
        schema = msgspec.json.decode(text)
        if not isinstance(schema, dict | bool):
            raise ValueError(f"a {type(schema).__name__}, which is no map")  # noqa: TRY004, TRY301 - as below
        steps = _Steps(schema).require_few()
        options = jsonschema_rs.RegexOptions(
            size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX
        )
        validator = jsonschema_rs.validator_for(schema, pattern_options=options, offline=True)
    except (ValueError, RecursionError) as error:
        if isinstance(error, errors.HourbookError):
            raise
        said = printable(str(error).partition("\n")[0], 400)
        raise errors.BadRequest(
            f"Expected a JSON Schema, got another: {said}", field="schema"
        ) from None
    return Compiled(validator, steps)


def check_value(compiled: Compiled, ns: str, key: str, raw: bytes) -> None:
    """Check a value that is to be written.

    Args:
        compiled: the schema of its namespace.
        ns: the namespace.
        key: the key.
        raw: the value in MessagePack.

    Raises:
        SchemaViolation: it does not fit; `field` is the path.
        LimitExceeded: it is too large to be held against that schema.
    """
    value = _decode(raw)
    _require_small(compiled.steps, ns, key, raw, value)
    validator = compiled.validator
    try:
        # Only the first fault is looked for: the library keeps a copy of the value for each.
        if not validator.is_valid(value):
            validator.validate(value)
    except ValueError as error:
        path = getattr(error, "instance_path", ())
        said = getattr(error, "message", f"a JSON value: {error}")
        raise _violation(ns, key, path, said) from None


class _Steps:
    """How often a schema may hold one place of a value against something."""

    def __init__(self, root: Any) -> None:  # noqa: ANN401 - JSON
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def require_few(self) -> int:
        """Return how often, at the most.

        Raises:
            LimitExceeded: too often.
        """
        if (steps := self._count(self._root, DEPTH_MAX)) > STEPS_MAX:
            raise errors.LimitExceeded(
                f"Expected a schema that looks at most {STEPS_MAX} times at one place of a value,"
                " got one that refers to itself more often",
                field="schema",
            )
        return steps

    def _count(self, schema: Any, depth: int) -> int:  # noqa: ANN401 - JSON
        if not isinstance(schema, dict) or depth == 0:
            return 1
        place = (id(schema), depth)
        if place not in self._known:
            self._known[place] = 0  # a circle in the same place is entered once
            total = 1
            if "$ref" in schema:
                total += self._count(self._target(schema["$ref"]), depth)
            for word in _FOREIGN:
                if word in schema:
                    raise ValueError(f"{word} is not understood here")
            for word in _BESIDE:
                total += sum(self._count(each, depth) for each in _subschemas(schema.get(word)))
            for word in _BELOW_SUM:
                total += sum(self._count(each, depth - 1) for each in _subschemas(schema.get(word)))
            for word in _BELOW_MAX:
                parts = [self._count(each, depth - 1) for each in _subschemas(schema.get(word))]
                total += max(parts, default=0)
            self._known[place] = min(total, STEPS_MAX + 1)
        return self._known[place]

    def _target(self, reference: Any) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(reference, str) or not (reference + "/").startswith("#/"):
            raise ValueError(f"$ref {reference!r} leaves the schema")
        target = self._root
        for word in reference.split("/")[1:]:
            key = word.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise ValueError(f"$ref {reference!r} leads nowhere")
        return target


def _subschemas(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return the schemas that a keyword names: one, a list of them, or a map of them."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value, *value.values()]
    return []


def _require_small(steps: int, ns: str, key: str, raw: bytes, value: Any) -> None:  # noqa: ANN401
    if len(raw) * steps > BYTE_STEPS_MAX:
        most, size, unit = BYTE_STEPS_MAX // steps, len(raw), "bytes"
    elif len(raw) * steps > PART_STEPS_MAX and (count := _count_parts(value)) * steps > (
        PART_STEPS_MAX
    ):
        most, size, unit = PART_STEPS_MAX // steps, count, "parts"
    else:
        return
    raise errors.LimitExceeded(
        f"Expected a value of at most {most} {unit}, since the schema of {ns} looks at each up to"
        f" {steps} times, got {size}, of key {key!r}",
        field="value",
        value=str(size),
    )


def _count_parts(value: Any) -> int:  # noqa: ANN401 - any MessagePack value
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        count += 1
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
    return count


def _violation(ns: str, key: str, path: Iterable[Any], problem: str) -> errors.SchemaViolation:
    where = "$" + "".join(map(_step, path))
    return errors.SchemaViolation(
        f"Expected a value that fits the schema of {ns}: {printable(problem, 400)},"
        f" at {printable(where, 200)} of key {key!r}",
        field=printable(where, 200),
    )


def _step(step: int | str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{json.dumps(step)}]"
