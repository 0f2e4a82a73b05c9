"""What a ``shared-memory.json`` of others means, and that nothing in it ends the import."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hourbook.book.store.foreign import ForeignKey, read_shared_memory
from hourbook.faces.store_steps import set_step
from protocols import errors, wire
from protocols.entry import encode_value

NOW_NS = 1_800_000_000_000_000_000
NOW_MS = NOW_NS // 10**6
HOUR_MS = 3_600_000
HOUR_NS = HOUR_MS * 10**6


def read(text: str) -> list[ForeignKey]:
    """Return the keys of a file."""
    return read_shared_memory(text.encode(), NOW_NS)


@pytest.mark.parametrize(
    ("said", "left_ns", "has_problem"),
    [
        ({"ttl": HOUR_MS}, HOUR_NS, False),
        ({"ttl": HOUR_MS, "timestamp": NOW_MS - HOUR_MS // 2}, HOUR_NS // 2, False),
        ({"ttl": HOUR_MS, "createdAt": 1, "updatedAt": NOW_MS}, HOUR_NS, False),
        ({"ttl": HOUR_MS, "timestamp": NOW_MS - 2 * HOUR_MS}, 0, False),
        ({"ttl": HOUR_MS, "timestamp": "2027-01-15T08:00:00Z"}, HOUR_NS, False),
        ({"expiresAt": NOW_MS + HOUR_MS, "ttl": 1}, HOUR_NS, False),
        ({"expiresAt": "2027-01-15T09:00:00Z"}, HOUR_NS, False),
        ({"expiresAt": NOW_MS - 1}, 0, False),
        ({"ttl": 0}, None, False),
        ({"ttl": None, "expiresAt": None}, None, False),
        ({"ttl": "soon"}, None, True),
        ({"ttl": -1}, None, True),
        ({"ttl": True}, None, True),
        ({"ttl": 1e14}, None, True),
        ({"expiresAt": "never"}, None, True),
        ({"ttl": 8.9e12, "timestamp": 9e12}, 9 * 10**18, False),
    ],
)
def test_time_to_live_is_what_is_left_of_it(
    said: dict[str, Any], left_ns: int | None, *, has_problem: bool
) -> None:
    """In milliseconds, as JavaScript counts, from when the entry was written."""
    (key,) = read(json.dumps({"k": {"value": 1, "agentId": "a", **said}}))

    assert key.ttl_ns == left_ns
    assert bool(key.problems) is has_problem


def test_every_shape_is_understood() -> None:
    """By name, by namespace and name, with a colon, in a list; other fields stay beside."""
    found = read(
        json.dumps(
            {
                "plain": {"value": 1, "agentId": "a", "version": 3},
                "cross_agent:split": {"value": 2, "ttl": 0},
                "config": {"inner": {"value": 3, "dataType": "VERSIONED"}},
                "entries": [{"key": "listed", "namespace": "temp", "value": 4}],
                "data": {"bare": {"value": 5, "metadata": {"x": 1}}},
                "a value": {"value": 6},
            }
        )
    )

    assert [(key.namespace, key.key, key.value, key.type) for key in found[:5]] == [
        ("default", "plain", 1, ""),
        ("cross_agent", "split", 2, ""),
        ("config", "inner", 3, "versioned"),
        ("temp", "listed", 4, ""),
        ("default", "bare", 5, ""),
    ]
    assert found[0].metadata["agentId"] == "a"
    assert found[0].metadata["import"]["version"] == 3
    assert found[4].metadata["x"] == 1
    assert (found[5].is_understood, found[5].value) == (False, {"value": 6})


def test_name_that_is_given_twice_counts_once_and_is_kept_beside() -> None:
    """As JavaScript reads it; a second import finds the same words."""
    text = (
        '{"k": {"value": 1, "ttl": 0}, "k": {"value": 2, "ttl": 0, "value": 3},'
        ' "ns": {"i": {"value": 4, "ttl": 0}, "i": {"value": 5, "ttl": 0}}}'
    )

    found = read(text)

    assert [(key.namespace, key.value, bool(key.problems)) for key in found] == [
        ("imported", {"value": 1, "ttl": 0}, True),
        ("default", 3, True),
        ("imported", {"value": 4, "ttl": 0}, True),
        ("ns", 5, False),
    ]
    assert found[1].metadata["import"]["earlier"] == [("value", 2)]
    assert [key.digest for key in read(text)] == [key.digest for key in found]
    assert len({key.key for key in found}) == 4


@pytest.mark.parametrize(
    "value",
    ['"\\ud800"', "99999999999999999999999", "[" * 40 + "]" * 40, '{"\\udfff": 1}'],
    ids=["surrogate", "wide", "deep", "surrogate-name"],
)
@pytest.mark.parametrize("field", ["value", "metadata", "other"])
def test_what_the_store_cannot_carry_is_kept_as_text(value: str, field: str) -> None:
    """Wherever in an entry it stands; its neighbours are imported."""
    said = {"value": "1", "agentId": '"a"', field: value}
    body = ", ".join(f'"{name}": {text}' for name, text in said.items())

    bad, good = read(f'{{"k": {{{body}}}, "good": {{"value": 1, "ttl": 0}}}}')

    assert good.is_understood
    if not bad.is_understood:
        assert isinstance(bad.value, str)
        assert json.loads(bad.value) == json.loads(f"{{{body}}}")
    _require_carried(bad)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"a": {"value"',
        b"5",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"a": "\xe9"}',
        b"[" * 9999,
    ],
)
def test_file_that_is_none_is_refused_in_one_line(data: bytes) -> None:
    """Torn, empty, of another encoding, or no map."""
    with pytest.raises(errors.BadRequest, match=r"^Expected a .*, got[: ]") as caught:
        read_shared_memory(data, NOW_NS)

    assert "\n" not in caught.value.message


def test_name_that_is_no_text_is_told_with_an_escape() -> None:
    """Of what has a key of its own, and of what has none."""
    keyed, plain = read(r'{"\ud800": {"value": 1, "key": "k"}, "\udfff": {"value": 2, "ttl": 0}}')

    assert (keyed.path, keyed.key, keyed.is_understood) == (r"\ud800", "k", True)
    assert (plain.path, plain.is_understood) == (r"\udfff", False)
    _require_carried(plain)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
texts = st.sampled_from(["", "a", "a:b", "temp", "Ä", "\ud800", "x" * 1100, "entries", "data"])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
names = ("key", "namespace", "dataType", "ttl", "expiresAt", "metadata", "agentId", "timestamp")
entries = st.fixed_dictionaries(
    {"value": anything},
    optional=dict.fromkeys((*names, "createdAt", "compressed", "other"), texts | anything),
)
maps = st.dictionaries(texts, entries | st.dictionaries(texts, entries | anything, max_size=3))
documents = maps | st.lists(entries | anything, max_size=4)


@settings(max_examples=150, deadline=None)
@given(documents)
def test_no_document_ends_the_import(document: Any) -> None:
    """Each part becomes a key that the store takes, or one that is over; and is the same again."""
    text = json.dumps(document)

    found = read(text)

    assert [key.digest for key in found] == [key.digest for key in read(text)]
    assert len(found) >= len(document) - sum(said == {} for said in document)
    for key in found:
        _require_carried(key)


def _require_carried(key: ForeignKey) -> None:
    """Check that a key can be set as an import sets it, and its report be printed."""
    if key.ttl_ns != 0:
        ttl_s = None if key.ttl_ns is None else key.ttl_ns / 1e9
        step = set_step(key.key, key.value, ttl_s=ttl_s, type=key.type, metadata=key.metadata)
        wire.check_frame(b"\x91" * 4 + bytes(step.value))
        wire.check_frame(b"\x91" * 4 + bytes(step.metadata))
    encode_value([key.path, key.problems], "report")
