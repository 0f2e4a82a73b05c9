"""``--set KEY=VALUE`` on the command line: one key of the configuration, for this run. Pure."""

import tomllib
from collections.abc import Sequence
from typing import Any, NamedTuple

from supervisor.mistakes import Problem

__all__ = ["Override", "apply_overrides", "parse_override"]


class Override(NamedTuple):
    """One key and the value that it gets."""

    path: tuple[str, ...]
    value: Any

    @property
    def key(self) -> str:
        """The path as it was written."""
        return ".".join(self.path)


def parse_override(text: str) -> Override | Problem:
    """Parse ``actor.NAME.config.KEY=VALUE``; VALUE is TOML, or, where it is none, a string."""
    key, equals, value = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        return Problem(text, "must be KEY=VALUE, as in actor.metrics.enabled=false")
    return Override(path, _toml_value(value.strip()))


def apply_overrides(
    table: dict[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return a copy of `table` in which each override is in force, and those that have no place."""
    problems = []
    for override in overrides:
        try:
            table = _with(table, override.path, override.value)
        except TypeError as error:
            problems.append(Problem(override.key, f"{error}: must be a table"))
    return table, problems


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # "1\nother = 2" would parse as two keys: then it was meant as text.
    return parsed["value"] if len(parsed) == 1 else text


def _with(table: Any, path: tuple[str, ...], value: Any) -> dict[str, Any]:  # noqa: ANN401 - TOML
    if not isinstance(table, dict):
        raise TypeError(str(table))
    first, *rest = path
    inner = _with(table.get(first, {}), tuple(rest), value) if rest else value
    return {**table, first: inner}
