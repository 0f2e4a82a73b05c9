"""The rules of a mailbox, without a socket."""

from typing import Any

import msgpack
import msgspec
import pytest

from actors import dead_letters, guard
from actors.contract import Degraded, Handler, Ignore, Ready, Request
from actors.mailbox import Mailbox
from hourbook.home import Home
from protocols import errors, wire

NOW_NS = 1_000_000


class Text(msgspec.Struct):
    """A body."""

    text: str


def nothing(_request: Request[Any], _body: Any) -> None:
    """Answer nobody."""


def make(function: Any = lambda request: {"text": request.body.text}) -> Mailbox:
    """Return a mailbox that hears one kind."""
    return Mailbox("echo", 2, {"echo": Handler(Text, function)}, frame_bytes_max=1000)


def frame(**fields: object) -> bytes:
    """Return an envelope for ``echo``."""
    return msgpack.packb({"kind": "echo", "id": 9, "body": {"text": "x"}} | fields)  # type: ignore[no-any-return]  # msgpack publishes no types


def test_opened_request_is_typed_and_counted() -> None:
    """A good frame becomes a request with a typed body."""
    mailbox = make()

    request = mailbox.open(b"peer", frame(), 0, NOW_NS, nothing)

    assert (request.body, request.peer, mailbox.handlers["echo"].function(request)) == (
        Text("x"), b"peer", {"text": "x"},
    )  # fmt: skip
    assert mailbox.snapshot() == {"mailbox_accepted_total": 1.0}


def test_deadline_in_the_future_is_served() -> None:
    """Only a message whose sender has given up is refused."""
    mailbox = make()

    mailbox.open(b"peer", frame(deadline_mono_ns=NOW_NS + 1), 0, NOW_NS, nothing)

    with pytest.raises(errors.DeadlineExceeded, match="ms late"):
        mailbox.open(b"peer", frame(deadline_mono_ns=NOW_NS - 1), 0, NOW_NS, nothing)


def test_frames_of_a_message_have_the_room_of_one() -> None:
    """What does not fit any more is refused, what is too large by itself takes no room."""
    mailbox = make()
    small, large = frame(body={"text": "x" * 400}), frame(body={"text": "x" * 2000})

    mailbox.open(b"peer", small, 0, NOW_NS, nothing)
    with pytest.raises(errors.FrameTooLarge, match="a message of at most 1000"):
        mailbox.open(b"peer", large, 1, NOW_NS, nothing)
    mailbox.open(b"peer", small, 2, NOW_NS, nothing)
    with pytest.raises(errors.FrameTooLarge, match="1000 bytes together at most"):
        mailbox.open(b"peer", small, 3, NOW_NS, nothing)
    mailbox.open(b"peer", frame(), 4, NOW_NS, nothing)

    mailbox.open(b"peer", small, 0, NOW_NS, nothing)


def test_refusal_names_the_request_where_its_id_can_be_read() -> None:
    """Even a message that is refused for its size is answered by its id."""
    mailbox = make()
    large = frame(body={"text": "x" * 2000})

    with pytest.raises(errors.FrameTooLarge) as caught:
        mailbox.open(b"peer", large, 0, NOW_NS, nothing)
    reply = msgpack.unpackb(mailbox.refusal(wire.salvage_id(large), caught.value))

    assert (reply["corr"], reply["body"]["code"], reply["incarnation"]) == (9, "frame_too_large", 2)
    assert mailbox.snapshot()['mailbox_refused_total{code="frame_too_large"}'] == 1.0


def test_handler_that_recovers_on_the_third_attempt_is_no_poison(home: Home) -> None:
    """Two failures are retried in process; the third attempt may still succeed."""
    attempts: list[int] = []

    def flaky(request: Request[Text]) -> dict[str, str]:
        attempts.append(1)
        if len(attempts) < guard.ATTEMPTS:
            raise OSError("not yet")
        return {"text": request.body.text}

    mailbox = make(flaky)
    request = mailbox.open(b"peer", frame(), 0, NOW_NS, nothing)

    body = guard.serve(mailbox, request, frame(), home, lambda: 0)

    assert body == {"text": "x"}
    assert not home.dead_letter_dir.exists()


def test_hourbook_error_of_a_handler_is_its_reply(home: Home) -> None:
    """A refusal is an answer, not a failure: no second attempt, no dead letter."""
    attempts: list[int] = []

    def refuse(_request: Request[Text]) -> None:
        attempts.append(1)
        raise errors.NameTaken("Expected a free name, got one that is taken")

    mailbox = make(refuse)
    request = mailbox.open(b"peer", frame(), 0, NOW_NS, nothing)

    assert isinstance(guard.serve(mailbox, request, frame(), home, lambda: 0), errors.NameTaken)
    assert len(attempts) == 1


def test_dead_letters_are_bounded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of poison keeps the newest letters and does not fill the disk."""
    monkeypatch.setattr(dead_letters, "FILE_BYTES_MAX", 10_000)

    for number in range(100):
        dead_letters.bury(
            home.dead_letter_dir, "echo", frame=b"x" * 900, error=str(number), time_wall_ns=number
        )

    files = sorted(home.dead_letter_dir.iterdir())
    newest = list(dead_letters.exhume(home.dead_letter_dir / "echo.msgpack"))
    assert len(files) == 2
    assert all(f.stat().st_size <= 10_000 for f in files)
    assert newest[-1]["time_wall_ns"] == 99


def test_torn_last_letter_ends_the_stream(home: Home) -> None:
    """A crash while burying costs that one letter, not those before it."""
    path = dead_letters.bury(home.dead_letter_dir, "a", frame=b"x", error="e", time_wall_ns=1)
    path.write_bytes(path.read_bytes() * 2 + path.read_bytes()[:-3])

    assert len(list(dead_letters.exhume(path))) == 2


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Ready({"http": "x"}), "ready"), (Degraded("port"), "degraded"), (Ignore("off"), "ignore")],
)
def test_outcome_of_init_is_reported(outcome: Any, status: str) -> None:
    """Each outcome has its own word."""
    assert guard.answer_init("a", 1, lambda: outcome).status == status


def test_failing_init_names_its_cause() -> None:
    """An unexpected exception comes with the tail of its traceback; an expected one is a line."""

    def crash() -> Any:
        raise ZeroDivisionError("by nothing")

    def refuse() -> Any:
        raise errors.ConfigError("Expected x, got y")

    crashed, refused = guard.answer_init("a", 1, crash), guard.answer_init("a", 1, refuse)

    assert (crashed.status, crashed.reason) == ("error", "ZeroDivisionError: by nothing")
    assert "in crash" in crashed.traceback
    assert (refused.reason, refused.traceback) == ("Expected x, got y", "")
