"""What an interrupt (Ctrl-C, a signal's handler) leaves of a connection, wherever it comes."""

import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest
import zmq

from hourbook.home import Home
from hourbook.link.client import MailboxClient
from protocols import errors, wire

TIMEOUT_S = 2.0


class Interrupt(BaseException):
    """Raised where a handler of signals would raise."""


@pytest.fixture
def client(home: Home) -> Iterator[MailboxClient]:
    """Yield a client of a mailbox that answers at once."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as mailbox:
        mailbox.bind(home.mailbox_uri("echo"))
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                if mailbox.poll(10):
                    peer, *frames = mailbox.recv_multipart()
                    ids = [wire.decode_envelope(frame).id for frame in frames]
                    answers = [wire.encode_reply(number, {}, src="echo") for number in ids]
                    mailbox.send_multipart([peer, *answers])

        thread = threading.Thread(target=serve)
        thread.start()
        made = MailboxClient(home, "echo", "test", timeout_s=TIMEOUT_S)
        made.request("hello", {})
        yield made
        made.close()
        is_over.set()
        thread.join()


def interrupt_at(moment: int, client: MailboxClient, size: int = 0) -> bool:
    """Make a request that is interrupted; return False where it was done before the moment.

    CPython looks for signals where a function begins, and where a call has returned.
    """
    left = moment

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal left
        if event in ("call", "return", "c_return"):
            left -= 1
            if left == 0:
                raise Interrupt

    try:
        sys.setprofile(count)
        try:
            client.request("interrupted", {"data": bytes(size)})
        finally:
            sys.setprofile(None)
    except Interrupt:
        return True
    return False


@pytest.mark.parametrize("size", [0, 1 << 20], ids=["small", "beyond what the kernel keeps"])
def test_connection_goes_on_wherever_a_request_was_interrupted(
    client: MailboxClient, size: int
) -> None:
    """Whoever catches that and asks again is answered at once, and by nobody else's timeout.

    What the kernel has taken of a message, and nobody noted, would make garbage of the next.
    """
    moment, late = 1, {}
    while interrupt_at(moment, client, size):
        began_s = time.monotonic()
        for _ in range(3):
            client.request("next", {})
        if (took_s := time.monotonic() - began_s) > TIMEOUT_S / 2:
            late[moment] = took_s
        moment += 1

    assert moment > 20
    assert late == {}


def test_other_requests_are_answered_wherever_one_was_interrupted(
    client: MailboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever receives does so for all: what it took and did not hand out is asked for again."""
    monkeypatch.setattr("hourbook.link.outbox._RESEND_NS", 20_000_000)
    moment, lost = 1, []
    other = client.send("other", {})
    while interrupt_at(moment, client):
        try:
            other.wait(TIMEOUT_S / 4)
        except errors.WaitTimeout:
            lost.append(moment)
        moment += 1
        other = client.send("other", {})

    assert moment > 20
    assert lost == []
