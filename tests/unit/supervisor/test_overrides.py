"""``--set KEY=VALUE``: what is parsed as TOML, what as text, and where it lands."""

from typing import Any

import pytest

from supervisor.mistakes import Problem
from supervisor.overrides import Override, apply_overrides, parse_override


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1000", 1000),
        ("a.b=1.5", 1.5),
        ("a.b=true", True),
        ("a.b=[1, 2]", [1, 2]),
        ('a.b={x = "y"}', {"x": "y"}),
        ('a.b="quoted = text"', "quoted = text"),
        ("a.b=debug", "debug"),
        ("a.b=127.0.0.1:0", "127.0.0.1:0"),
        ("a.b=x=y", "x=y"),
        ("a.b=", ""),
        ("a.b=1\nother = 2", "1\nother = 2"),
        (" a . b = 3 ", 3),
    ],
)
def test_value_is_toml_or_else_text(text: str, value: Any) -> None:
    """Numbers and lists need no quotes, and neither do words and addresses."""
    assert parse_override(text) == Override(("a", "b"), value)


@pytest.mark.parametrize("text", ["a.b", "=3", "a..b=3", ".=1", ""])
def test_text_without_a_key_is_a_problem(text: str) -> None:
    """What is no KEY=VALUE is named as such."""
    found = parse_override(text)

    assert isinstance(found, Problem)
    assert "must be KEY=VALUE" in found.text


def test_later_override_wins_and_the_table_is_not_touched() -> None:
    """Overrides apply in order, to a copy."""
    table = {"a": {"b": 1, "c": 2}}

    changed, problems = apply_overrides(
        table, [Override(("a", "b"), 3), Override(("a", "b"), 4), Override(("x", "y", "z"), 5)]
    )

    assert changed == {"a": {"b": 4, "c": 2}, "x": {"y": {"z": 5}}}
    assert problems == []
    assert table == {"a": {"b": 1, "c": 2}}


def test_override_below_a_value_is_a_problem() -> None:
    """A value has no keys of its own."""
    changed, problems = apply_overrides({"a": 1}, [Override(("a", "b"), 2)])

    assert changed == {"a": 1}
    assert problems == [Problem("a.b", "1: must be a table")]
