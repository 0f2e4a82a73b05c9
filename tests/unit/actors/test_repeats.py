"""Which lines are logged, of those that others can cause at will."""

import logging

import pytest

from actors.contract import Handler
from actors.mailbox import Mailbox
from actors.repeats import PERIOD_NS, Repeats
from actors.replies import Replies
from actors.service import Service
from hourbook.home import Home


def test_one_line_of_a_kind_in_a_period_says_how_many_were_left_out() -> None:
    """Another kind has periods of its own."""
    repeats = Repeats()

    first = [repeats.remark("a", 5), repeats.remark("b", 6)]
    left_out = [repeats.remark("a", at) for at in (5, 6, 4 + PERIOD_NS)]
    later = [repeats.remark("a", 5 + PERIOD_NS), repeats.remark("b", 6 + PERIOD_NS)]
    last = repeats.remark("a", 5 + 2 * PERIOD_NS)

    assert first == ["", ""]
    assert left_out == [None] * 3
    assert later == [" (3 more before this)", ""]
    assert last == ""


def test_garbage_in_a_loop_is_answered_each_time_and_logged_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends it; once a minute the log says how much there was."""
    sent: list[bytes] = []
    replies = Replies(lambda peer, _frames: sent.append(peer))
    mailbox = Mailbox("echo", 1, {"echo": Handler(dict, lambda _: None)})
    service = Service(mailbox, replies, home, lambda: 0)

    def serve(frame: bytes, count: int, now_mono_ns: int) -> None:
        for number in range(count):
            service.serve(b"peer %d" % number, frame, 0, now_mono_ns)

    garbage, large = b"\xc1garbage", b"x" * 2_000_000
    with caplog.at_level(logging.WARNING):
        serve(garbage, 1000, 7)
        serve(large, 10, 7)
        serve(garbage, 1, 7 + PERIOD_NS)

    assert len(sent) == sum(mailbox.refused.values()) == 1011
    ends = [record.getMessage().partition("; first bytes ")[2] for record in caplog.records]
    assert ends == [
        garbage.hex(),
        large[:64].hex(),
        f"{garbage.hex()} (999 more before this)",
    ]
