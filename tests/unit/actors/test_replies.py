"""Which replies leave together, without a socket."""

import pytest

from actors import replies as module
from actors.replies import Hold, Replies
from protocols import wire


class Sent(list[tuple[bytes, list[bytes]]]):
    """What was sent, in order."""

    def send(self, peer: bytes, frames: list[bytes]) -> None:
        self.append((peer, frames))


@pytest.fixture
def sent() -> Sent:
    """Return where messages go."""
    return Sent()


def test_reply_outside_of_a_drain_leaves_at_once(sent: Sent) -> None:
    """Nobody waits for company who would wait for nothing."""
    Replies(sent.send).add(b"a", b"1")

    assert sent == [(b"a", [b"1"])]


def test_held_replies_leave_in_one_message_for_each_peer(sent: Sent) -> None:
    """In their order, to those that have sent several frames themselves; to others one by one."""
    replies = Replies(sent.send)

    replies.hold = Hold.ALL
    for peer, frame in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", b"4")):
        replies.add(peer, frame)
    replies.hear_joined(b"a")
    assert not sent
    replies.hold = Hold.NOBODY
    replies.release()
    replies.add(b"a", b"5")

    assert sent == [(b"a", [b"1", b"3"]), (b"b", [b"2"]), (b"b", [b"4"]), (b"a", [b"5"])]


def test_who_gains_nothing_by_waiting_is_answered_at_once(sent: Sent) -> None:
    """Once all is heard: then it is known who that is."""
    replies = Replies(sent.send)
    replies.hear_joined(b"a")

    replies.hold = Hold.JOINING
    for peer, frame in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", b"4")):
        replies.add(peer, frame)
    meanwhile = list(sent)
    replies.release()

    assert meanwhile == [(b"b", [b"2"]), (b"b", [b"4"])]
    assert sent[2:] == [(b"a", [b"1", b"3"])]


def test_reply_leaves_after_those_that_its_peer_waits_for(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the peer was forgotten meanwhile."""
    monkeypatch.setattr(module, "_JOINING_MAX", 1)
    replies = Replies(sent.send)
    replies.hear_joined(b"a")

    replies.hold = Hold.JOINING
    replies.add(b"a", b"1")
    replies.hear_joined(b"b")
    replies.add(b"a", b"2")
    replies.release()

    assert sent == [(b"a", [b"1"]), (b"a", [b"2"])]


def test_release_tells_who_was_answered_in_the_drain(sent: Sent) -> None:
    """Whether it held their replies or not; not who was answered between two drains."""
    replies = Replies(sent.send)
    replies.hear_joined(b"a")
    replies.add(b"c", b"0")
    replies.hold = Hold.JOINING
    replies.add(b"a", b"1")
    replies.add(b"b", b"2")

    assert replies.release() == {b"a", b"b"}
    assert replies.release() == set()


def test_message_holds_so_many_frames_and_bytes(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer rows are cut; a large frame travels alone."""
    monkeypatch.setattr(module, "_BYTES_MAX", 1000)
    replies = Replies(sent.send)
    replies.hear_joined(b"a")

    replies.hold = Hold.ALL
    for size in (*[1] * (wire.MESSAGE_FRAMES_MAX + 1), 998, 5000, 1):
        replies.add(b"a", b"x" * size)
    replies.hold = Hold.NOBODY
    replies.release()

    assert [[len(frame) for frame in frames] for _, frames in sent] == [
        [1] * wire.MESSAGE_FRAMES_MAX, [1, 998], [5000], [1],
    ]  # fmt: skip


def test_peers_that_are_remembered_are_bounded(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is forgotten gets its replies one by one until it sends several frames again."""
    monkeypatch.setattr(module, "_JOINING_MAX", 2)
    replies = Replies(sent.send)
    for peer in (b"a", b"b", b"c"):
        replies.hear_joined(peer)

    replies.hold = Hold.ALL
    for peer in (b"a", b"c"):
        replies.add(peer, b"1")
        replies.add(peer, b"2")
    replies.hold = Hold.NOBODY
    replies.release()

    assert sent == [(b"a", [b"1"]), (b"a", [b"2"]), (b"c", [b"1", b"2"])]
