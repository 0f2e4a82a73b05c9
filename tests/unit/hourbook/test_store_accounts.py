"""What a key costs and keeps: one row however often it is written, and its value while it lives."""

import random
from pathlib import Path

import msgspec
import pytest
from books import raw_connection
from kv_writes import NOW_NS, kv_write, open_store, put, say, written

from hourbook.book.changes.kv import KV_WRITE
from hourbook.book.copies.restore import restore_book
from hourbook.book.journal import Stamp
from hourbook.book.moment import parse_moment
from hourbook.book.store.census import take_census
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.rows import FIND_ROW, KvRow, decode_details, unpack_value
from hourbook.home import Home
from protocols import errors
from protocols.entry import make_nonce
from protocols.keep_messages import Retain
from protocols.kv_keys import METADATA_BYTES_MAX
from protocols.kv_messages import SetSchema, ValueType
from protocols.kv_namespaces import NAMESPACES

DAY_NS = 86_400_000_000_000
MONTH_LATER = Stamp(NOW_NS + 30 * DAY_NS, 0)


@pytest.mark.parametrize("kind", ["persistent", "versioned", "shared", "cached", "transient"])
def test_key_that_is_overwritten_twenty_thousand_times_is_one_key(
    home: Home, kind: ValueType
) -> None:
    """In its table, in the counts and in what it weighs."""
    book = open_store(home)
    volatile = book.store.volatile
    assert volatile is not None
    written(say(book, put("other", "x" * 50, type=kind), put("k", "x" * 500, type=kind)))
    before = volatile.weights.cached_bytes + volatile.weights.transient_bytes

    for first in range(0, 20_000, 4000):
        steps = [put("k", f"{number:0>500}") for number in range(first, first + 4000)]
        written(say(book, *steps))

    is_volatile = kind in ("cached", "transient")
    table = volatile.connection if is_volatile else book.query(lambda c: c)
    rows = table.execute("SELECT key, type FROM kv ORDER BY key").fetchall()
    weight = len("other") + len("k") + (2 + 50) + (3 + 500)
    assert rows == [("k", kind), ("other", kind)]
    assert take_census(table) == ({kind: 2}, {kind: weight})
    assert volatile.weights.cached_bytes + volatile.weights.transient_bytes == before
    assert len(volatile.weights.names) == (2 if is_volatile else 0)
    if not is_volatile:
        assert table.execute("SELECT count(*) FROM kv_log").fetchone() == (20_002,)


@pytest.mark.parametrize("kind", ["persistent", "cached"])
def test_values_are_compressed_where_that_saves_a_tenth(home: Home, kind: ValueType) -> None:
    """Neither short ones nor noise; what comes back is what was given, byte for byte."""
    book = open_store(home)
    values = {
        "short": "x" * 900,
        "long": "x" * 9000,
        "noise": random.Random(5).randbytes(9000),
        "almost": "x" * 1020,
        "just": "x" * 1021,
    }
    written(say(book, *[put(key, value, type=kind) for key, value in values.items()]))

    assert book.store.volatile is not None
    table = book.store.volatile.connection if kind == "cached" else book.query(lambda c: c)
    rows = {key: KvRow(*table.execute(FIND_ROW, ("notes", key)).fetchone()) for key in values}
    assert {key: row.encoding for key, row in rows.items()} == {
        "short": 0,
        "long": 1,
        "noise": 0,
        "almost": 0,
        "just": 1,
    }
    for key, row in rows.items():
        raw = msgspec.msgpack.encode(values[key])
        assert row.value is not None
        assert unpack_value(row.encoding, row.value, key) == raw
        assert len(row.value) == len(raw) if row.encoding == 0 else len(row.value) < 0.9 * len(raw)


def test_metadata_lies_beside_what_the_store_says_and_never_over_it(home: Home) -> None:
    """Whatever its names: in the row, in the entry, and after both were made anew."""
    book = open_store(home)
    liar = dict.fromkeys(KvRow.__struct_fields__, "a lie") | {"by": 7, "expires": 1, "created": 9}

    (version,) = written(say(book, put("k", 1, metadata=liar, ttl_ns=DAY_NS))).versions

    row = KvRow(*book.query(lambda c: c.execute(FIND_ROW, ("notes", "k")).fetchone()))
    sql = "SELECT details FROM entry WHERE seq = 1"
    details = decode_details(book.query(lambda c: c.execute(sql).fetchone()[0]))
    assert row.metadata is not None
    said = ("notes", "k", version, version, "persistent", NOW_NS + DAY_NS, 0, b"\x01")
    assert row == KvRow(*said, row.metadata)
    assert msgspec.msgpack.decode(row.metadata) == liar
    assert (details.type, details.created, details.by) == ("persistent", 0, None)
    assert book.query(find_fault) is None


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ([1], errors.BadRequest),
        ("text", errors.BadRequest),
        ({"x": "y" * METADATA_BYTES_MAX}, errors.LimitExceeded),
    ],
)
def test_metadata_is_a_map_within_its_limit(metadata: object, error: type[Exception]) -> None:
    """Anything else is refused before it is queued."""
    with pytest.raises(error):
        KV_WRITE.check(kv_write(put("k", 1, metadata=metadata)))


def test_every_standard_namespace_has_its_type_and_time(home: Home) -> None:
    """The eight of the table, as docs/STORE.md says; a ttl of the writer's own counts instead."""
    book = open_store(home)
    expected = {
        "agent_context": ("persistent", None),
        "task_results": ("persistent", 30 * DAY_NS),
        "shared_state": ("shared", None),
        "cross_agent": ("shared", DAY_NS),
        "cache": ("cached", DAY_NS // 24),
        "temp": ("transient", DAY_NS // 24),
        "config": ("versioned", None),
        "metrics": ("transient", DAY_NS),
    }

    for ns in (*NAMESPACES, "another"):
        written(say(book, put("usual", 1), put("own", 1, ttl_ns=5), ns=ns))

    assert book.store.volatile is not None
    sql = "SELECT ns, key, type, expires_ns FROM kv"
    rows = book.query(lambda c: c.execute(sql).fetchall())
    rows += book.store.volatile.connection.execute(sql).fetchall()
    found = {ns: (kind, due and due - NOW_NS) for ns, key, kind, due in rows if key == "usual"}
    assert found == expected | {"another": ("persistent", None)}
    assert {due for _, key, _, due in rows if key == "own"} == {NOW_NS + 5}


def test_retention_takes_no_value_that_a_key_holds(home: Home) -> None:
    """However old; what was overwritten or deleted goes, and the store stays whole."""
    book = open_store(home)
    written(say(book, put("k", "old"), put("gone", "x"), put("k", "now"), put("large", "x" * 9000)))
    written(say(book, put("gone", 7)))

    change = Retain(writer="compactor", nonce=make_nonce(6, 1), rule="drop", ranges=[(1, 5)])
    outcome = book.write([change], MONTH_LATER).outcomes[0]

    assert outcome.error is None
    sql = "SELECT seq FROM entry WHERE kind = 'kv.set' AND details IS NULL ORDER BY seq"
    assert book.query(lambda c: c.execute(sql).fetchall()) == [(1,), (2,)]
    held = book.query(lambda c: c.execute(FIND_ROW, ("notes", "k")).fetchone())
    assert msgspec.msgpack.decode(KvRow(*held).value or b"") == "now"
    assert book.query(find_fault) is None


def test_restore_to_a_moment_brings_back_its_schemas_and_keys(home: Home, tmp_path: Path) -> None:
    """Through a file, as `hourbook restore --to` does it: and what came later is gone."""
    book = open_store(home)

    def set_schema(number: int, schema: str) -> None:
        nonce = make_nonce(7, number << 20)
        change = SetSchema(writer="agent", nonce=nonce, ns="notes", schema=schema)
        book.write([change], Stamp(NOW_NS, 0))

    set_schema(1, '{"type": "integer"}')
    written(say(book, put("k", 1), put("kept", 5, type="shared")))
    set_schema(2, '{"type": "string"}')
    written(say(book, put("k", "text")))
    book.close()
    other = Home(tmp_path / "other", tmp_path / "run")

    restore_book(home.book_db, other, to=parse_moment(3))

    connection = raw_connection(other.book_db)
    schemas = connection.execute("SELECT ns, seq, schema FROM kv_schema").fetchall()
    keys = connection.execute("SELECT key, value, type FROM kv ORDER BY key").fetchall()
    shared = connection.execute(
        "SELECT key FROM kv INDEXED BY kv_shared WHERE type = 'shared'"
    ).fetchall()
    connection.close()
    assert schemas == [("notes", 1, '{"type": "integer"}')]
    assert keys == [("k", b"\x01", "persistent"), ("kept", b"\x05", "shared")]
    assert shared == [("kept",)]
