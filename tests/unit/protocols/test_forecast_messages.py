"""Frames between clock_model and a forecaster's worker."""

import random

import msgpack
import msgspec
import pytest

from protocols import errors
from protocols.forecast_messages import Answer, Birth, FrameBuffer, Question, frame_of

ANSWER = Answer(number=3, centre_ns=(1.5, -2.0), quantiles_ns={0.1: (1.0, -3.0)})


def test_frames_are_cut_however_they_arrive(rng: random.Random) -> None:
    """Byte by byte or all at once: the same bodies."""
    messages = [Answer(number=n, centre_ns=(float(n),) * n) for n in range(30)]
    stream = b"".join(frame_of(one, 1000) for one in messages)
    buffer = FrameBuffer(1000)

    found, position = [], 0
    while position < len(stream):
        size = rng.randrange(1, 100)
        found += buffer.feed(stream[position : position + size])
        position += size

    assert [msgspec.msgpack.decode(body, type=Answer) for body in found] == messages


def test_messages_are_plain_maps() -> None:
    """Any language can be a worker."""
    body = FrameBuffer(1000).feed(frame_of(ANSWER, 1000))[0]
    question = Question(number=1, samples=((0, 0.5, 1.0),), horizons_ns=(5,))

    assert msgpack.unpackb(body, strict_map_key=False) == {
        "number": 3, "centre_ns": [1.5, -2.0], "quantiles_ns": {0.1: [1.0, -3.0]}
    }  # fmt: skip
    assert msgpack.unpackb(frame_of(question, 1000)[4:])["samples"] == [[0, 0.5, 1.0]]


def test_too_much_is_refused_on_either_side() -> None:
    """Before it is sent, and as soon as it is announced."""
    with pytest.raises(errors.FrameTooLarge, match="at most 10 bytes"):
        frame_of(Birth("x", {"path": "y" * 100}), 10)
    with pytest.raises(errors.FrameTooLarge, match="at most 10 bytes, got 11"):
        FrameBuffer(10).feed(b"\x00\x00\x00\x0b")
