"""Secrets on every way into the book of a real writer: none gets in, nobody is misled."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from book_actors import ActorProcess, running_writer

from hourbook.book.lines.importing import import_file
from hourbook.book.reader import BookReader
from hourbook.book.store.foreign import read_shared_memory
from hourbook.faces.book import Book, connect
from hourbook.faces.store_import import import_keys
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Append, Appended, NewEntry
from protocols.change import CHANGE_NONCES
from protocols.entry import canonical_bytes, entry_hash, make_nonce
from protocols.kv_messages import KvWrite, KvWritten, Op, Set, ValueType

pytestmark = pytest.mark.live

SECRET = "ghp_" + "Sesame" * 6
MARK = "[redacted:github-token]"


@pytest.fixture
def wary(home: Home) -> Iterator[ActorProcess]:
    """Run a writer with all rules, and one of its own."""
    with running_writer(home, redact=["all"], redact_patterns={"ours": "OUR-[0-9]+"}) as running:
        yield running


@pytest.fixture
def book(wary: ActorProcess) -> Iterator[Book]:
    """Return a connection to it."""
    with connect("agent", wary.home, shared=True) as connected:
        yield connected


def holders(home: Home) -> list[str]:
    """Return the files that hold the secret."""
    files = (*home.path.rglob("*"), home.volatile_db, home.segment)
    return [str(path) for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_no_way_into_the_book_lets_a_secret_through(book: Book, tmp_path: Path) -> None:
    """What is returned is what stands in the book, with its hash; the rest is as it was sent."""
    one = book.log("deploy", SECRET, {"key": SECRET, "n": [1, b"\xff"]}, tags=["a", SECRET])
    many = book.log_many([("a", "b", {"ok": 1}), (SECRET, "b"), ("a", "b", "OUR-12")])
    later = book.log_nowait("a", "b", {"password": "hunter2"}).result()
    book.log("a", "b", SECRET, ack="received")
    book.start_session("s", f"use {SECRET}")
    book.redact(one.seq, f"it held {SECRET}")
    store = book.store("notes")
    store.set("api_key", "hunter2", metadata={"x": SECRET})
    store.set("t", SECRET, type="transient")
    with store.transaction() as both:
        both.set("a", 1)
        both.set("b", [SECRET])
    asyncio.run(store.asynchronous().set("c", {SECRET: 1}))
    lines = tmp_path / "old.jsonl"
    lines.write_text(json.dumps({"action": "a", "entity": "imported", "details": SECRET}) + "\n")
    import_file(book.home, lines)

    assert one.details == {"key": MARK, "n": [1, b"\xff"]}
    assert (one.entity, one.tags) == (MARK, ("a", MARK))
    assert [each.details for each in many] == [{"ok": 1}, None, "[redacted:ours]"]
    assert many[1].action == MARK
    assert later.details == {"password": "[redacted:named-secret]"}
    item = store.get_item("api_key")
    assert item is not None
    assert (item.value, item.metadata) == ("[redacted:named-secret]", {"x": MARK})
    assert store.get_many(["t", "a", "b", "c"]) == {"t": MARK, "a": 1, "b": [MARK], "c": {MARK: 1}}
    book.flush()
    for each in (*many, later):
        assert entry_hash(canonical_bytes(each)) == each.hash
    with BookReader(book.home) as reader:
        assert [reader.entry(each.seq) for each in (*many, later)] == [*many, later]
        assert "imported" in [each.entity for each in reader.since(0)]
        assert reader.verify().ok
    assert holders(book.home) == []


@pytest.mark.parametrize("kind", ["persistent", "transient"])
def test_update_returns_what_is_stored(book: Book, kind: ValueType) -> None:
    """Not the secret that its function made; and a transaction says which of its steps had one."""
    store = book.store("updated")
    store.set("k", 1, type=kind)

    made = store.update("k", lambda _: {"token": SECRET, "n": 2})
    made_async = asyncio.run(store.asynchronous().update("k", lambda old: {**old, "x": SECRET}))
    plain = store.update("k", lambda old: [old["n"]])
    with store.transaction() as both:
        both.get("k")
        both.set("k", 2)
        both.set("k", SECRET)

    assert made == {"token": "[redacted:named-secret]", "n": 2}
    assert made_async == {**made, "x": MARK}
    assert plain == [2]
    assert both.result is not None
    assert both.result.redacted == (1,)
    assert store.get("k") == MARK


def test_resend_of_a_write_hears_what_was_changed(wary: ActorProcess) -> None:
    """Whether its entries tell it or the outcome that was kept, also after a restart."""
    raw = msgspec.Raw(msgspec.msgpack.encode(SECRET))
    answers = []
    kinds: tuple[ValueType, ...] = ("persistent", "transient")
    for number, kind in enumerate(kinds):
        ops: list[Op] = [Set(key="a", value=raw, type=kind), Set(key="b", value=raw, type=kind)]
        nonce = make_nonce(11, number * CHANGE_NONCES + 1)
        request = KvWrite(writer="agent", nonce=nonce, ns=kind, ops=ops)
        for _ in range(2):
            with closing(MailboxClient(wary.home, "journal_writer", "agent")) as client:
                answers += [bytes(client.request("kv.write", request).body) for _ in range(2)]
            wary.kill()
            wary.start()

    assert [len(set(answers[:4])), len(set(answers[4:]))] == [1, 1]
    assert msgspec.msgpack.decode(answers[0], type=KvWritten).redacted == (0, 1)
    assert msgspec.msgpack.decode(answers[4], type=KvWritten).redacted == (0, 1)


def test_models_and_imports_are_no_way_around(wary: ActorProcess, book: Book) -> None:
    """The tools of a real MCP client, and the keys of a shared-memory.json."""
    model = asyncio.run(
        use_tools(
            wary.home,
            [
                ("kv_set", {"namespace": "m", "key": "k", "value": [SECRET]}),
                ("kv_set", {"namespace": "m", "key": "api_key", "value": "hunter2"}),
                ("kv_set", {"namespace": "cache", "key": "k", "value": {"password": "hunter2"}}),
                ("kv_set", {"namespace": "m", "key": SECRET, "value": 1}),
                ("kv_get", {"namespace": "m", "key": "k"}),
            ],
        )
    )
    entry = {"key": "old", "namespace": "m", "value": SECRET, "metadata": {"x": SECRET}}
    document = json.dumps({"entries": [entry]}).encode()
    imported = import_keys(book, read_shared_memory(document, 0))

    assert [each.is_error for each in model] == [False, False, False, True, False]
    assert model[4].structured_content["value"] == [MARK]
    assert imported.imported == 1
    store = book.store("m")
    old = store.get_item("old")
    assert old is not None
    assert (old.value, old.metadata["x"]) == (MARK, MARK)
    assert sorted(store.keys()) == ["api_key", "k", "old"]
    assert store.get("api_key") == "[redacted:named-secret]"
    assert book.store("cache").get("k") == {"password": "[redacted:named-secret]"}
    assert holders(wary.home) == []


async def use_tools(home: Home, calls: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Return the results of tools, of a server over pipes."""
    from mcp import Client  # noqa: PLC0415 - 0.6 s
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415 - the same

    environment = {**os.environ, "HOURBOOK_HOME": str(home.path)}
    command = ["-m", "hourbook.command", "mcp"]
    server = StdioServerParameters(command=sys.executable, args=command, env=environment)
    async with Client(stdio_client(server)) as client:
        return [await client.call_tool(tool, arguments) for tool, arguments in calls]


def test_names_that_are_secrets_are_refused(book: Book) -> None:
    """Nothing of it is written."""
    head = book.head()

    for write in (
        lambda: book.store("notes").set(SECRET, 1),
        lambda: book.store("notes").increment(SECRET),
        lambda: book.store("xoxb-1234567890-a").set("k", 1),
        lambda: book.store("notes").lock(SECRET, wait_s=0).__enter__(),
        lambda: book.start_session("xoxb-1234567890-a"),
    ):
        with pytest.raises(errors.BadRequest, match="without a secret"):
            write()

    assert book.head() == head
    assert holders(book.home) == []


def test_a_resend_hears_the_same_also_after_a_restart(wary: ActorProcess) -> None:
    """It is written once, and its answer says again what was changed."""
    raw = msgspec.Raw(msgspec.msgpack.encode(SECRET))
    request = Append("agent", make_nonce(9, 1), [NewEntry("a", "b"), NewEntry("a", "b", raw)])

    answers = []
    for _ in range(3):
        with closing(MailboxClient(wary.home, "journal_writer", "agent")) as client:
            answers += [client.request("book.append", request).body for _ in range(2)]
        wary.kill()
        wary.start()

    assert len({bytes(body) for body in answers}) == 1
    assert msgspec.msgpack.decode(answers[0], type=Appended).redacted == [1]
    with BookReader(wary.home) as reader:
        assert [each.details for each in reader.since(0)] == [None, MARK]
