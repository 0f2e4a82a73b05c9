"""What is taken for a secret and what is not; and that nothing else of a value changes."""

import time

import msgspec
import pytest
from book_actors import running_writer
from kv_writes import kv_write, put

from hourbook.book.reader import BookReader
from hourbook.book.secrets import MARK, SecretRules
from hourbook.faces.book import connect
from hourbook.home import Home

KEY = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"
GITHUB = "ghp_" + "a" * 36


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"password": "hunter2"}, {"password": MARK}),
        ({"DB_PASSWORD": "hunter2", "n": 1}, {"DB_PASSWORD": MARK, "n": 1}),
        ({"token": ["a", {"x": "b"}], "n": 5}, {"token": [MARK, {"x": MARK}], "n": 5}),
        ({"session-key": "s"}, {"session-key": MARK}),
        ({"note": f"use {GITHUB} now"}, {"note": f"use {MARK} now"}),
        ([KEY, b"x " + GITHUB.encode()], [MARK, b"x " + MARK.encode()]),
        ("https://me:pass@host/x", f"https://{MARK}@host/x"),
        ("AKIA" + "A" * 16, MARK),
        ("Bearer abcdefghijklmnop1234", f"Bearer {MARK}"),
        ({"password": ""}, None),
        ({"max_tokens": 5, "tokens": "many"}, None),
        ({"token": 5}, None),
        (["sk-learn", "eyes", "https://host/a:b", None, 1.5, True, b"\xff"], None),
        (None, None),
    ],
)  # fmt: skip
def test_secrets_are_replaced_and_all_else_stays(value: object, kept: object) -> None:
    """By the name that they stand under, or by their looks; None: nothing was found."""
    cleaned = SecretRules(["Session Key"]).clean(msgspec.msgpack.encode(value))

    assert (None if cleaned is None else msgspec.msgpack.decode(cleaned)) == kept


def test_a_key_of_the_store_is_a_name_too() -> None:
    """Values and metadata of sets are looked through, whatever else the write does."""
    change = kv_write(put("github_token", "abc"), put("n", 1, metadata={"secret": "x"}))

    first, second = SecretRules().clean_write(change).ops

    assert msgspec.msgpack.decode(first.value) == MARK  # type: ignore[union-attr]
    assert msgspec.msgpack.decode(second.metadata) == {"secret": MARK}  # type: ignore[union-attr]


def test_texts_made_to_be_slow_are_not() -> None:
    """A megabyte of each beginning takes a moment."""
    started_s = time.perf_counter()

    for text in ("-----BEGIN ", "eyJ" + "a" * 20 + ".", "://a:", "sk-", "Bearer ", "a"):
        SecretRules().clean(msgspec.msgpack.encode(text * (1_000_000 // len(text))))

    assert time.perf_counter() - started_s < 5


@pytest.mark.live
def test_no_write_path_lets_a_secret_through(home: Home) -> None:
    """And whoever wrote it is told what is in the book instead, with the hash of that."""
    with running_writer(home, redact_secrets=True), connect("agent", home) as book:
        entry = book.log("deployed", "api", {"password": "hunter2"})
        batch = book.log_many([("a", "b", {"ok": 1}), ("a", "b", {"note": GITHUB})])
        later = book.log_nowait("a", "b", GITHUB).result()
        book.store("notes").set("api_key", "hunter2")
        book.store("notes").set("t", {"note": "hunter2 " + GITHUB}, type="transient")

        assert entry.details == {"password": MARK}
        assert [each.details for each in batch] == [{"ok": 1}, {"note": MARK}]
        assert later.details == MARK
        assert book.store("notes").get("api_key") == MARK
        assert book.store("notes").get("t") == {"note": f"hunter2 {MARK}"}
        with BookReader(home) as reader:
            assert reader.entry(entry.seq) == entry
            assert reader.verify().ok
    for path in (*home.path.glob("book.db*"), home.volatile_db):
        assert GITHUB.encode() not in path.read_bytes()
