"""A migration, seen by the publisher: how far it goes, through real processes, and back."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from fakes.clock_actors import ActorProcess, TestMailbox
from fakes.time_pages import raw_ns
from waiting import wait_until

from hourbook.faces.clock import UNBOUNDED_LATEST_NS, Clock, Status
from hourbook.home import Home
from hourbook.link.actor_question import ask_actor
from protocols import wire
from protocols.clock_messages import SAMPLE_KIND, ClockSample
from protocols.why_messages import WHY_KIND, AskWhy, Why

pytestmark = pytest.mark.live

MS = 1_000_000


class Machine:
    """A publisher and a model, the sampler's mailbox in place of a sampler, and a vmclock."""

    def __init__(self, home: Home, device: Path) -> None:
        self.device = device
        self.migrate_to(7)
        self.sampler = TestMailbox(home, "ntp_sampler")
        publisher = "actors.shm_publisher:ShmPublisher", "shm_publisher"
        model = "actors.clock_model:ClockModel", "clock_model"
        self.actors = [
            ActorProcess(home, *publisher, {"vmclock_path": str(device)}),
            ActorProcess(home, *model, {}),
        ]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.connect(home.mailbox_uri("clock_model"))

    def migrate_to(self, marker: int) -> None:
        """Give the vmclock another marker, as a hypervisor does."""
        self.device.write_bytes(struct.pack("<4s12xQ80x", b"VCLK", marker))

    def sample(self) -> None:
        """Let a server say that the kernel's clock is right within 1 ms."""
        now_ns = raw_ns()
        sample = ClockSample(
            source="server", raw_ns=now_ns, utc_ns=time.time_ns(), half_width_ns=MS,
            delay_ns=1000, poll_s=16, origin="ntp",
        )  # fmt: skip
        body = msgspec.Raw(msgspec.msgpack.encode(sample))
        envelope = wire.Envelope(kind=SAMPLE_KIND, id=1, src="ntp_sampler", body=body)
        self._dealer.send(wire.encode(envelope))

    def close(self) -> None:
        """Stop everything."""
        for actor in self.actors:
            assert actor.stop() == 0
        self.sampler.close()
        self._context.destroy(linger=0)


@pytest.fixture
def machine(home: Home, tmp_path: Path) -> Iterator[Machine]:
    """Return a machine that may be migrated."""
    made = Machine(home, tmp_path / "vmclock0")
    yield made
    made.close()


def test_migration_is_told_forgotten_and_measured_anew(machine: Machine, home: Home) -> None:
    """Publisher, model, sampler, and back: SYNCHRONIZED again by a sample from after it."""
    wait_until(home.segment.exists, 10, "the segment")
    clock = Clock(home)

    def synchronized() -> bool:
        machine.sample()
        return clock.now().status is Status.SYNCHRONIZED

    wait_until(synchronized, 10, "the first synchronized page")
    machine.sampler.messages("clock.resample", 0.1)

    machine.migrate_to(8)

    disrupted = wait_until(
        lambda: [r for r in [clock.snapshot()] if r.status is Status.DISRUPTED], 10, "DISRUPTED"
    )[0]
    asked = wait_until(
        lambda: machine.sampler.messages("clock.resample", 0.1), 10, "the sources to be asked"
    )
    why = ask_actor(home, "clock_model", WHY_KIND, AskWhy(), Why)
    assert disrupted.latest_ns == UNBOUNDED_LATEST_NS
    assert [message["cause"] for message in asked] == ["the machine was migrated"]
    assert (why.status, why.disruptions) == (int(Status.DISRUPTED), {"migration": 1})
    wait_until(synchronized, 10, "the page after the next sample")
    assert clock.snapshot().disruptions == 1
