"""Which requests a client sends in one message, and when they leave at the latest."""

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import takewhile

import msgspec
import pytest
import zmq

from hourbook.home import Home
from hourbook.link.client import MailboxClient
from hourbook.link.outbox import FRAMES_JOINED_MAX
from hourbook.link.reply import Reply
from hourbook.link.room import LARGE_BYTES
from protocols import errors, wire

NEVER_NS = 3600 * 10**9


class Mailbox:
    """An actor that answers when it is told to."""

    def __init__(self, home: Home, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVTIMEO, 5000)
        self.socket.bind(home.mailbox_uri("journal_writer"))
        self.peer = b""

    def hear(self) -> list[wire.Envelope]:
        """Return the requests of the next message."""
        self.peer, *frames = self.socket.recv_multipart()
        return [wire.decode_envelope(frame) for frame in frames]

    def hear_ids(self, count: int) -> list[int]:
        """Return the ids of the next requests, until there are as many."""
        ids: list[int] = []
        while len(ids) < count:
            ids += [envelope.id for envelope in self.hear()]
        return ids

    def answer(self, *ids: int) -> None:
        """Answer requests in one message."""
        frames = [wire.encode_reply(number, {"n": number}, src="test") for number in ids]
        self.socket.send_multipart([self.peer, *frames])

    def is_silent(self) -> bool:
        """Return whether nothing has come in 20 ms, long after anything waits for company."""
        return not self.socket.poll(20)


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """Yield what sockets are made in."""
    with zmq.Context() as made:
        yield made


@pytest.fixture
def mailbox(home: Home, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[Mailbox]:
    """Yield the mailbox of a journal_writer."""
    made = Mailbox(home, context)
    yield made
    made.socket.close()


@pytest.fixture
def client(
    home: Home, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MailboxClient]:
    """Yield a client of it, connected, that sends nothing again of itself."""
    monkeypatch.setattr("hourbook.link.outbox._RESEND_NS", NEVER_NS)
    made = MailboxClient(home, "journal_writer", "test", timeout_s=10)
    while mailbox.is_silent():
        made.post("hello", {})  # dropped until there is a connection
    mailbox.hear()
    yield made
    made.close()


def start(client: MailboxClient, mailbox: Mailbox) -> Reply:
    """Have a first request in flight, which leaves at once."""
    first = client.send("first", {}, attended=False)
    assert [envelope.kind for envelope in mailbox.hear()] == ["first"]
    return first


def delay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing leave because its time is over."""
    monkeypatch.setattr("hourbook.link.outbox.DELAY_NS", NEVER_NS)


def test_request_that_nobody_waits_for_leaves_by_itself(
    client: MailboxClient, mailbox: Mailbox
) -> None:
    """Who only computes or sleeps after it need do nothing more."""
    start(client, mailbox)

    replies = [client.send("later", {}, attended=False) for _ in range(3)]

    assert mailbox.hear_ids(3) == [reply.request.id for reply in replies]
    assert {reply.attempt for reply in replies} == {1}


def end_wait(_client: MailboxClient, gathered: list[Reply]) -> None:
    """Wait for one of them, in vain."""
    with pytest.raises(errors.WaitTimeout):
        gathered[2].wait(0.001)


def send_attended(client: MailboxClient, _gathered: list[Reply]) -> None:
    """Send what cannot wait."""
    client.send("attended", {})


def close(client: MailboxClient, _gathered: list[Reply]) -> None:
    """End the client."""
    client.close()


@pytest.mark.parametrize("hasten", [end_wait, send_attended, close])
def test_gathered_requests_leave_together_when_one_cannot_wait(
    client: MailboxClient,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    hasten: Callable[[MailboxClient, list[Reply]], None],
) -> None:
    """Somebody is about to wait, or sends what he waits for, or the client ends."""
    delay_for_ever(monkeypatch)
    start(client, mailbox)
    gathered = [client.send("gathered", {}, attended=False) for _ in range(5)]

    was_silent = mailbox.is_silent()
    hasten(client, gathered)
    kinds = [envelope.kind for envelope in mailbox.hear()]

    assert was_silent
    assert kinds == ["gathered"] * 5 + ["attended"] * (hasten is send_attended)


def test_gathered_requests_leave_when_they_are_enough(
    client: MailboxClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many, or so large; a large one travels alone."""
    delay_for_ever(monkeypatch)
    start(client, mailbox)

    for _ in range(FRAMES_JOINED_MAX):
        client.send("many", {}, attended=False)
    many = mailbox.hear()
    for size in (10, LARGE_BYTES, 10, LARGE_BYTES // 2, LARGE_BYTES // 2):
        client.send("size", {"data": bytes(size)}, attended=False)
    sizes = [len(mailbox.hear()) for _ in range(4)]

    assert len(many) == FRAMES_JOINED_MAX
    assert sizes == [1, 1, 2, 1]


def test_joined_replies_settle_each_its_own_and_nonsense_among_them_none(
    client: MailboxClient, mailbox: Mailbox
) -> None:
    """A frame that is no answer harms neither those beside it nor who receives."""
    replies = [start(client, mailbox), *(client.send("x", {}, attended=False) for _ in range(3))]
    mailbox.hear_ids(3)
    ids = [reply.request.id for reply in replies]

    good = [wire.encode_reply(number, {"n": number}, src="test") for number in ids]
    other = wire.encode(wire.Envelope(kind="error", id=1, corr=ids[0]))
    mailbox.socket.send_multipart(
        [mailbox.peer, b"", good[0], b"\xc1", good[1], other, *good[2:], os.urandom(9)]
    )

    bodies = [msgspec.msgpack.decode(reply.wait(5).body) for reply in replies]
    assert bodies == [{"n": number} for number in ids]


def test_pipelined_requests_travel_together_from_the_second_round_on(
    client: MailboxClient, mailbox: Mailbox
) -> None:
    """The first round teaches that they come in company: then even the first of them waits."""
    rounds = []
    for _ in range(3):
        replies = [client.send("x", {}, attended=False) for _ in range(8)]
        with pytest.raises(errors.WaitTimeout):
            replies[-1].wait(0)
        rounds.append(list(takewhile(bool, iter(lambda: hear_some(mailbox), 0))))
        mailbox.answer(*(reply.request.id for reply in replies))
        for reply in replies:
            reply.wait(5)

    assert sum(rounds[0]) == 8
    assert rounds[0][0] == 1
    assert rounds[1:] == [[8], [8]]


def hear_some(mailbox: Mailbox) -> int:
    """Return how many requests the next message has; 0: there is none."""
    return 0 if mailbox.is_silent() else len(mailbox.hear())


def test_successor_gets_all_in_the_order_in_which_they_were_asked(
    client: MailboxClient,
    mailbox: Mailbox,
    home: Home,
    context: "zmq.Context[zmq.Socket[bytes]]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was lost with the actor, and after it what had not left yet."""
    delay_for_ever(monkeypatch)
    sent = [start(client, mailbox), client.send("sent", {})]
    mailbox.hear()
    gathered = [client.send("gathered", {}, attended=False) for _ in range(3)]
    mailbox.socket.close()
    gathered += [client.send("gathered", {}, attended=False) for _ in range(3)]

    successor = Mailbox(home, context)
    ids = successor.hear_ids(8)
    successor.socket.close()

    assert ids == [reply.request.id for reply in (*sent, *gathered)]
    assert [reply.attempt for reply in (*sent, *gathered)] == [2] * 2 + [1] * 6


def test_request_that_never_left_is_not_sent_after_it_was_given_up(
    home: Home, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    """ActorUnreachable is certain: nothing was sent, and nothing will be."""
    client = MailboxClient(home, "journal_writer", "test", timeout_s=0.05)
    lost = [client.send("lost", {}, attended=False) for _ in range(3)]

    for reply in lost:
        with pytest.raises(errors.ActorUnreachable, match="nothing was sent"):
            reply.wait()
    mailbox = Mailbox(home, context)
    client.send("after", {}, attended=False)

    assert [envelope.kind for envelope in mailbox.hear()] == ["after"]
    client.close()
    mailbox.socket.close()


def test_nobody_is_woken_for_a_request_that_was_given_up(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of what waited for company is over, and nothing is there that could leave."""
    monkeypatch.setattr("hourbook.link.outbox.DELAY_NS", 1)
    client = MailboxClient(home, "journal_writer", "test")
    outbox = client._traffic.outbox
    watched = select.poll()
    watched.register(outbox.watched(), select.POLLIN)
    reply = Reply(client, wire.Envelope(kind="lost", id=1), b"frame", NEVER_NS)
    has_waited = outbox.put(reply, company=2)

    outbox.withdraw(reply)

    assert has_waited
    assert not watched.poll(5)
    client.close()


def test_threads_share_messages_and_get_their_own_answers(
    client: MailboxClient, mailbox: Mailbox
) -> None:
    """Some wait, some only look at what they sent later; every request comes once, in order."""
    wrong: list[int] = []

    def work(number: int) -> None:
        flying = deque[Reply]()
        for round_ in range(50):
            flying.append(client.send(f"{number}", {}, attended=not (round_ + number) % 5))
            while len(flying) > number:
                reply = flying.popleft()
                answered = msgspec.msgpack.decode(reply.wait(10).body)["n"]
                wrong.extend([answered] * (answered != reply.request.id))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    seen: list[wire.Envelope] = []
    while len(seen) < 300:
        heard = mailbox.hear()
        seen += heard
        mailbox.answer(*(envelope.id for envelope in heard))
    for thread in threads:
        thread.join(10)
    client.flush()

    assert not wrong
    assert len({envelope.id for envelope in seen}) == 300
    for number in range(6):
        ids = [envelope.id for envelope in seen if envelope.kind == str(number)]
        assert ids == sorted(ids)


def test_forked_child_sends_nothing_of_what_is_gathered(
    client: MailboxClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a future that it inherited; it may close, and the parent's leave once, with it."""
    delay_for_ever(monkeypatch)
    start(client, mailbox)
    gathered = [client.send("gathered", {}, attended=False) for _ in range(3)]

    child = os.fork()
    if not child:
        client._traffic._lock.acquire()  # as another thread may have had it
        signal.alarm(5)
        gathered[0].hasten()
        client.close()
        os._exit(client.is_usable())
    _, status = os.waitpid(child, 0)
    was_silent = mailbox.is_silent()
    end_wait(client, gathered)

    assert status == 0
    assert was_silent
    assert mailbox.hear_ids(3) == [reply.request.id for reply in gathered]
    assert mailbox.is_silent()
