"""An actor as another language sees it: plain msgpack over a plain DEALER, real processes."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import multiprocess
import pytest
import zmq
from actors_for_tests import AsyncEcho, Echo

from actors import dead_letters
from actors.base import ActorContext
from hourbook.home import Home
from protocols import wire

pytestmark = pytest.mark.live

EchoType = type[Echo] | type[AsyncEcho]

ACTORS = pytest.mark.parametrize("actor", [Echo, AsyncEcho], ids=["sync", "async"])


class Peer:
    """The supervisor's end and a client's end of one actor, in plain msgpack."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.context = zmq.Context()
        self.control = self.context.socket(zmq.ROUTER)
        self.control.bind(home.mailbox_uri("supervisor"))
        self.client = self.context.socket(zmq.DEALER)
        self.client.connect(home.mailbox_uri("echo"))
        for socket in (self.control, self.client):
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RCVTIMEO, 10_000)

    def spawn(self, actor: EchoType, **config: str) -> Any:
        context = ActorContext("echo", 3, str(self.home.path), str(self.home.run_dir), config)
        process = multiprocess.get_context("spawn").Process(target=actor.main, args=(context,))
        process.start()
        return process

    def hear(self, kind: str) -> dict[str, Any]:
        """Return the next message of a kind from the actor to its supervisor."""
        while True:
            identity, frame = self.control.recv_multipart()
            message: dict[str, Any] = msgpack.unpackb(frame)
            assert identity == b"echo"
            if message["kind"] == kind:
                return message

    def order(self, kind: str, **body: object) -> None:
        message = {"kind": kind, "id": 1, "body": body}
        self.control.send_multipart([b"echo", msgpack.packb(message)])

    def ask(self, message: dict[str, Any] | bytes) -> dict[str, Any]:
        self.client.send(message if isinstance(message, bytes) else msgpack.packb(message))
        reply: dict[str, Any] = msgpack.unpackb(self.client.recv())
        return reply


@pytest.fixture
def peer(home: Home) -> Iterator[Peer]:
    """Return both ends; every process that it spawned is gone afterwards."""
    made = Peer(home)
    yield made
    for child in multiprocess.active_children():
        child.kill()
        child.join()
    made.context.destroy(linger=0)


@ACTORS
def test_actor_says_hello_ready_and_beats(peer: Peer, actor: EchoType) -> None:
    """An incarnation introduces itself, answers for its init, and beats with its counters."""
    process = peer.spawn(actor)

    hello, init = peer.hear("hello"), peer.hear("init")
    peer.ask({"kind": "echo", "id": 1, "body": {"text": "hi"}})
    beats = [peer.hear("beat") for _ in range(2)]

    assert hello["body"] == {"name": "echo", "incarnation": 3, "pid": process.pid}
    assert (init["body"]["status"], init["incarnation"]) == ("ready", 3)
    assert beats[-1]["body"]["snapshot"]["echoes_total"] == 1.0


@ACTORS
def test_messages_of_plain_msgpack_are_served(peer: Peer, actor: EchoType) -> None:
    """A message needs a kind and an id; the reply names the id."""
    peer.spawn(actor, prefix="> ")

    reply = peer.ask({"kind": "echo", "id": 77, "body": {"text": "hi"}})

    assert (reply["kind"], reply["corr"], reply["body"]) == ("ok", 77, {"text": "> hi"})


@ACTORS
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (os.urandom(64), None),
        (b"", "bad_request"),
        (b"x" * (10 << 20), "frame_too_large"),
        (b"\x91" * 1000 + b"\xc0", "frame_too_deep"),
        (msgpack.packb({"kind": "nope", "id": 5}), "unknown_kind"),
        (msgpack.packb({"kind": "echo", "id": 5}), "bad_request"),
        (msgpack.packb({"kind": "echo", "id": 5, "v": 9}), "unsupported_version"),
        (msgpack.packb({"kind": "refuse", "id": 5, "body": {"text": ""}}), "bad_request"),
        (
            msgpack.packb(
                {"kind": "echo", "id": 5, "deadline_mono_ns": 1, "body": {"text": "late"}}
            ),
            "deadline_exceeded",
        ),
    ],
    ids=["random", "empty", "10 MiB", "depth 1000", "kind", "body", "version", "refused", "late"],
)
def test_bad_frame_is_refused_and_the_actor_goes_on(
    peer: Peer, actor: EchoType, frame: bytes, code: str | None
) -> None:
    """Every bad frame gets an error reply with a message, and the next good one is served."""
    process = peer.spawn(actor)

    refusal = peer.ask(frame)
    reply = peer.ask({"kind": "echo", "id": 6, "body": {"text": "still here"}})

    assert refusal["kind"] == "error"
    assert code is None or refusal["body"]["code"] == code
    assert refusal["body"]["message"]
    assert (reply["corr"], process.is_alive()) == (6, True)


def test_frame_above_the_wire_limit_vanishes_without_harm(peer: Peer) -> None:
    """What is above 17 MiB costs its sender the connection, and nobody else anything."""
    peer.spawn(Echo)
    peer.ask({"kind": "echo", "id": 1, "body": {"text": "up"}})
    other = peer.context.socket(zmq.DEALER)
    other.set(zmq.LINGER, 0)
    other.connect(peer.home.mailbox_uri("echo"))

    other.send(b"x" * (wire.FRAME_BYTES_MAX_WIRE + 1))

    assert peer.ask({"kind": "echo", "id": 2, "body": {"text": "x"}})["corr"] == 2
    other.close()


@ACTORS
def test_frames_of_one_message_are_served_each_by_itself(peer: Peer, actor: EchoType) -> None:
    """What is bad among them is refused alone, such as the delimiter of a REQ; all are in order.

    Who sends frames together gets the answers together, and who does not never does.
    """
    peer.spawn(actor)
    other = peer.context.socket(zmq.DEALER)
    other.set(zmq.LINGER, 0)
    other.set(zmq.RCVTIMEO, 10_000)
    other.connect(peer.home.mailbox_uri("echo"))
    echoes = [msgpack.packb({"kind": "echo", "id": i, "body": {"text": "x"}}) for i in range(5)]

    peer.client.send_multipart([b"", *echoes[1:3], os.urandom(64), *echoes[3:5]])
    joined = [msgpack.unpackb(frame) for frame in peer.client.recv_multipart()]
    for frame in echoes:
        other.send(frame)
    lone = [other.recv_multipart() for _ in echoes]

    assert [(reply["kind"], reply["corr"]) for reply in joined if reply["corr"]] == [
        ("ok", 1), ("ok", 2), ("ok", 3), ("ok", 4),
    ]  # fmt: skip
    assert [reply["kind"] for reply in joined] == ["error", "ok", "ok", "error", "ok", "ok"]
    assert "no delimiter" in joined[0]["body"]["message"]
    assert [len(frames) for frames in lone] == [1] * 5
    other.close()


@ACTORS
def test_frames_beyond_the_limit_of_a_message_are_refused(peer: Peer, actor: EchoType) -> None:
    """Each that is one too many is answered; those before it are served, and so is what follows."""
    peer.spawn(actor)
    count = wire.MESSAGE_FRAMES_MAX + 3
    frames = [
        msgpack.packb({"kind": "echo", "id": i, "body": {"text": "x"}}) for i in range(1, count + 1)
    ]

    peer.client.send_multipart(frames)
    replies = [msgpack.unpackb(peer.client.recv()) for _ in frames]
    last = peer.ask({"kind": "echo", "id": 1, "body": {"text": "still here"}})

    assert [reply["corr"] for reply in replies] == list(range(1, count + 1))
    assert [reply["kind"] for reply in replies] == ["ok"] * (count - 3) + ["error"] * 3
    assert {reply["body"].get("code") for reply in replies} == {None, "limit_exceeded"}
    assert last["kind"] == "ok"


@ACTORS
def test_poison_is_buried_after_three_failures(peer: Peer, home: Home, actor: EchoType) -> None:
    """A message whose handler always raises ends as a dead letter; the actor lives."""
    process = peer.spawn(actor)
    poison = msgpack.packb({"kind": "boom", "id": 8, "body": {"text": "why"}})

    refusal = peer.ask(poison)
    letters = list(dead_letters.exhume(home.dead_letter_dir / "echo.msgpack"))

    assert refusal["body"]["code"] == "internal_error"
    assert [letter["frame"] for letter in letters] == [poison]
    assert "ZeroDivisionError: why" in letters[0]["error"]
    assert process.is_alive()


@ACTORS
def test_reload_applies_in_place(peer: Peer, actor: EchoType) -> None:
    """A changed configuration is acknowledged and in force for the next message."""
    peer.spawn(actor)
    peer.hear("beat")

    peer.order("reload", config={"prefix": "new "})
    peer.hear("ok")

    reply = peer.ask({"kind": "echo", "id": 1, "body": {"text": "x"}})
    assert reply["body"] == {"text": "new x"}


@ACTORS
@pytest.mark.parametrize("how", ["message", "SIGTERM"])
def test_stop_is_orderly_and_leaves_no_socket(
    peer: Peer, home: Home, actor: EchoType, how: str
) -> None:
    """Both ways to stop release what the actor owns, exit 0 and remove the mailbox."""
    process = peer.spawn(actor)
    peer.hear("beat")

    stop: Callable[[], None] = (
        (lambda: peer.order("stop", reason="test"))
        if how == "message"
        else (lambda: os.kill(process.pid, signal.SIGTERM))
    )
    stop()
    process.join(10)

    assert process.exitcode == 0
    assert (home.path / "echo-stopped").exists()
    assert not Path(home.mailbox("echo")).exists()


def test_mailbox_is_private(peer: Peer, home: Home) -> None:
    """Nobody but the owner can open a mailbox."""
    peer.spawn(Echo)
    peer.hear("beat")

    assert Path(home.mailbox("echo")).stat().st_mode & 0o777 == 0o600
