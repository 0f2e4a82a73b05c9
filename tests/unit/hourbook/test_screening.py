"""What is taken for a secret and what is not, and that nothing else of a request changes."""

import time

import msgspec
import pytest
from kv_writes import increment, kv_write, put

from actors.config import JournalWriterConfig
from hourbook.book.changes.kinds import KINDS
from hourbook.book.screening import open_screen
from hourbook.book.screening.rules import BUILT_IN
from hourbook.book.screening.screen import SAID, Screen, ScreenedAppend
from protocols import errors
from protocols.book_messages import Append, NewEntry
from protocols.entry import make_nonce
from protocols.keep_messages import Redact
from protocols.kv_messages import AcquireLock, SetSchema
from protocols.session_messages import StartSession

GITHUB = "ghp_" + "a" * 36
PEM = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"
NAMED = "[redacted:named-secret]"
NONCE = make_nonce(1, 1)


@pytest.fixture(scope="module")
def screen() -> Screen:
    """Return all built-in rules, and one of an operator's own."""
    return Screen(("all",), {"ours": "OUR-[0-9]{8}", "pin": "PIN (?P<secret>[0-9]{4})"})


def screened(screen: Screen, value: object) -> object:
    """Return a value without its secrets."""
    raw = msgspec.Raw(msgspec.msgpack.encode(value))
    kept = screen.value(raw)
    assert (kept is raw) == (bytes(kept) == bytes(raw)), "bytes are never encoded anew"
    return msgspec.msgpack.decode(kept)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"a {PEM} b", "a [redacted:private-key] b"),
        ("-----BEGIN PRIVATE KEY-----\nnever ends", "[redacted:private-key]"),
        ("AKIA" + "A1" * 8, "[redacted:aws-access-key]"),
        (f"use {GITHUB}, {GITHUB}", "use [redacted:github-token], [redacted:github-token]"),
        ("glpat-" + "x" * 20, "[redacted:gitlab-token]"),
        ("xoxb-1234567890-abc", "[redacted:slack-token]"),
        ("AIza" + "b" * 35, "[redacted:google-key]"),
        ("key sk-ant-" + "c" * 30, "key [redacted:model-key]"),
        ("sk_live_" + "d" * 24, "[redacted:stripe-key]"),
        ("npm_" + "e" * 36, "[redacted:package-token]"),
        ("eyJ" + "f" * 9 + ".eyJ" + "g" * 9 + "." + "h" * 9, "[redacted:jwt]"),
        ("Authorization: Bearer " + "i" * 20, "Authorization: Bearer [redacted:bearer]"),
        ("postgres://me:hunter2@db/x", "postgres://me:[redacted:url-password]@db/x"),
        ("DB_PASSWORD=hunter2 and", f"DB_PASSWORD={NAMED} and"),
        ("client-Secret: 'hunter2'", f"client-Secret: '{NAMED}'"),
        ("BEARER " + "j" * 20, "BEARER [redacted:bearer]"),
        ("OUR-12345678 PIN 1234", "[redacted:ours] PIN [redacted:pin]"),
        ("日本 OUR-12345678 é", "日本 [redacted:ours] é"),
    ],
)  # fmt: skip
def test_a_secret_is_replaced_wherever_it_stands(screen: Screen, text: str, kept: str) -> None:
    """In text, in bytes, in lists, as a value and as a name in a map; what is around it stays."""
    assert screen.text(text) == kept
    assert screen.text(kept) == kept
    assert screened(screen, {"deep": [1, {"x": text}]}) == {"deep": [1, {"x": kept}]}
    assert screened(screen, {text: 1}) == {kept: 1}
    if text.isascii():
        assert screened(screen, b"\xff" + text.encode()) == b"\xff" + kept.encode()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"password": "hunter2", "n": 1}, {"password": NAMED, "n": 1}),
        ({"DB-Password": b"x"}, {"DB-Password": NAMED.encode()}),
        ({"token": ["a", {"x": "b"}], "n": 5}, {"token": [NAMED, {"x": NAMED}], "n": 5}),
        (
            {"OUR-00000001": 1, "OUR-00000002": 2},
            {"[redacted:ours]": 1, "[redacted:ours]]": 2},
        ),
    ],
)
def test_what_stands_under_a_telling_name_is_a_secret(
    screen: Screen, value: object, kept: object
) -> None:
    """All text below it; numbers stay. Two names that are secrets stay two."""
    assert screened(screen, value) == kept


@pytest.mark.parametrize(
    "value",
    [
        *(None, 0, 1.5, "", b"", [], {}, True, "plain", b"\xff\x00", [{"a": [1, "b"]}]),
        *({"password": ""}, {"token": 5}, {"max_tokens": 5, "tokens": "many"}),
        *("sk-learn", "https://host/a:b", "AKIA", "eyes.only.here", "the password is long"),
        msgspec.msgpack.Ext(5, b"data"),
    ],
)
def test_all_else_keeps_its_bytes(screen: Screen, value: object) -> None:
    """The very same object comes back."""
    assert screened(screen, value) == value


def test_requests_are_cleaned_and_those_without_secrets_are_the_same(screen: Screen) -> None:
    """Which entries were changed is said."""
    raw = msgspec.Raw(msgspec.msgpack.encode({"n": GITHUB}))
    clean = NewEntry("did", "x")
    news = [
        clean,
        NewEntry(GITHUB, "x"),
        NewEntry("did", GITHUB, raw, ("a", GITHUB)),
    ]

    made = screen.append(Append("agent", NONCE, news, session="s", branch=2, hlc=3))

    mark = "[redacted:github-token]"
    assert isinstance(made, ScreenedAppend)
    assert made.redacted == (1, 2)
    assert made.entries[0] is clean
    assert made.entries[1].action == mark
    assert (made.entries[2].entity, made.entries[2].tags) == (mark, ("a", mark))
    assert msgspec.msgpack.decode(made.entries[2].details) == {"n": mark}
    assert (made.session, made.branch, made.hlc) == ("s", 2, 3)
    same = Append("agent", NONCE, [clean])
    assert screen.append(same) is same


def test_changes_are_cleaned_and_names_are_refused(screen: Screen) -> None:
    """Values, metadata, purposes and reasons are replaced; a name could not be found again."""
    change = kv_write(
        put("api_key", "abc"), put("n", 1, metadata={"x": GITHUB}), increment("i"), put("ok", 5)
    )
    same = kv_write(put("n", 1), increment("i"))

    first, second, third, fourth = screen.change(change).ops

    assert msgspec.msgpack.decode(first.value) == NAMED  # type: ignore[union-attr]
    assert msgspec.msgpack.decode(second.metadata) == {"x": "[redacted:github-token]"}  # type: ignore[union-attr]
    assert (third, fourth) == (change.ops[2], change.ops[3])
    assert screen.change(same) is same
    session = StartSession(writer="a", nonce=NONCE, name="s", purpose=f"use {GITHUB}")
    assert screen.change(session).purpose == "use [redacted:github-token]"
    reason = Redact(writer="a", nonce=NONCE, seq=1, why=f"it held {GITHUB}")
    assert screen.change(reason).why == "it held [redacted:github-token]"
    slack = "xoxb-1234567890-abc"
    for refused in (
        kv_write(put(GITHUB, 1)),
        kv_write(put("k", 1), ns=slack),
        StartSession(writer="a", nonce=NONCE, name=slack),
        StartSession(writer=slack, nonce=NONCE, name="s"),
        SetSchema(writer="a", nonce=NONCE, ns="n", schema=f'{{"const": "{GITHUB}"}}'),
    ):
        with pytest.raises(errors.BadRequest, match="without a secret"):
            screen.change(refused)
    with pytest.raises(errors.BadRequest, match="session"):
        screen.append(Append("agent", NONCE, [NewEntry("a", "b")], session=slack))


def test_every_kind_of_change_is_looked_through() -> None:
    """Whoever adds raw values or lists of texts to a change extends the screen."""
    known = {"KvWrite.ops", "CompactKeys.keys", "Retain.ranges"}
    known |= {"ScreenedWrite.ops", "ScreenedWrite.redacted"}  # what the screen itself makes
    texts = {"str"}

    for request in KINDS:
        for field in msgspec.structs.fields(request):
            text = str(field.type)
            if "Raw" in text or "list" in text or "tuple" in text or "dict" in text:
                assert f"{request.__name__}.{field.name}" in known
            texts.add(field.name if field.type is str else "")

    assert texts >= SAID
    assert AcquireLock in KINDS


def test_no_text_is_slow(screen: Screen) -> None:
    """Half a megabyte of each beginning takes a moment; so do patterns made to explode."""
    hostile = Screen((), {"a": "(a+)+$x", "b": "(x+x+)+y", "c": "(.*,){12}P"})
    begun_s = time.process_time()

    for text in ("-----BEGIN PRIVATE KEY-----", "eyJ" + "a" * 20 + ".", "://a:", "sk-", "bearer "):
        screen.text(text * (500_000 // len(text)))
    for text in ("a", "x", ","):
        hostile.text(text * 100_000)

    assert time.process_time() - begun_s < 5


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"redact": ["github"]}, "redact must name rules"),
        ({"redact_patterns": {"mine": "(?=a)b"}}, "a pattern of RE2"),
        ({"redact_patterns": {"mine": "a*"}}, "fits some text"),
        ({"redact_patterns": {"jwt": "a"}}, "built-in rule"),
        ({"redact_patterns": {"mine": "x" * 2000}}, "1024"),
    ],
)
def test_rules_that_are_none_are_mistakes_of_the_configuration(
    fields: dict[str, object], problem: str
) -> None:
    """Before anything starts."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(fields, JournalWriterConfig)


def test_without_rules_there_is_no_screen() -> None:
    """And with each of them there is."""
    assert open_screen((), {}) is None
    for name, rule in BUILT_IN.items():
        assert open_screen((name,), {}) is not None
        assert rule.meaning
