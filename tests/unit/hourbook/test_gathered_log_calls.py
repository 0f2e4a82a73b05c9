"""What is done to a log, and in which order, when its writes are gathered: without SQLite."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "fakes" / "recorded_vfs.py"
FRAME = [["write", 24, 32], ["write", 4096, 56]]
FULL, FULL_AT = 13, 1_000_000
LONG = 1 << 30
ASKED = ["size"]
"""Of the file below, once something was written to it."""
KIB = 1 << 10


def done(*steps: list[Any], length: int = LONG) -> list[Any]:
    """Return for each step what it answered, and what the file below has seen meanwhile."""
    command = [sys.executable, str(PROGRAM), json.dumps(steps), str(length)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    "step",
    [["sync", 2], ["read", 10, 0], ["truncate", 0], ["size"], ["lock", 1], ["unlock", 0],
     ["check_lock"], ["control", 5], ["close"]],
)  # fmt: skip
def test_whatever_is_done_finds_what_was_written(step: list[Any]) -> None:
    """Above all a sync: what was not handed over before it would not be safe after it."""
    first, second, last = done(*FRAME, step)

    assert first == second == [0, []]
    assert last == [0, [["write", 4120, 32], ASKED, step]]


def test_what_does_not_follow_is_handed_over_by_itself() -> None:
    """A log begins anew at its start."""
    *_, other, last = done(*FRAME, ["write", 32, 0], ["sync", 2])

    assert other == [0, [["write", 4120, 32], ASKED]]
    assert last == [0, [["write", 32, 0], ["sync", 2]]]


def test_no_more_is_gathered_than_sqlite_writes_at_once() -> None:
    """And what is larger is not gathered at all."""
    size = 40_000
    steps = [["write", size, size * n] for n in range(3)]
    *_, third, last = done(*steps, ["write", 200_000, size * 3])

    assert third == [0, [["write", 2 * size, 0], ASKED]]
    assert last == [0, [["write", size, 2 * size], ["write", 200_000, size * 3]]]


@pytest.mark.parametrize("step", [["sync", 2], ["write", 1, 0], ["close"]])
def test_what_finds_no_room_is_said_and_not_tried_again(step: list[Any]) -> None:
    """SQLite undoes the transaction then, and writes over it later."""
    steps = [["write", 24, FULL_AT], step, *([["sync", 2]] if step[0] != "close" else [])]
    first, failed, *later = done(*steps)

    assert first == [0, []]
    assert failed[0] == FULL
    assert failed[1][0] == ["write", 24, FULL_AT]
    assert all(answer == [0, [["sync", 2]]] for answer in later)


def test_questions_about_the_disk_wait_for_nothing() -> None:
    """They are asked all the time."""
    *_, sector, kind = done(*FRAME, ["sector_size"], ["characteristics"])

    assert sector == [0, [["sector_size"]]]
    assert kind == [0, [["characteristics"]]]


def test_log_that_has_become_longer_is_grown_ahead_before_its_sync() -> None:
    """By half a megabyte of zeros, and not again before most of that is written over."""
    zeros = [["write", 64 * KIB, 4128 + 64 * KIB * number] for number in range(8)]
    sync = ["sync", 2]
    steps = [
        ["write", 4096, 32],
        sync,
        ["write", 4096, 4128],
        sync,
        ["write", 4096, 525 * KIB],
        sync,
    ]

    _, first, _, second, _, third = done(*steps, length=4128)

    assert first == [0, [["write", 4096, 32], ASKED, *zeros, sync]]
    assert second == [0, [["write", 4096, 4128], sync]]
    assert third[1][:2] == [["write", 4096, 525 * KIB], ASKED]


def test_log_that_is_cut_is_grown_anew() -> None:
    """How long it was says nothing then."""
    sync = ["sync", 2]

    *_, last = done(["write", 4096, 32], sync, ["truncate", 0], ["write", 4096, 32], sync)

    assert last == [0, [["write", 4096, 32], ASKED, sync]]


def test_zeros_that_find_no_room_are_nobodys_loss() -> None:
    """What was to be written is there."""
    at = FULL_AT - 4096
    *_, last = done(["write", 4096, at], ["sync", 2], length=FULL_AT)

    assert last == [0, [["write", 4096, at], ASKED, ["write", 64 * KIB, FULL_AT], ["sync", 2]]]
