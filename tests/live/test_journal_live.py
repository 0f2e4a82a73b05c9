"""The book through a real journal_writer: written, acknowledged, followed, restarted."""

import os
import signal
import threading

import msgpack
import pytest
import zmq
from book_actors import ActorProcess, running_compactor, running_writer
from books import raw_connection, write_book
from waiting import wait_until

import hourbook
from hourbook.book.reader import BookReader
from hourbook.faces.book import Book, connect
from hourbook.faces.entry_future import Received
from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import book_messages, errors

pytestmark = pytest.mark.live


def test_entry_returned_is_the_entry_that_others_read(book: Book) -> None:
    """What log returns is, field by field, what the database holds."""
    book.log("started", "test")

    entry = book.log("deployed", "api\0\n\N{GRINNING FACE}", {"v": [1, None]}, tags=["prod"])

    assert entry == book.tail(1)[0]
    assert (entry.seq, entry.writer, entry.details) == (2, "agent", {"v": [1, None]})
    assert book.verify(all_signatures=True).ok
    head = book.head()
    assert head is not None
    assert head.head_hash == entry.hash


def test_batch_is_written_together_and_in_order(book: Book) -> None:
    """log_many returns its entries in order, in one commit."""
    entries = book.log_many(
        [("a", "x"), ("b", "y", {"n": 1}), {"action": "c", "entity": "z", "tags": ["t"]}]
    )

    assert [(e.seq, e.action, e.details, e.tags) for e in entries] == [
        (1, "a", None, ()),
        (2, "b", {"n": 1}, ()),
        (3, "c", None, ("t",)),
    ]
    assert entries == book.tail(3)
    head = book.head()
    assert head is not None
    assert (head.commit_no, head.first_seq) == (1, 1)


def test_many_in_flight_are_answered_each_with_its_own(book: Book) -> None:
    """Futures of log_nowait resolve to the entries they stand for, callbacks run once."""
    called: list[int] = []
    futures = [book.log_nowait("n", str(i)) for i in range(200)]
    for future in futures:
        future.add_done_callback(lambda f: called.append(f.result().seq))

    entries = [future.result(10) for future in futures]

    assert [e.entity for e in entries] == [str(i) for i in range(200)]
    assert [e.seq for e in entries] == list(range(1, 201))
    wait_until(lambda: sorted(called) == list(range(1, 201)), 5, "the callbacks")


def test_callback_comes_although_nobody_waits(book: Book) -> None:
    """The background thread receives what nobody waits for."""
    heard = threading.Event()

    book.log_nowait("n", "x").add_done_callback(lambda _: heard.set())

    assert heard.wait(5)


def test_received_ack_comes_before_the_entry_and_the_entry_follows(book: Book) -> None:
    """Ack level `received` names the nonce under which the entry will be found."""
    receipt = book.log("quick", "x", ack="received")

    assert isinstance(receipt, Received)
    book.log("after", "y")
    assert receipt.nonce in [entry.nonce for entry in book.tail(2)]


def test_threads_share_one_book(book: Book) -> None:
    """Eight threads over one connection: every entry once, each thread gets its own."""
    wrong: list[str] = []

    def work(name: str) -> None:
        for i in range(50):
            entry = book.log("did", f"{name}-{i}")
            if entry.entity != f"{name}-{i}":
                wrong.append(entry.entity)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert wrong == []
    assert len({entry.entity for entry in book.tail(1000)}) == 400


def test_entries_that_nobody_waits_for_become_durable_soon(
    writer: ActorProcess, book: Book
) -> None:
    """Who logs and then only sleeps need do nothing more; all are there once, in order."""
    for number in range(100):
        book.log_nowait("n", str(number))

    with BookReader(writer.home) as reader:
        wait_until(lambda: reader.count() == 100, 5, "the entries")
        assert [entry.entity for entry in reader.tail(100)] == [str(n) for n in range(100)]


def test_forked_child_is_refused_and_the_parent_goes_on(book: Book) -> None:
    """A connection inherited through fork raises UsedAfterFork in the child, and only there."""
    book.log("before", "fork")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            book.log("in", "child")
        except errors.UsedAfterFork:
            code = 0
        os._exit(code)

    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert book.log("after", "fork").seq == 2


def test_follower_gets_every_entry_in_order_over_a_restart_of_the_writer(
    writer: ActorProcess, book: Book
) -> None:
    """From the beginning, through what is new, across kill -9: contiguous, nothing twice."""
    for i in range(5):
        book.log("old", str(i))
    follower = book.follow(since=0)
    seen = [next(follower).seq for _ in range(5)]

    book.log("new", "5")
    seen.append(next(follower).seq)
    writer.kill()
    writer.start()
    book.log("newer", "6")
    seen.append(next(follower).seq)

    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_follower_that_is_lapped_reads_on_in_the_database(book: Book) -> None:
    """A follower behind by more than the ring holds misses nothing."""
    follower = book.follow(since=0)
    details = "x" * 60_000
    for _ in range(4):
        book.log_many([("bulk", str(i), details) for i in range(60)])
    book.log("large", "x", "y" * 3_000_000)

    seqs = [next(follower).seq for _ in range(241)]

    assert seqs == list(range(1, 242))


def test_follower_from_now_on_sees_only_what_is_new(book: Book) -> None:
    """Without `since` a follower begins at the call, not at its first entry."""
    book.log("old", "x")
    follower = book.follow()
    book.log("new", "y")

    assert next(follower).action == "new"
    assert follower.poll(0.01) is None


def test_follow_without_a_tree_says_what_to_run(home: Home) -> None:
    """No segment: a clear error, no polling."""
    write_book(home, [1])

    with (
        connect("agent", home, shared=True) as book,
        pytest.raises(errors.ActorUnreachable) as caught,
    ):
        book.follow()

    assert "supervisor start" in str(caught.value)


def test_writing_without_a_tree_says_that_nothing_was_sent(home: Home) -> None:
    """Nobody listens: ActorUnreachable, since nothing can have been written."""
    with (
        connect("agent", home, shared=True, timeout_s=0.2) as book,
        pytest.raises(errors.ActorUnreachable, match="nothing was sent"),
    ):
        book.log("x", "y")


def test_restart_while_waiting_is_not_noticed_by_the_caller(
    writer: ActorProcess, book: Book
) -> None:
    """An append sent while the writer is dead is written by its successor, once."""
    book.log("before", "x")
    writer.kill()
    future = book.log_nowait("during", "y")
    writer.start()

    entry = future.result(10)

    assert entry.seq == 2
    assert [e.action for e in book.tail(10)] == ["before", "during"]


def test_next_writer_gets_at_once_what_its_predecessor_left_unanswered(
    writer: ActorProcess, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new connection says so: nobody waits for the time of another attempt, here an hour."""
    monkeypatch.setattr("hourbook.link.outbox._RESEND_NS", 3600 * 10**9)
    book.log("before", "x")
    os.kill(writer.process.pid, signal.SIGSTOP)
    flying = [book.log_nowait("flying", str(number)) for number in range(20)]
    writer.kill()
    writer.start()

    entries = [future.result(4) for future in flying]

    assert len({entry.seq for entry in entries}) == 20
    assert [entry.action for entry in book.tail(21)] == ["before", *["flying"] * 20]


def test_stopped_writer_ends_with_outcome_unknown(writer: ActorProcess, home: Home) -> None:
    """A writer that does not answer: OutcomeUnknown, never a false failure."""
    with connect("agent", home, shared=True, timeout_s=0.6) as book:
        book.log("before", "x")
        os.kill(writer.process.pid, 19)
        with pytest.raises(errors.OutcomeUnknown):
            book.log("during", "y")
        os.kill(writer.process.pid, 18)

        wait_until(lambda: len(book.tail(9)) == 2, 5, "the entry that was written after all")
        assert book.log("after", "z").seq == 3


def test_plain_msgpack_client_of_another_language_appends_and_resends(
    writer: ActorProcess,
) -> None:
    """One map in one frame appends; the same nonce again gets the same answer."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.set(zmq.LINGER, 0)
    dealer.set(zmq.RCVTIMEO, 10_000)
    dealer.connect(writer.home.mailbox_uri("journal_writer"))
    body = {
        "writer": "other",
        "nonce": b"\0" * 15 + b"\1",
        "entries": [{"action": "a", "entity": "b", "details": {"k": b"\xff"}}],
    }

    replies = []
    for attempt in (1, 2):
        message = {"kind": "book.append", "id": 9, "attempt": attempt, "body": body}
        dealer.send(msgpack.packb(message))
        replies.append(msgpack.unpackb(dealer.recv()))
    context.destroy()

    assert replies[0]["kind"] == "ok"
    assert replies[0]["body"] == replies[1]["body"]
    with BookReader(writer.home) as reader:
        assert reader.count() == 1
        assert reader.tail(1)[0].details == {"k": b"\xff"}


@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda b: b.log("\ud800", "x"), errors.BadRequest, "action"),
        (lambda b: b.log("x", "y", {"deep": "\udfff"}), errors.BadRequest, "details"),
        (lambda b: b.log("x" * 1025, "y"), errors.LimitExceeded, "action"),
        (lambda b: b.log("x", "y", tags=["t"] * 65), errors.LimitExceeded, "tags"),
        (lambda b: b.log("x", "y", tags="text"), errors.BadRequest, "tags"),
        (lambda b: b.log_many([("a", "b")] * 4097), errors.LimitExceeded, "entries"),
        (lambda b: b.log_many([("a", "b", b"x" * (9 << 20))] * 2), errors.FrameTooLarge, "frame"),
        (lambda b: b.log(1, "y"), errors.BadRequest, "action"),
        (lambda b: b.log("", "y"), errors.BadRequest, "action"),
        (lambda b: b.log_many([("x", "y"), ("x", "")]), errors.BadRequest, "entity"),
        (lambda b: b.log("x", "y", kind=""), errors.BadRequest, "kind"),
        (lambda b: b.follow(since=-1), errors.BadRequest, "since"),
        (lambda b: b.follow(since=1 << 63), errors.BadRequest, "since"),
        (lambda b: b.updates(since=-1), errors.BadRequest, "since"),
        (lambda b: b.updates(since=1 << 63), errors.BadRequest, "since"),
        (lambda b: b.tail(-1), errors.BadRequest, "count"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_the_next_entry_works(
    book: Book, call: object, error: type[Exception], field: str
) -> None:
    """Each refusal names its field, and nothing was written."""
    with pytest.raises(error) as caught:
        call(book)  # type: ignore[operator]

    assert caught.value.field == field  # type: ignore[attr-defined]
    assert book.log("next", "works").seq == 1


@pytest.mark.parametrize("name", ["../../x", "", "UPPER", "a" * 65, "a b", "a\0"])
def test_name_that_does_not_fit_is_refused(home: Home, name: str) -> None:
    """Names are [a-z0-9._-]{1,64}."""
    with pytest.raises(errors.BadRequest, match="name"):
        hourbook.connect(name, home)


@pytest.mark.parametrize(
    "frame",
    [os.urandom(300), b"\x91" * 1000, b"\xc6" + b"\xff" * (10 << 20), b""],
    ids=["random", "depth", "10 MiB", "empty"],
)
def test_foreign_frame_is_answered_and_the_writer_lives(book: Book, frame: bytes) -> None:
    """Random bytes, depth 1000 and 10 MiB get an error reply and harm nobody."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.set(zmq.LINGER, 0)
    dealer.set(zmq.RCVTIMEO, 10_000)
    dealer.connect(book.home.mailbox_uri("journal_writer"))
    dealer.send(frame)

    reply = msgpack.unpackb(dealer.recv())
    context.destroy()

    assert reply["kind"] == "error"
    assert book.log("still", "here").seq == 1


def test_corrupt_book_is_read_and_not_written_to(home: Home) -> None:
    """A book that does not verify: appends hear BookCorrupt with the seq, reading goes on."""
    write_book(home, [1, 1, 1])
    connection = raw_connection(home.book_db)
    connection.execute("UPDATE entry SET action = 'forged' WHERE seq = 2")
    connection.close()

    with running_writer(home), connect("agent", home, shared=True) as book:
        with pytest.raises(errors.BookCorrupt, match="bad seq 2"):
            book.log("x", "y")
        assert [entry.seq for entry in book.tail(9)] == [1, 2, 3]


def test_verification_by_the_calendar_ends_writing_to_a_damaged_book(
    writer: ActorProcess, book: Book
) -> None:
    """The compactor finds what was changed behind the writer's back, and the writer stops."""
    book.log_many([("a", str(i)) for i in range(10)])
    connection = raw_connection(writer.home.book_db)
    connection.execute("UPDATE entry SET entity = 'forged' WHERE seq = 4")
    connection.close()

    with running_compactor(writer.home):
        client = MailboxClient(writer.home, "compactor", "test")
        client.request("compactor.run", book_messages.Run("verify"))

        def refused() -> str:
            try:
                book.log("x", "y")
            except errors.BookCorrupt as error:
                return str(error)
            return ""

        message = wait_until(refused, 10, "the writer to refuse")
        client.close()

    assert "bad seq 4" in message


def test_backups_are_made_on_request_and_old_ones_dropped(writer: ActorProcess, book: Book) -> None:
    """`compactor.run backup` copies a whole book; only the newest copies stay."""
    book.log("x", "y")
    directory = writer.home.backup_dir
    directory.mkdir()
    for year in ("2001", "2002", "2003"):
        (directory / f"book-{year}0101T000000Z.db").write_bytes(b"")

    with running_compactor(writer.home, backups_kept=2):
        client = MailboxClient(writer.home, "compactor", "test")
        client.request("compactor.run", book_messages.Run("backup"))
        wait_until(lambda: len(list(directory.glob("book-*.db"))) == 2, 10, "old copies to go")
        client.close()

    newest = max(directory.glob("book-*.db"))
    copy = Home(directory, directory)
    newest.rename(copy.book_db)
    with BookReader(copy) as reader:
        assert reader.verify(all_signatures=True).entries == 1


def test_schedule_runs_by_itself(writer: ActorProcess, book: Book) -> None:
    """A job that is due every second is done without being asked for."""
    book.log("x", "y")

    with running_compactor(writer.home, backup="every 1 s"):
        wait_until(lambda: list(writer.home.backup_dir.glob("book-*.db")), 10, "a backup")


def test_maintenance_truncates_the_log(writer: ActorProcess, book: Book) -> None:
    """`book.maintain checkpoint` moves the log into the database."""
    book.log_many([("a", str(i)) for i in range(100)])
    client = MailboxClient(writer.home, "journal_writer", "test")

    client.request("book.maintain", book_messages.Maintain("checkpoint"))
    client.close()

    assert (writer.home.path / "book.db-wal").stat().st_size == 0


def test_closed_book_refuses_and_closing_twice_is_fine(book: Book) -> None:
    """After close every call raises BookClosed."""
    book.close()
    book.close()

    with pytest.raises(errors.BookClosed):
        book.log("x", "y")
    with pytest.raises(errors.BookClosed):
        book.tail()
