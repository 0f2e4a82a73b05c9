"""What the store forgets of its past, and what it must not; in a book without a tree."""

import random
from typing import Any

import pytest
from kv_writes import NOW_NS, open_store, put, say, written

from hourbook.book.changes.outcomes import Outcome
from hourbook.book.copies.rewind import find_cut, rewind
from hourbook.book.journal import Stamp
from hourbook.book.moment import parse_moment
from hourbook.book.reader import BookReader
from hourbook.book.store import spent
from hourbook.book.store.past import PastReader
from hourbook.book.store.rebuild import find_fault
from hourbook.book.store.spent import Horizon, find_first_seq, plan_spent
from hourbook.book.writer import BookWriter
from hourbook.home import Home
from protocols import entry, errors
from protocols.branch_messages import CreateBranch, DeleteBranch
from protocols.change import CHANGE_NONCES
from protocols.kv_messages import CompactKeys, Delete, Spent

S_NS = 1_000_000_000
KEPT = Horizon(store_history_s=100, store_versions=3)
_counts = iter(range(1, 10**6))


def change(book: BookWriter, kind: type[Any], **fields: Any) -> Outcome:
    """Write one change in a group of its own."""
    nonce = entry.make_nonce(7, next(_counts) * CHANGE_NONCES)
    made = kind(writer="compactor", nonce=nonce, **fields)
    return book.write([made], Stamp(NOW_NS, 0)).outcomes[0]


def compact_store(home: Home, book: BookWriter, now_ns: int = NOW_NS) -> tuple[int, int]:
    """Forget what is to be forgotten; return the first seq that is known, and how many slices."""
    slices = 0
    with BookReader(home) as reader:
        first_seq = find_first_seq(reader, KEPT, now_ns)
        for keys, versions in plan_spent(reader, KEPT, first_seq):
            done = change(book, CompactKeys, first_seq=first_seq, keys=keys)
            assert (done.error, versions) == (None, versions)
            slices += 1
    return first_seq, slices


def states(book: BookWriter, key: str, ns: str = "notes") -> dict[int, object]:
    """Return what a key held at each seq: its version, or None; or the seq of a Compacted."""
    found: dict[int, object] = {}
    for seq in range(1, book.head.seq + 1):
        past = PastReader(ns, until_seq=seq)
        try:
            held = past.state(book.query(lambda connection: connection), key)
            found[seq] = None if held is None or not held.is_present else held.version
        except errors.Compacted as error:
            found[seq] = error.value
    return found


def versions_of(book: BookWriter, key: str, ns: str = "notes") -> list[int]:
    """Return the versions of a key that are listed."""
    sql = "SELECT seq FROM kv_log WHERE ns = ? AND key = ? ORDER BY seq"
    return [seq for (seq,) in book.query(lambda c: c.execute(sql, (ns, key)).fetchall())]


def test_every_moment_since_the_horizon_stays_as_it_was(
    home: Home, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In slices of three versions; before it every state is Compacted, of that namespace alone."""
    monkeypatch.setattr(spent, "SLICE_VERSIONS", 3)
    monkeypatch.setattr(spent, "PAGE_KEYS", 2)
    book = open_store(home)
    keys = [f"k{number}" for number in range(7)]
    say(book, put("other", 1), ns="quiet", at_ns=NOW_NS - 300 * S_NS)
    for number in range(120):
        key = rng.choice(keys)
        op = Delete(key=key) if rng.random() < 0.2 else put(key, number)
        say(book, op, at_ns=NOW_NS - (200 - number) * S_NS)
    before = {key: states(book, key) for key in keys}
    quiet = states(book, "other", "quiet")

    first_seq, slices = compact_store(home, book)

    assert slices > 5
    for key in keys:
        after = states(book, key)
        assert all(after[seq] == str(first_seq) for seq in range(1, first_seq))
        assert all(after[seq] == before[key][seq] for seq in range(first_seq, book.head.seq + 1))
    assert states(book, "other", "quiet") == quiet
    assert find_fault(book.query(lambda connection: connection)) is None
    assert compact_store(home, book) == (first_seq, 0)
    with BookReader(home) as reader:
        assert reader.verify().ok


def test_versions_that_are_superseded_go_and_versioned_keys_keep_their_last(home: Home) -> None:
    """A version that went is Compacted when it is asked for, one that was never there is not."""
    book = open_store(home)
    past_ns = NOW_NS - 200 * S_NS
    plain = [written(say(book, put("plain", n), at_ns=past_ns)).versions[0] for n in range(6)]
    kept = [
        written(say(book, put("v", n, type="versioned"), at_ns=past_ns)).versions[0]
        for n in range(6)
    ]
    say(book, put("plain", 6))

    compact_store(home, book)

    assert versions_of(book, "plain") == [plain[-1], book.head.seq]
    assert versions_of(book, "v") == kept[-KEPT.store_versions :]
    past = PastReader("notes")
    assert book.query(lambda c: past.version(c, "v", kept[3])).value == 3
    with pytest.raises(errors.Compacted) as gone:
        book.query(lambda c: past.version(c, "plain", plain[0]))
    assert gone.value.value == str(kept[-1])
    with pytest.raises(errors.NotInBook):
        book.query(lambda c: past.version(c, "plain", 10_000))
    assert [each.value for each in book.query(lambda c: past.history(c, "plain", 10_000, 9))] == [
        6,
        5,
    ]
    with pytest.raises(errors.Compacted):
        book.query(lambda c: past.history(c, "plain", plain[2], 9))


def test_what_a_branch_was_made_of_stays_for_as_long_as_the_branch(home: Home) -> None:
    """And is forgotten with the next compaction after that."""
    book = open_store(home)
    past_ns = NOW_NS - 200 * S_NS
    seen = written(say(book, put("k", "base"), at_ns=past_ns)).versions[0]
    change(book, CreateBranch, name="plan")
    number = book.query(lambda c: c.execute("SELECT number FROM branch").fetchone()[0])
    for value in range(4):
        say(book, put("k", value), at_ns=past_ns)

    compact_store(home, book, NOW_NS + 200 * S_NS)

    held = book.query(lambda c: PastReader("notes", number).state(c, "k"))
    assert held is not None
    assert held.version == seen
    change(book, DeleteBranch, name="plan")
    compact_store(home, book, NOW_NS + 200 * S_NS)
    assert len(versions_of(book, "k")) == 1


def test_a_compaction_cannot_take_what_is_needed(home: Home) -> None:
    """Neither the state at its own horizon, nor what is to come, nor a branch's base."""
    book = open_store(home)
    for value in range(4):
        say(book, put("k", value))
    before = versions_of(book, "k")

    def ask(first_seq: int, below: int, ns: str = "notes") -> Outcome:
        return change(book, CompactKeys, first_seq=first_seq, keys=[Spent(0, ns, "k", below)])

    refused = [ask(2, 3), ask(99, 1), ask(3, 2, "other")]
    change(book, CreateBranch, name="plan")
    say(book, put("k", 5))
    refused.append(ask(book.head.seq, 4))

    assert [type(each.error) for each in refused] == [errors.BadRequest] * 4
    assert versions_of(book, "k") == [*before, book.head.seq]


def test_a_copy_that_is_cut_back_knows_all_of_its_past_again(home: Home) -> None:
    """The list is made anew from the entries; the floor goes with it."""
    book = open_store(home)
    for value in range(6):
        say(book, put("k", value), at_ns=NOW_NS - 200 * S_NS)
    compact_store(home, book)
    assert versions_of(book, "k") == [6]

    book.query(lambda c: rewind(c, find_cut(c, parse_moment(4))))

    assert versions_of(book, "k") == [1, 2, 3, 4]
    assert book.query(lambda c: c.execute("SELECT * FROM kv_floor").fetchall()) == []
