"""The format of the book, against an implementation of its own from plain msgpack and hashlib."""

import hashlib
import json
import re
from pathlib import Path

import msgpack
import msgspec
import pytest

from protocols import entry, errors

JOURNAL_MD = Path(__file__).parents[3] / "docs" / "JOURNAL.md"


NUMBERS = ("seq", "time_ns", "bound_ns", "hlc", "branch")
TEXTS = ("writer", "session", "kind", "action", "entity")


def independent_hash(fields: dict[str, object]) -> str:
    """Compute an entry's hash as docs/JOURNAL.md tells another language to."""
    salt, details = bytes.fromhex(str(fields["salt"])), bytes.fromhex(str(fields["details"]))
    array = [
        1,
        *(fields[name] for name in ("seq", "time_ns", "bound_ns", "hlc", "branch")),
        *(fields[name] for name in ("writer", "session")),
        bytes.fromhex(str(fields["nonce"])),
        *(fields[name] for name in ("kind", "action", "entity", "tags")),
        hashlib.sha256(salt + details).digest(),
        bytes.fromhex(str(fields["parent_hash"])),
    ]
    return hashlib.sha256(b"hourbook/entry/1" + msgpack.packb(array)).hexdigest()


def make_entry(**changes: object) -> entry.Entry:
    """Return the first entry of the documented vectors, changed."""
    first = entry.Entry(
        seq=1,
        time_ns=1_800_000_000_123_456_789,
        bound_ns=2_500_000,
        hlc=1_800_000_000_123_404_288,
        branch=0,
        writer="agent-1",
        session="",
        nonce=entry.make_nonce(7, 1),
        kind="log",
        action="deployed",
        entity="api.example",
        tags=(),
        salt=bytes(range(16)),
        details_raw=b"\xc0",
        details_hash=None,
        parent_hash=entry.GENESIS_HASH,
        hash=b"",
    )
    return msgspec.structs.replace(first, **changes)


def documented_vectors() -> list[dict[str, object]]:
    """Return the JSON blocks of docs/JOURNAL.md that hold entry vectors."""
    blocks = re.findall(r"```json\n(.*?)```", JOURNAL_MD.read_text("utf-8"), re.DOTALL)
    vectors = [json.loads(block) for block in blocks]
    return [vector for vector in vectors if "canonical" in vector]


@pytest.mark.parametrize("number", range(3))
def test_vector_of_the_documentation_holds_for_us_and_for_msgpack(number: int) -> None:
    """Each documented entry has the documented bytes and hash, by our code and by another."""
    vector = documented_vectors()[number]
    ours = make_entry(
        **{name: vector[name] for name in (*NUMBERS, *TEXTS)},
        tags=tuple(vector["tags"]),  # type: ignore[arg-type]
        nonce=bytes.fromhex(str(vector["nonce"])),
        salt=bytes.fromhex(str(vector["salt"])),
        details_raw=bytes.fromhex(str(vector["details"])),
        parent_hash=bytes.fromhex(str(vector["parent_hash"])),
    )

    canonical = entry.canonical_bytes(ours)

    assert canonical.hex() == vector["canonical"]
    assert entry.entry_hash(canonical).hex() == vector["hash"]
    assert independent_hash(vector) == vector["hash"]


def test_commit_vector_of_the_documentation_holds() -> None:
    """The documented commit has the documented header, signature and id."""
    blocks = re.findall(r"```json\n(.*?)```", JOURNAL_MD.read_text("utf-8"), re.DOTALL)
    vector = next(v for v in map(json.loads, blocks) if "header" in v)
    array = [
        1,
        vector["commit_no"],
        vector["first_seq"],
        vector["last_seq"],
        bytes.fromhex(vector["head_hash"]),
        bytes.fromhex(vector["prev_commit"]),
        vector["parents"],
        vector["hlc"],
        bytes.fromhex(vector["key"]),
    ]
    commit = entry.Commit(
        vector["commit_no"],
        vector["first_seq"],
        vector["last_seq"],
        bytes.fromhex(vector["head_hash"]),
        bytes.fromhex(vector["prev_commit"]),
        tuple(vector["parents"]),
        vector["hlc"],
        bytes.fromhex(vector["key"]),
        bytes.fromhex(vector["signature"]),
    )

    header = entry.commit_header(commit)

    assert header == b"hourbook/commit/1" + msgpack.packb(array)
    assert header.hex() == vector["header"]
    assert entry.commit_id(header, commit.signature).hex() == vector["commit_id"]


def test_fields_cannot_run_into_each_other() -> None:
    """("deploy", "edX") and ("deployed", "X") are different entries."""
    one = entry.canonical_bytes(make_entry(action="deploy", entity="edX"))
    other = entry.canonical_bytes(make_entry(action="deployed", entity="X"))

    assert entry.entry_hash(one) != entry.entry_hash(other)


def test_null_and_empty_text_are_different_details() -> None:
    """No details, "" and {} are three things."""
    hashes = {
        entry.entry_hash(entry.canonical_bytes(make_entry(details_raw=raw)))
        for raw in (b"\xc0", b"\xa0", b"\x80")
    }

    assert len(hashes) == 3


def test_hash_survives_dropping_details_with_their_salt() -> None:
    """An entry whose details were dropped has the hash it always had."""
    whole = make_entry(details_raw=b"\xa6secret")
    digest = entry.details_digest(bytes(range(16)), b"\xa6secret")
    dropped = make_entry(details_raw=None, salt=None, details_hash=digest)

    assert entry.canonical_bytes(dropped) == entry.canonical_bytes(whole)


def test_entry_without_details_and_their_hash_is_corrupt() -> None:
    """Neither details nor digest: nothing can be said of its hash."""
    with pytest.raises(errors.BookCorrupt, match="seq 1"):
        entry.canonical_bytes(make_entry(details_raw=None, salt=None))


def test_nonce_bytes_compare_as_incarnation_then_counter() -> None:
    """Sorting nonces sorts incarnations, then counters; both come back out."""
    pairs = [(0, 1), (0, 255), (0, 256), (1, 0), (2**64 - 1, 2**64 - 1)]

    nonces = [entry.make_nonce(*pair) for pair in pairs]

    assert nonces == sorted(nonces)
    assert [entry.nonce_parts(nonce) for nonce in nonces] == pairs


def test_nonce_outside_64_bits_is_refused() -> None:
    """A counter of 2^64 is the caller's mistake."""
    with pytest.raises(errors.BadRequest, match="2\\^64"):
        entry.make_nonce(0, 2**64)


@pytest.mark.parametrize("value", ["a\0b", "line\nline", "\N{GRINNING FACE}", b"\xff", 2**64 - 1])
def test_value_comes_back_as_it_was(value: object) -> None:
    """NUL, newline, emoji, bytes and large integers are kept."""
    assert entry.decode_value(entry.encode_value(value, "details"), "details") == value


@pytest.mark.parametrize("value", ["\ud800", {"a": ["\udfff"]}, 2**64, object(), 1j])
def test_value_that_messagepack_cannot_carry_is_refused(value: object) -> None:
    """Lone surrogates, too large integers and foreign objects name the field."""
    with pytest.raises(errors.BadRequest) as caught:
        entry.encode_value(value, "details")

    assert caught.value.field == "details"
