"""Somebody sets the kernel's clock while the publisher runs: for real, as far as it can see."""

import shutil
from pathlib import Path

import msgspec
import pytest
import zmq
from fakes.chronyd import libfaketime
from fakes.clock_actors import ActorProcess, TestMailbox
from fakes.time_pages import raw_ns
from waiting import wait_until

from hourbook.faces.clock import Clock, Status
from hourbook.home import Home
from protocols import wire
from protocols.clock_messages import ESTIMATE_KIND, ClockEstimate

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        shutil.which("faketime") is None, reason="needs faketime: apt-get install faketime"
    ),
]


@pytest.fixture
def wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the wall clock of processes started from now on into a file: "+10" is 10 s ahead."""
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    for name, value in (
        ("LD_PRELOAD", str(libfaketime())),
        ("FAKETIME_TIMESTAMP_FILE", str(offset)),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ):
        monkeypatch.setenv(name, value)
    return offset


def test_set_clock_is_noticed_and_told(home: Home, wall_clock: Path) -> None:
    """DISRUPTED for readers, `clock.disrupted` for the model, and UTC goes on as if nothing was."""
    model = TestMailbox(home, "clock_model")
    publisher = ActorProcess(home, "actors.shm_publisher:ShmPublisher", "shm_publisher", {})
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(home.mailbox_uri("shm_publisher"))
    now_ns = raw_ns()
    estimate = ClockEstimate(
        as_of_raw_ns=now_ns, utc_ns=1_800_000_000_000_000_000, bounded=True, status=1,
        earliest_off_ns=-1_000_000, latest_off_ns=1_000_000, source="ntp",
        last_sample_raw_ns=now_ns, poll_s=16, samples=1,
    )  # fmt: skip
    body = msgspec.Raw(msgspec.msgpack.encode(estimate))
    dealer.send(wire.encode(wire.Envelope(kind=ESTIMATE_KIND, id=1, src="test", body=body)))
    wait_until(home.segment.exists, 10, "the segment")
    clock = Clock(home)
    wait_until(lambda: clock.now().status is Status.SYNCHRONIZED, 10, "the first page")
    before_ns = clock.time_ns()

    wall_clock.write_text("+10\n")

    (told,) = wait_until(lambda: model.messages("clock.disrupted", 0.1), 10, "the news")
    assert told["cause"] == "external_step"
    wait_until(lambda: clock.now().status is Status.DISRUPTED, 10, "readers to hear of it")
    assert 0 < clock.time_ns() - before_ns < 5_000_000_000
    context.destroy(linger=0)
    model.close()
    assert publisher.stop() == 0
