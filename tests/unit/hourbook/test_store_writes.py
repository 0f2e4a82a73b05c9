"""What writes of the store do to keys, entries and tables, in a book without a tree."""

import time
from pathlib import Path

import msgspec
import pytest
from kv_writes import NOW_NS, increment, kv_write, open_store, put, rows_of, say, written
from store_world import World

from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.journal import Stamp
from hourbook.book.moment import parse_moment
from hourbook.book.reader import BookReader
from hourbook.book.store.json_schema import SCHEMA_BYTES_MAX, compile_schema
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.schemas import Schemas
from hourbook.book.store.volatile import Capacity
from hourbook.book.writer import BookWriter
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import entry, errors
from protocols.branch_messages import CreateBranch, MergeBranch
from protocols.keep_messages import Redact
from protocols.kv_messages import ABSENT, Check, Delete, Op, SetSchema

S_NS = 1_000_000_000


def kinds_of(book: BookWriter) -> list[str]:
    """Return the kinds of all entries."""
    sql = "SELECT kind FROM entry ORDER BY seq"
    return [kind for (kind,) in book.query(lambda connection: connection.execute(sql).fetchall())]


@pytest.mark.parametrize(
    ("ops", "versions", "kinds", "left"),
    [
        ([put("a", 1)], [1], ["kv.set"], {"a": 1}),
        ([put("a", None)], [1], ["kv.set"], {"a": None}),
        ([put("a", 1), put("a", 2)], [1, 2], ["kv.set", "kv.set"], {"a": 2}),
        ([Delete(key="a")], [ABSENT], [], {}),
        ([put("a", 1), Delete(key="a")], [1, 2], ["kv.set", "kv.delete"], {}),
        ([increment("a"), increment("a", 0.5)], [1, 2], ["kv.set", "kv.set"], {"a": 1.5}),
        ([Check(key="a", if_version=0), put("a", 1)], [0, 1], ["kv.set"], {"a": 1}),
        ([put("a", 1), Check(key="a", if_version=1)], [1, 1], ["kv.set"], {"a": 1}),
        ([put("a", "x" * 5000)], [1], ["kv.set"], {"a": "x" * 5000}),
    ],
)
def test_steps_of_a_write_see_each_other(
    home: Home, ops: list[Op], versions: list[int], kinds: list[str], left: dict[str, object]
) -> None:
    """Each step is one entry where it changes something, and the last word counts."""
    book = open_store(home)

    answer = written(say(book, *ops))

    assert answer.versions == versions
    assert kinds_of(book) == kinds
    held = book.query(lambda c: c.execute("SELECT key, encoding FROM kv").fetchall())
    assert {key for key, _ in held} == set(left)
    assert find_fault(book.query(lambda c: c)) is None
    if all(encoding == 0 for _, encoding in held):
        assert rows_of(book) == {("notes", key): value for key, value in left.items()}


@pytest.mark.parametrize(
    ("op", "error"),
    [
        (put("a", 1, if_version=7), errors.VersionConflict),
        (put("new", 1, if_version=7), errors.VersionConflict),
        (put("a", 1, if_version=0), errors.VersionConflict),
        (increment("text"), errors.BadRequest),
        (increment("truth"), errors.BadRequest),
        (increment("wide", -1), errors.LimitExceeded),
        (increment("low", -1), errors.LimitExceeded),
        (increment("huge", 1e308), errors.LimitExceeded),
        (increment("a", (1 << 63) - 1), errors.LimitExceeded),
        (put("a", 1, type="cached"), errors.MixedDurability),
        (put("new", 1, type="transient"), errors.MixedDurability),
        (put("new", 1, type="locked"), errors.TokenStale),
        (put("a", 1, token=3), errors.TokenStale),
    ],
)
def test_a_refused_step_takes_the_whole_write_with_it(
    home: Home, op: Op, error: type[errors.HourbookError]
) -> None:
    """What stands before it in the same write is not done either."""
    book = open_store(home)
    written(say(book, put("a", 1), put("text", "x"), put("huge", 1e308)))
    written(say(book, put("wide", (1 << 64) - 1), put("low", 1 - (1 << 63)), increment("low", -1)))
    written(say(book, put("truth", value=True)))
    before = rows_of(book)

    outcome = say(book, put("a", 2), op)

    assert isinstance(outcome.error, error)
    assert rows_of(book) == before
    assert outcome.entries == 0
    assert find_fault(book.query(lambda c: c)) is None


def test_a_resend_hears_what_the_first_attempt_heard(home: Home) -> None:
    """From the entries where they tell it, from what was kept where they do not."""
    book = open_store(home)
    written(say(book, put("there", 1)))
    for ops in (
        [put("a", 1), increment("n", 5), Delete(key="a"), Delete(key="none")],
        [Check(key="there"), put("b", 1)],
        [put("d", 1), Delete(key="d"), Check(key="d", if_version=0), increment("d")],
        [Delete(key="none")],
        [increment("v", type="transient"), put("w", 1, type="cached")],
    ):
        change = kv_write(*ops)
        (first,) = book.write([change], Stamp(NOW_NS, 0)).outcomes

        again = book.admission.outcome_of(change)

        assert again is not None
        assert written(again) == written(first)


def test_a_nonce_that_meant_another_write_is_refused(home: Home) -> None:
    """It names one request for ever."""
    book = open_store(home)
    change = kv_write(put("a", 1))
    book.write([change], Stamp(NOW_NS, 0))

    for other in ([put("a", 2)], [put("b", 1)], [increment("a")], [put("a", 1), put("b", 1)]):
        with pytest.raises(errors.BadRequest, match="nonce of its own"):
            book.admission.outcome_of(msgspec.structs.replace(change, ops=other))


def test_a_value_goes_when_its_time_has_come(home: Home) -> None:
    """A write that finds it swept away is told so; it is journaled once."""
    book = open_store(home)
    written(say(book, put("a", 1, ttl_ns=S_NS), put("b", 1, ttl_ns=S_NS)))

    answer = written(say(book, put("a", 2, if_version=0), increment("b"), at_ns=NOW_NS + S_NS))

    assert answer.numbers == [1]
    assert kinds_of(book)[2:] == ["kv.expire", "kv.set", "kv.expire", "kv.set"]
    assert book.query(lambda c: c.execute("SELECT expires_ns FROM kv").fetchall()) == [(None,)] * 2


@pytest.mark.parametrize(
    ("op", "expires_ns"),
    [
        (put("a", 2), None),
        (put("a", 2, keep_ttl=True), NOW_NS + S_NS),
        (put("a", 2, ttl_ns=5), NOW_NS + 5),
        (increment("a"), NOW_NS + S_NS),
        (increment("a", ttl_ns=5), NOW_NS + S_NS),
    ],
)
def test_an_overwrite_keeps_the_time_only_if_it_says_so(
    home: Home, op: Op, expires_ns: int | None
) -> None:
    """Otherwise it has its own, or none; what is added to keeps it."""
    book = open_store(home)
    written(say(book, put("a", 1, ttl_ns=S_NS)))

    written(say(book, op))

    sql = "SELECT expires_ns FROM kv"
    assert book.query(lambda c: c.execute(sql).fetchall()) == [(expires_ns,)]


def test_namespaces_of_the_table_have_types_and_times(home: Home) -> None:
    """A value that says nothing of it gets what its namespace gives."""
    book = open_store(home)

    for ns in ("agent_context", "shared_state", "config", "task_results", "cache", "temp"):
        written(say(book, put("a", 1), ns=ns))

    sql = "SELECT ns, type, expires_ns IS NOT NULL FROM kv ORDER BY ns"
    assert book.query(lambda c: c.execute(sql).fetchall()) == [
        ("agent_context", "persistent", 0),
        ("config", "versioned", 0),
        ("shared_state", "shared", 0),
        ("task_results", "persistent", 1),
    ]
    assert book.store.volatile is not None
    assert book.store.volatile.connection.execute(sql).fetchall() == [
        ("cache", "cached", 1),
        ("temp", "transient", 1),
    ]


def test_key_that_both_files_have_is_the_books(home: Home) -> None:
    """A writer died between the two commits of a group that let a key move."""
    book = open_store(home)
    written(say(book, put("moved", "volatile", type="transient"), put("t", 1, type="transient")))
    book.close()
    book = BookWriter.open(home.book_db, home.keys_dir)
    written(say(book, put("moved", "durable")))
    book.close()

    book = open_store(home)

    assert rows_of(book) == {("notes", "moved"): "durable", ("notes", "t"): 1}
    written(say(book, put("moved", "again")))
    assert rows_of(book)["notes", "moved"] == "again"
    assert book.store.volatile is not None
    assert len(book.store.volatile.weights.names) == 1


def test_value_is_over_at_its_very_time_for_every_way_of_asking() -> None:
    """A nanosecond before it is there, in the cache and in the file, now and as of then."""
    world = World()
    try:
        for kind in ("persistent", "transient"):
            store, cached = world.client("notes"), world.client("notes")
            version = store.set("k", 1, ttl_s=1, type=kind)
            ends_ns = NOW_NS + S_NS
            seen = []
            for now_ns in (ends_ns - 1, ends_ns):
                world.now_ns = now_ns
                asked = [cached.get("k"), store.get("k"), store.get_many(["k"]), store.count()]
                asked += [list(store.keys()), list(store.scan()), store.count("[k]")]
                seen.append([*asked, store.get_item("k") is not None])
            if kind == "persistent":
                past = [store.count(at=f"time:{at_ns}") for at_ns in (ends_ns - 1, ends_ns)]
                assert past == [1, 0]
            assert seen[0] == [1, 1, {"k": 1}, 1, ["k"], [("k", 1)], 1, True]
            assert seen[1] == [None, None, {}, 0, [], [], 0, False]
            assert store.set("k", 2, type=kind, if_version=0) > version
            store.delete("k")
            world.now_ns = NOW_NS
    finally:
        world.close()


def test_volatile_keys_that_cannot_be_read_are_not_absent(home: Home) -> None:
    """An error names the file; the next writer makes it anew, whole before anybody sees it."""
    book = open_store(home)
    written(say(book, put("t", 1, type="transient"), put("u", 2, type="cached")))
    assert book.store.volatile is not None
    book.store.volatile.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{home.volatile_db}{suffix}").unlink()
    home.volatile_db.write_bytes(b"no database" * 1000)

    with connect("reader", home) as reader:
        store = reader.store("notes")
        for look in (lambda: store.get("t"), lambda: list(store.keys()), store.stats):
            with pytest.raises(errors.HomeUnusable, match=r"not a database, at .*volatile\.db"):
                look()
        open_store(home)
        assert store.get("t") is None
    assert not [path for path in home.run_dir.iterdir() if ".new" in path.name]


def test_versions_of_volatile_keys_rise_across_deletion_and_restart(home: Home) -> None:
    """They are hybrid times, and the last one is kept."""
    book = open_store(home)
    (first,) = written(say(book, put("t", 1, type="transient"))).versions
    (gone,) = written(say(book, Delete(key="t"))).versions
    book.close()
    book = open_store(home)

    (again,) = written(say(book, put("t", 1, type="transient"), at_ns=NOW_NS - 60 * S_NS)).versions

    assert first < gone < again
    assert kinds_of(book) == []


def test_cached_keys_go_by_last_use_and_are_never_refused(home: Home) -> None:
    """However small the room; a key that is overwritten is one key."""
    book = open_store(home, Capacity(cached_bytes=2000, transient_bytes=2000))
    volatile = book.store.volatile
    assert volatile is not None
    for index in range(50):
        written(say(book, put("same", index, type="cached")))
    assert volatile.evictions == 0
    for index in range(20):
        volatile.use([("notes", "same")])

        written(say(book, put(f"k{index}", "x" * 100, type="cached")))

    names = {key for _, key in rows_of(book)}
    assert "same" in names
    assert "k19" in names
    assert "k0" not in names
    assert volatile.weights.cached_bytes <= 2000
    assert len(names) == len(volatile.weights.names)


def test_transient_keys_are_refused_where_there_is_no_room(home: Home) -> None:
    """And what was there stays."""
    book = open_store(home, Capacity(cached_bytes=2000, transient_bytes=2000))
    written(say(book, put("a", "x" * 1000, type="transient")))

    outcome = say(book, put("b", "x" * 1000, type="transient"))

    assert isinstance(outcome.error, errors.LimitExceeded)
    assert rows_of(book) == {("notes", "a"): "x" * 1000}
    written(say(book, put("b", "y" * 1000, type="transient"), Delete(key="a")))
    assert rows_of(book) == {("notes", "b"): "y" * 1000}


def test_a_branch_sees_what_it_came_from_and_keeps_to_itself(home: Home) -> None:
    """Main stays as it was until a merge, which is ordinary entries."""
    book = open_store(home)
    written(say(book, put("a", 1), put("b", 1)))
    make = CreateBranch(writer="agent", nonce=entry.make_nonce(5, 1), name="try", parent=0)
    first = kv_write(increment("a", 10), Delete(key="b"), branch=1)
    book.write([make, first, kv_write(increment("a"), branch=1)], Stamp(NOW_NS, 0))
    written(say(book, increment("a"), put("c", 1), branch=1))
    assert rows_of(book) == {("notes", "a"): 1, ("notes", "b"): 1}

    merge = MergeBranch(writer="agent", nonce=entry.make_nonce(5, 1 << 20), name="try")
    book.write([merge], Stamp(NOW_NS, 0))

    assert rows_of(book) == {("notes", "a"): 13, ("notes", "c"): 1}
    assert find_fault(book.query(lambda c: c)) is None


def test_a_key_that_a_merge_brings_takes_the_place_of_a_volatile_one(home: Home) -> None:
    """It lies in one file, so that what is written next is what is read; others stay."""
    book = open_store(home)
    make = CreateBranch(writer="agent", nonce=entry.make_nonce(5, 1), name="try", parent=0)
    book.write([make], Stamp(NOW_NS, 0))
    written(say(book, *(put(key, "here", type="cached") for key in "abc")))
    written(say(book, put("a", "there"), put("b", "there"), Delete(key="b"), branch=1))
    merge = MergeBranch(writer="agent", nonce=entry.make_nonce(5, 1 << 20), name="try")

    book.write([merge], Stamp(NOW_NS, 0))
    merged = rows_of(book)
    written(say(book, put("a", "later")))

    assert merged == {("notes", "a"): "there", ("notes", "b"): "here", ("notes", "c"): "here"}
    assert rows_of(book) == merged | {("notes", "a"): "later"}
    assert book.query(lambda c: c.execute("SELECT key FROM kv").fetchall()) == [("a",)]


def test_a_key_keeps_its_type_on_a_branch(home: Home) -> None:
    """Also where its namespace has another, which no branch can hold."""
    book = open_store(home)
    written(say(book, put("k", 1, type="versioned"), ns="temp"))
    make = CreateBranch(writer="agent", nonce=entry.make_nonce(5, 1), name="try", parent=0)
    book.write([make], Stamp(NOW_NS, 0))

    answer = written(say(book, increment("k"), put("k", 2), Delete(key="k"), ns="temp", branch=1))
    refused = say(book, put("k", 1), ns="temp", branch=1)
    unknown = say(book, put("k", 1), ns="temp", branch=9)

    assert (len(answer.versions), answer.numbers) == (3, [2])
    assert isinstance(refused.error, errors.BadRequest)
    assert "on a branch" in refused.error.message
    assert isinstance(unknown.error, errors.UnknownName)


def test_a_redacted_value_is_gone_from_its_key_too(home: Home) -> None:
    """A secret is nowhere left, and adding to it is refused."""
    book = open_store(home)
    written(say(book, put("a", "secret", metadata={"who": "me"})))
    nonce = entry.make_nonce(5, 1)

    book.write([Redact(writer="agent", nonce=nonce, seq=1, why="a secret")], Stamp(NOW_NS, 0))

    sql = "SELECT version, value, metadata FROM kv"
    assert book.query(lambda c: c.execute(sql).fetchall()) == [(1, None, None)]
    assert isinstance(say(book, increment("a")).error, errors.Redacted)
    assert find_fault(book.query(lambda c: c)) is None


def test_a_copy_that_is_cut_back_holds_what_it_held_then(home: Home) -> None:
    """Keys that were overwritten, deleted or expired since are back; later ones are gone."""
    book = open_store(home)
    written(say(book, put("a", 1), put("b", "x" * 4000), put("c", 1, ttl_ns=S_NS)))
    before = book.query(lambda c: c.execute("SELECT * FROM kv ORDER BY key").fetchall())
    written(
        say(book, put("a", 2), Delete(key="b"), put("d", 1), increment("c"), at_ns=NOW_NS + S_NS)
    )

    book.query(lambda c: rewind(c, find_cut(c, parse_moment("3"))))

    columns = slice(1, None)
    after = book.query(lambda c: c.execute("SELECT * FROM kv ORDER BY key").fetchall())
    assert [row[columns] for row in after] == [row[columns] for row in before]
    assert find_fault(book.query(lambda c: c)) is None


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE kv SET value = x'02' WHERE key = 'a'",
        "UPDATE kv SET version = 1 WHERE key = 'a'",
        "UPDATE kv SET expires_ns = 7 WHERE key = 'a'",
        "DELETE FROM kv WHERE key = 'a'",
        "INSERT INTO kv VALUES (9, 'notes', 'z', 2, 2, 'persistent', NULL, 0, x'01', NULL)",
        "INSERT INTO kv SELECT 9, ns, 'gone', 3, 3, type, NULL, 0, x'01', NULL FROM kv LIMIT 1",
        "DELETE FROM kv_log WHERE key = 'a' AND seq = 2",
        "DELETE FROM kv_log WHERE key = 'gone'",
    ],
)
def test_verify_finds_a_table_that_does_not_say_what_the_entries_do(home: Home, spoil: str) -> None:
    """The chain holds together all the same."""
    book = open_store(home)
    written(say(book, put("a", 1), put("a", 5), put("gone", 1), Delete(key="gone")))
    with BookReader(home) as reader:
        assert reader.verify().ok

        book.query(lambda connection: connection.execute(spoil))

        verdict = reader.verify()
    assert (verdict.ok, verdict.finding) == (False, "store")


def test_values_must_fit_the_schema_of_their_namespace(home: Home) -> None:
    """The refusal names the path; what was there before stays; volatile keys are held to it too."""
    book = open_store(home)
    written(say(book, put("old", "text")))
    schema = '{"properties": {"a": {"items": {"type": "integer"}}}, "type": "object"}'
    change = SetSchema(writer="agent", nonce=entry.make_nonce(5, 1), ns="notes", schema=schema)
    book.write([change], Stamp(NOW_NS, 0))

    refused = say(book, put("fit", {"a": [1]}), put("k", {"a": [1, "x"]}))
    volatile = say(book, put("v", 5, type="cached"))
    number = say(book, increment("n"))
    fitting = say(book, put("fit", {"a": [1, 2]}))
    elsewhere = say(book, put("k", 5), ns="other")

    assert isinstance(refused.error, errors.SchemaViolation)
    assert refused.error.field == "$.a[1]"
    assert "at $.a[1] of key 'k'" in refused.error.message
    assert isinstance(volatile.error, errors.SchemaViolation)
    assert isinstance(number.error, errors.SchemaViolation)
    assert (fitting.error, elsewhere.error) == (None, None)
    gone = SetSchema(writer="agent", nonce=entry.make_nonce(5, 1 << 20), ns="notes")
    book.write([gone], Stamp(NOW_NS, 0))
    assert say(book, put("k", 5)).error is None


def _bomb() -> str:
    """Return a schema of 28 short lines that looks at a value 2^27 times."""
    defs: dict[str, object] = {"d0": True}
    for number in range(1, 28):
        defs[f"d{number}"] = {"allOf": [{"$ref": f"#/$defs/d{number - 1}"}] * 2}
    return msgspec.json.encode({"$defs": defs, "$ref": "#/$defs/d27"}).decode()


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ("nonsense", errors.BadRequest),
        ("[1]", errors.BadRequest),
        ("5", errors.BadRequest),
        ('{"type": "nothing"}', errors.BadRequest),
        ('{"pattern": "(?=a)b"}', errors.BadRequest),
        ('{"pattern": "(a{1000}){1000}"}', errors.BadRequest),
        ('{"$ref": "http://127.0.0.1:9/x"}', errors.BadRequest),
        ('{"$ref": "file:///etc/passwd"}', errors.BadRequest),
        ('{"$ref": "#/$defs/none"}', errors.BadRequest),
        ('{"$dynamicRef": "#a"}', errors.BadRequest),
        (f'{{"title": "{"x" * SCHEMA_BYTES_MAX}"}}', errors.LimitExceeded),
        ('{"items": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}', errors.LimitExceeded),
        (_bomb(), errors.LimitExceeded),
        ('{"not":' * 3000 + "true" + "}" * 3000, errors.BadRequest),
    ],
)
def test_a_schema_that_is_none_or_has_no_end_is_refused(
    schema: str, error: type[errors.HourbookError]
) -> None:
    """Before it is queued, and within a moment."""
    with pytest.raises(error):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ("true", 1, None),
        ('{"$ref": "#"}', 1, None),
        ('{"pattern": "^(a+)+$"}', "a" * 50, "a" * 50 + "b"),
        ('{"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}, "type": "object"}',
         {"l": {"r": {}}}, {"l": {"r": 1}}),
        ('{"type": "string"}', "x", b"x"),
        ('{"type": "object"}', {}, {1: 2}),
    ],
)  # fmt: skip
def test_schemas_that_refer_to_themselves_are_understood(
    home: Home, schema: str, good: object, bad: object
) -> None:
    """As long as they end; what is no JSON fits none."""
    book = open_store(home)
    change = SetSchema(writer="agent", nonce=entry.make_nonce(5, 1), ns="notes", schema=schema)
    book.write([change], Stamp(NOW_NS, 0))

    assert say(book, put("k", good)).error is None

    if bad is not None:
        assert isinstance(say(book, put("k", bad)).error, errors.SchemaViolation)


def test_without_a_place_for_them_volatile_keys_alone_are_refused(home: Home) -> None:
    """Their neighbours in the group are written."""
    book = BookWriter.open(home.book_db, home.keys_dir)

    group = [kv_write(put("a", 1)), kv_write(put("t", 1, type="cached")), kv_write(put("b", 1))]
    outcomes = book.write(group, Stamp(NOW_NS, 0)).outcomes

    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        errors.HomeUnusable,
        type(None),
    ]
    assert rows_of(book) == {("notes", "a"): 1, ("notes", "b"): 1}


def test_an_exception_in_the_middle_leaves_nothing_half_done(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a key, nor an entry, nor what the writer believes to know."""
    book = open_store(home)
    written(say(book, put("a", 1), put("b", 1)))
    before = rows_of(book)
    steps: list[str] = []

    def fail_late(_: Schemas, ns: str) -> None:
        steps.append(ns)
        if len(steps) == 2:
            raise RuntimeError("a bug")

    book.store.schemas.clear()
    monkeypatch.setattr(Schemas, "__missing__", fail_late)
    with pytest.raises(RuntimeError):
        book.write([kv_write(put("a", 2)), kv_write(put("b", 2))], Stamp(NOW_NS, 0))
    monkeypatch.undo()

    assert rows_of(book) == before
    assert written(say(book, increment("a"), increment("b"))).numbers == [2, 2]
    assert find_fault(book.query(lambda c: c)) is None


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        ({"items": {"type": "string"}}, ["x"] * 300_000 + [1], errors.SchemaViolation),
        ({"items": {"type": "string"}}, [1] * 300_000, errors.SchemaViolation),
        ({"items": {"anyOf": [{"const": n} for n in range(900)]}}, [899] * 4000, None),
        (
            {"items": {"anyOf": [{"const": n} for n in range(900)]}},
            [899] * 10_000,
            errors.LimitExceeded,
        ),
        ({"anyOf": [{"type": "null"}] * 90}, "x" * (4 << 20), errors.LimitExceeded),
        ({"anyOf": [{"type": "null"}] * 90}, "x" * (2 << 20), errors.SchemaViolation),
        ({"pattern": "^([ab]*a[ab]{12}c)*$"}, "ab" * (1 << 20), errors.SchemaViolation),
    ],
)
def test_no_value_and_schema_together_hold_the_writer_up(
    home: Home, schema: dict[str, object], value: object, error: type[Exception] | None
) -> None:
    """A value is refused whose every part would be looked at too often."""
    book = open_store(home)
    text = msgspec.json.encode(schema).decode()
    change = SetSchema(writer="agent", nonce=entry.make_nonce(5, 1), ns="notes", schema=text)
    book.write([change], Stamp(NOW_NS, 0))
    begun_s = time.process_time()

    outcome = say(book, put("k", value))

    assert time.process_time() - begun_s < 5  # a second on a quiet machine
    assert isinstance(outcome.error, error) if error else outcome.error is None


def test_a_schema_is_forgotten_with_the_group_that_failed_and_restored_with_its_moment(
    home: Home,
) -> None:
    """What holds is what is committed; a copy that is cut back has the schema of that time."""
    book = open_store(home)
    whole = '{"type": "integer"}'

    def set_schema(schema: str, number: int, beside: object = None) -> None:
        nonce = entry.make_nonce(6, number << 20)
        change = SetSchema(writer="agent", nonce=nonce, ns="notes", schema=schema)
        book.write([change], Stamp(NOW_NS, 0), beside)  # type: ignore[arg-type]

    def fail(_: object) -> None:
        raise RuntimeError("the group fails")

    set_schema(whole, 1)
    with pytest.raises(RuntimeError):
        set_schema("", 2, fail)
    assert isinstance(say(book, put("k", "x")).error, errors.SchemaViolation)
    set_schema("", 3)
    assert say(book, put("k", "x")).error is None

    book.query(lambda c: rewind(c, find_cut(c, parse_moment(1))))

    held = book.query(lambda c: c.execute("SELECT ns, seq, schema FROM kv_schema").fetchall())
    assert held == [("notes", 1, whole)]
