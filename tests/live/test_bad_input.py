"""What nobody should hand in, from end to end: one line of why, nothing lost, the rest goes on.

Each case goes through the public API, the command, and MCP where it can get there. Filters with
quotes, jq or SQL in them are in ``test_follow_live`` and ``test_live_commands``, SQL that runs for
minutes in ``test_query_command``.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from book_actors import running_writer
from books import open_writer, write_book
from fakes.time_pages import page_now
from full_tree import run_hourbook

from hourbook.book.archive.retention import Rule
from hourbook.book.journal import Stamp
from hourbook.compaction import compact
from hourbook.faces.book import Book, connect
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors
from protocols.book_messages import Append, NewEntry
from protocols.change import CHANGE_NONCES
from protocols.entry import encode_value, make_nonce
from protocols.kv_messages import ValueType
from shm.writer import TimeWriter

pytestmark = pytest.mark.live

DAY_NS = 86_400 * 10**9


def ask_mcp(home: Home, tool: str, **arguments: Any) -> Any:
    """Return what an MCP client gets for one call."""
    from mcp import Client  # noqa: PLC0415 - 0.6 s

    from hourbook.mcp_tools import HourbookTools, build_server  # noqa: PLC0415 - as above

    tools = HourbookTools(home)

    async def call() -> Any:
        async with Client(build_server(tools)) as client:
            return await client.call_tool(tool, arguments)

    try:
        return asyncio.run(call())
    finally:
        tools.close()


def mcp_refusal(home: Home, tool: str, **arguments: Any) -> str:
    """Return the one line that an MCP client is refused with."""
    result = ask_mcp(home, tool, **arguments)
    assert result.is_error is True
    (content,) = result.content
    return one_line(content.text)


def refusal(home: Home, *arguments: str | bytes, code: int = 2, text_in: bytes = b"") -> str:
    """Return the one line that the command is refused with."""
    result = run_hourbook(*arguments, home=home.path, text_in=text_in)
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    return one_line(result.stderr.removeprefix("hourbook: ").rstrip("\n"))


def one_line(text: str) -> str:
    """Return text that says what was expected, in one line."""
    assert text.startswith("Expected ")
    assert "\n" not in text
    return text


def test_name_that_climbs_is_refused_and_as_text_it_is_text(book: Book, tmp_path: Path) -> None:
    """No face takes `../../x` for the name of anything; an entry may speak of it."""
    climbing, home = "../../x", book.home
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(errors.BadRequest, match=r"\.\./\.\./x") as caught:
        connect(climbing, home)
    refused = [
        one_line(caught.value.message),
        refusal(home, "log", "a", "b", "--as", climbing),
        refusal(home, "log", "a", "b", "--session", climbing),
        refusal(home, "log", "a", "b", "--branch", climbing),
        refusal(home, "session", "start", climbing),
        refusal(home, "branch", "create", climbing),
        refusal(home, "updates", climbing),
        mcp_refusal(home, "journal_at", at=climbing),
    ]
    logged = ask_mcp(home, "journal_log", action=climbing, entity=climbing).structured_content

    assert all(climbing in text for text in refused)
    assert sorted(tmp_path.rglob("*")) == before
    assert (logged["entity"], book.tail(1)[0].action) == (climbing, climbing)


def test_entry_up_to_the_limit_is_kept_by_every_face(book: Book) -> None:
    """0 bytes, 1 MiB and 16 MiB of details (5 bytes of which say how many) come back whole."""
    texts = ["z" * size for size in (0, 1 << 20, (16 << 20) - 5)]

    for text in texts:
        book.log("large", "api", text)
        log = ("log", "large", "cli", "--stdin")
        assert run_hourbook(*log, home=book.home.path, text_in=text.encode()).returncode == 0
        ask_mcp(book.home, "journal_log", action="large", entity="mcp", details=text)

    found = [(entry.entity, entry.details) for entry in book.tail(20) if entry.action == "large"]
    assert found == [(face, text) for text in texts for face in ("api", "cli", "mcp")]


def test_entry_beyond_the_limit_is_refused_by_every_face(book: Book) -> None:
    """17 MiB: the limit and the size are named, nothing is written, the next entry is."""
    text = "z" * (17 << 20)

    with pytest.raises(errors.LimitExceeded) as caught:
        book.log("large", "x", text)
    refused = [
        caught.value.message,
        refusal(book.home, "log", "large", "x", "--stdin", text_in=text.encode()),
        mcp_refusal(book.home, "journal_log", action="large", entity="x", details=text),
    ]

    assert {words.split(", got")[0] for words in refused} == {
        "Expected details of at most 16777216 bytes (16 MiB)"
    }
    assert book.log("small", "x").seq == 1


KV = {"namespace": "app", "key": "k"}
BAD_FOR_TOOLS: list[tuple[str, dict[str, Any]]] = [
    ("kv_set", {**KV, "key": "", "value": 1}),
    ("kv_set", {**KV, "key": "x" * 1025, "value": 1}),
    ("kv_set", {**KV, "namespace": "a/b", "value": 1}),
    ("kv_set", {**KV, "value": 1 << 64}),
    ("kv_set", {**KV, "value": 1, "ttl_seconds": -1}),
    ("kv_set", {**KV, "value": 1, "if_version": 7}),
    ("kv_set", {**KV, "value": 1, "if_version": "9" * 5000}),
    ("kv_set", {**KV, "value": 1, "type": "cached"}),
    ("kv_set", {**KV, "value": 1, "type": "locked"}),
    ("kv_set", {**KV, "value": 1, "metadata": {"a": "x" * 65_536}}),
    ("kv_delete", {**KV, "if_version": 0}),
    ("kv_increment", KV),
    ("kv_increment", {**KV, "key": "n", "by": 1 << 63}),
    ("kv_get", {**KV, "at": "never"}),
    ("kv_keys", {"namespace": "app", "glob": "["}),
    ("kv_keys", {"namespace": "app", "limit": 0}),
    ("kv_increment", {**KV, "by": "x"}),
    ("kv_set", KV),
]


def test_store_tools_refuse_in_one_line_and_change_nothing(book: Book) -> None:
    """What was expected, and what came."""
    book.store("app").set("k", "text")
    head = book.tail(1)[0].seq

    refused = [mcp_refusal(book.home, tool, **arguments) for tool, arguments in BAD_FOR_TOOLS]

    assert [text for text in refused if ", got " not in text] == []
    assert book.tail(1)[0].seq == head


def test_tool_offers_each_type_that_it_can_write(book: Book) -> None:
    """A key of type `locked` is written under a lock, which no tool holds."""
    from mcp import Client  # noqa: PLC0415 - 0.6 s

    from hourbook.mcp_tools import HourbookTools, build_server  # noqa: PLC0415 - as above

    async def offered() -> list[str]:
        async with Client(build_server(HourbookTools(book.home))) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            return list(tools["kv_set"].input_schema["properties"]["type"]["enum"])

    types = asyncio.run(offered())

    assert set(types) == set(get_args(ValueType)) - {"locked"}
    for kind in types:
        asked = {**KV, "key": kind or "usual", "value": 1, "type": kind}
        assert ask_mcp(book.home, "kv_set", **asked).is_error is not True


STEP: dict[str, Any] = {"op": "set", "key": "k", "value": 1}
BAD_STEPS: dict[str, dict[str, Any] | bytes] = {
    "ops[0].key": {**STEP, "key": ""},
    "body.ops[0].key": {**STEP, "key": b"k"},
    "body.ops[0].ttl_ns": {**STEP, "ttl_ns": -1},
    "body.ops[0].type": {**STEP, "type": "eternal"},
    "body.ops[0].op": {**STEP, "op": "frob"},
    "body.ops[0].if_version": {**STEP, "if_version": -1},
    "body.ops[0].by": {"op": "increment", "key": "k", "by": 1 << 63},
    "ops[0].by": {"op": "increment", "key": "k", "by": float("nan")},
    "ops[0].metadata": {**STEP, "metadata": [1]},
    "ops[0].keep_ttl": {**STEP, "ttl_ns": 1, "keep_ttl": True},
    "ops[0].token": {**STEP, "token": 7},
    "ops[0].value": b"\x83\xa2op\xa3set\xa3key\xa1k\xa5value\xa1\xff",
    "body": b"\x83\xa2op\xa3set\xa3key\xa1\xff\xa5value\x01",
    "body.ops[0]": {"op": "set", "key": "k"},
    "frame": {**STEP, "value": msgspec.Raw(b"\x91" * 40 + b"\x01")},
}


def test_steps_that_no_client_of_ours_would_send_are_refused_by_their_place(book: Book) -> None:
    """The field is named, in one line; nothing of the request is done."""
    found = {}
    with closing(MailboxClient(book.home, "journal_writer", "raw")) as client:
        for number, (field, step) in enumerate(BAD_STEPS.items()):
            bad = msgspec.Raw(step) if isinstance(step, bytes) else step
            request = {
                "writer": "raw",
                "nonce": make_nonce(1, number * CHANGE_NONCES),
                "ns": "app",
                "ops": [bad, {**STEP, "key": "other"}],
            }
            with pytest.raises(errors.CallerError) as caught:
                client.request("kv.write", request)
            found[caught.value.field] = field
            assert "\n" not in caught.value.message

    assert found == {field: field for field in BAD_STEPS}
    assert list(book.store("app").keys()) == []


def test_any_text_is_kept_and_a_lone_surrogate_named(book: Book) -> None:
    """NUL, newline and emoji come back as they went in; what UTF-8 cannot carry is refused."""
    text, home = "a\0b\nc\x1b[31m \N{GRINNING FACE}", book.home

    for field in ("action", "entity", "details"):
        said = {"action": "a", "entity": "b", "details": "c", field: "\ud800"}
        with pytest.raises(errors.BadRequest) as caught:
            book.log(*said.values())
        assert field in one_line(caught.value.message)
        assert field in mcp_refusal(home, "journal_log", **said)
    assert "action" in refusal(home, "log", b"\xff", "b")
    assert "entity" in refusal(home, "log", "a", b"\xff")
    assert "DETAILS" in refusal(home, "log", "a", "b", b"\xff")
    book.log(text, text, {text: text}, tags=[text])
    ask_mcp(home, "journal_log", action=text, entity=text, details={text: text}, tags=[text])

    kept = [(e.action, e.entity, e.details, e.tags) for e in book.tail(9)]
    assert kept[-2:] == [(text, text, {text: text}, (text,))] * 2
    shown = run_hourbook("tail", "-n", "2", home=home.path).stdout
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown


def test_sql_that_writes_is_refused_by_every_face(book: Book) -> None:
    """It makes no file and changes no entry, and each face says the same of it."""
    book.log("kept", "x")
    before = sorted(book.home.path.rglob("*"))

    for sql in ("DELETE FROM entries", "UPDATE entry SET action = 'x'", "ATTACH 'y' AS other"):
        with pytest.raises(errors.BadRequest) as caught:
            book.query(sql)
        refused = [
            one_line(str(caught.value)),
            refusal(book.home, "query", sql),
            mcp_refusal(book.home, "journal_query", sql=sql),
        ]
        assert len(set(refused)) == 1

    assert sorted(book.home.path.rglob("*")) == before
    assert [entry.action for entry in book.tail(9)] == ["kept"]


def test_clock_that_steps_back_an_hour_changes_no_order(home: Home) -> None:
    """Between two entries: seq and hlc rise, every face shows them in order, the book verifies."""
    now_ns = time.time_ns()
    with (
        closing(TimeWriter(home.segment)) as publisher,
        running_writer(home),
        connect("agent", home, shared=True) as book,
    ):
        publisher.publish(page_now(utc_at_as_of_ns=now_ns), is_step=True)
        one = book.log("before", "x")
        publisher.publish(page_now(utc_at_as_of_ns=now_ns - 3600 * 10**9), is_step=True)

        two = book.log("after", "x")

        assert 3590 * 10**9 < one.time_ns - two.time_ns < 3610 * 10**9
        assert (one.seq, two.seq, two.hlc > one.hlc) == (1, 2, True)
        assert [e.action for e in book.tail(2)] == ["before", "after"]
        shown = run_hourbook("tail", "--json", home=home.path).stdout.splitlines()
        assert [json.loads(line)["action"] for line in shown] == ["before", "after"]
        assert book.verify(all_signatures=True).ok


def torn(path: Path) -> None:
    """Cut the last page off a database in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 - 100])


def foreign(path: Path) -> None:
    """Put the database of another program in the place of a book."""
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def garbage(path: Path) -> None:
    """Put a file that is no database in the place of a book."""
    path.write_bytes(b"no database, and long enough to be taken for one" * 100)


@pytest.mark.parametrize("spoil", [torn, foreign, garbage])
def test_database_that_is_no_book_is_refused_and_left_alone(
    home: Home, spoil: Callable[[Path], None]
) -> None:
    """Every face names the file; nothing is written to it; put right, it is written to again."""
    write_book(home, [300])
    with closing(sqlite3.connect(home.book_db)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("book.db-wal", "book.db-shm"):
        (home.path / name).unlink(missing_ok=True)
    good = home.book_db.read_bytes()
    spoil(home.book_db)
    bad = home.book_db.read_bytes()

    with running_writer(home) as writer:
        with (
            connect("agent", home, shared=True) as book,
            pytest.raises((errors.BookCorrupt, errors.UnsupportedVersion)) as caught,
        ):
            book.log("x", "y")
        refused = [
            one_line(caught.value.message),
            refusal(home, "log", "x", "y", code=3),
            mcp_refusal(home, "journal_log", action="x", entity="y"),
        ]
        is_left = home.book_db.read_bytes() == bad
        writer.kill()
        home.book_db.write_bytes(good)
        writer.start()
        with connect("agent", home, shared=True) as book:
            assert book.log("x", "y").seq == 301

    assert is_left
    assert all(str(home.book_db) in text for text in refused)


@pytest.mark.parametrize("key", [None, "00" * 32, "no key"])
def test_book_without_its_key_is_read_and_not_written_to(home: Home, key: str | None) -> None:
    """Missing, another or none: the key's file is named; with its own it goes on."""
    write_book(home, [3])
    path = home.keys_dir / "site.key"
    own = path.read_text()
    path.unlink()
    if key is not None:
        path.write_text(key)
        path.chmod(0o600)

    with running_writer(home) as writer, connect("agent", home, shared=True) as book:
        with pytest.raises(errors.HomeUnusable) as caught:
            book.log("x", "y")
        refused = [
            one_line(caught.value.message),
            refusal(home, "log", "x", "y", code=3),
            mcp_refusal(home, "journal_log", action="x", entity="y"),
        ]
        shown = run_hourbook("tail", home=home.path).stdout.splitlines()
        writer.kill()
        path.write_text(own)
        path.chmod(0o600)
        writer.start()

        assert book.log("x", "y").seq == 4

    assert all("key" in text for text in refused)
    assert len(shown) == 3


def test_half_written_archive_costs_only_its_own_details(home: Home) -> None:
    """What a crash left is ignored; a file that lost its end is named, and the rest reads on."""
    opened = open_writer(home)
    old = [NewEntry("did", f"e{n}", msgspec.Raw(encode_value("x" * 900, ""))) for n in range(200)]
    opened.commit([Append("old", make_nonce(1, 1), old)], Stamp(time.time_ns() - 3 * DAY_NS, -1))
    opened.close()
    with running_writer(home), connect("agent", home, shared=True) as book:
        compact(home, [Rule(do="archive", after="2 d")], time.time_ns())
        (archive,) = home.archive_dir.glob("*.zst*")
        half = archive.read_bytes()[: archive.stat().st_size // 2]
        (home.archive_dir / f".{archive.name}.4711").write_bytes(half)
        is_whole = book.verify().ok
        archive.write_bytes(half)

        late = book.log("late", "x", "y")

        with pytest.raises(errors.ArchiveDamaged) as caught:
            assert book.tail(5)[0].details
        shown = run_hourbook("tail", "--json", "-n", "3", home=home.path).stdout.splitlines()
        verified = run_hourbook("verify", home=home.path)
    first, *_, last = (json.loads(line) for line in shown)
    assert is_whole
    assert archive.name in one_line(caught.value.message)
    assert (first["details"], first["missing"]["cause"]) == (None, "unreadable")
    assert (last["seq"], last["details"]) == (late.seq, "y")
    assert verified.returncode == 1
    assert archive.name in verified.stdout
