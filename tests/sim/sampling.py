"""The sampler of the simulation: polls as ``hourbook.clock.polling`` has them, and packets.

It does what ntp_sampler does, with simulated sockets: one request under way for each server, its
reply judged by the product, forged and repeated ones too, late ones finding the socket
closed.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from hourbook.clock import polling
from hourbook.clock.datagram import MAX_DRIFT_PPB, Answer, Kiss, Received, Sent, judge
from hourbook.clock.polling import Address, Pace
from hourbook.clock.roll_call import NOBODY_CALLED, RollCall, voiceless
from hourbook.clock.sampling import sample_of
from hourbook.clock.smear import STEPS
from protocols import ntp
from protocols.clock_messages import ClockSample
from protocols.ntp import Rejection
from sim.events import Events
from sim.machine import S_NS, Machine
from sim.servers import Reply, Server
from sim.setting import Setting

__all__ = ["Heard", "Sampler"]

TIMEOUT_NS: Final = 2 * S_NS
_MS: Final = 1_000_000


class Heard(NamedTuple):
    """A sample, and what only the simulation knows of it.

    Attributes:
        sample: for the model.
        upstream: whose time it is in the end.
        is_honest: the server told the truth.
    """

    sample: ClockSample
    upstream: str
    is_honest: bool


class _Awaited(NamedTuple):
    """A request under way."""

    request: Sent
    server: Server


class Sampler:
    """Asks the servers of a setting and hands on what they say."""

    def __init__(
        self, setting: Setting, machine: Machine, events: Events,
        on_heard: Callable[[Heard, int], None],
        on_awaited: Callable[[frozenset[str], int, int], None],
    ) -> None:  # fmt: skip
        self._setting = setting
        self._machine = machine
        self._events = events
        self._on_heard = on_heard
        self._on_awaited = on_awaited
        self._roll = NOBODY_CALLED
        self._rng = setting.rng
        self._pace = setting.pace
        self._polls: dict[str, polling.Server] = {}
        self._awaited: dict[str, _Awaited] = {}
        self._wakes: dict[str, int] = {}
        self.rejected: Counter[str] = Counter()
        for name in setting.names:
            self._configure(name, setting.begin_ns + setting.asked_after_ns.get(name, 0))
        self._call(self._polls.values(), setting.begin_ns)

    def reload(self, names: tuple[str, ...], pace: Pace, true_ns: int) -> list[str]:
        """Take other servers and another pace; return who is asked no more."""
        self._pace = pace
        gone = [name for name in self._polls if name not in names]
        for name in gone:
            del self._polls[name]
            self._awaited.pop(name, None)
        added = [name for name in names if name not in self._polls]
        for name in added:
            self._configure(name, true_ns)
        self._wait_for(self._roll.excuse(*gone), true_ns)
        self._call([self._polls[name] for name in added], true_ns)
        return gone

    def hurry(self, true_ns: int) -> None:
        """Ask everybody again, as soon as they may be asked; what is under way comes too late."""
        self._awaited.clear()
        self._roll = NOBODY_CALLED
        self._call(self._hurry(self._polls.values(), true_ns), true_ns)

    def _hurry(self, servers: Iterable[polling.Server], true_ns: int) -> list[polling.Server]:
        mono_ns = self._machine.mono_ns(true_ns)
        hurried = [polling.hurry(server, self._pace, mono_ns) for server in servers]
        for server in hurried:
            self._polls[server.name] = server
            self._plan(server.name, true_ns)
        return hurried

    # -- who is waited for -----------------------------------------------------------------------

    def _call(self, servers: Iterable[polling.Server], true_ns: int) -> None:
        self._wait_for(self._roll.call(servers, self._machine.mono_ns(true_ns)), true_ns)

    def _wait_for(self, roll: RollCall, true_ns: int) -> None:
        if roll is self._roll:
            return
        self._roll = roll
        left_ns = roll.left_ns(self._machine.mono_ns(true_ns))
        if left_ns:
            self._events.at(true_ns + left_ns, self._expire)
        self._on_awaited(frozenset(roll.until_mono_ns), left_ns, true_ns)

    def _expire(self, true_ns: int) -> None:
        self._wait_for(self._roll.expire(self._machine.mono_ns(true_ns)), true_ns)

    # -- when ------------------------------------------------------------------------------------

    def _configure(self, name: str, from_ns: int) -> None:
        self._polls[name] = polling.new(name, self._pace, self._machine.mono_ns(from_ns))
        self._plan(name, from_ns)

    def _plan(self, name: str, true_ns: int) -> None:
        """Wake for a server when it is due, and forget any other plan for it."""
        due_ns = max(self._machine.at_mono_ns(self._polls[name].next_mono_ns), true_ns)
        due_ns = max(due_ns, self._setting.alive_from_ns(due_ns))
        self._wakes[name] = due_ns
        self._events.at(due_ns, partial(self._wake, name, due_ns))

    def _wake(self, name: str, planned_ns: int, true_ns: int) -> None:
        if self._wakes.get(name) != planned_ns or name not in self._polls or name in self._awaited:
            return
        self._wakes[name] = 0
        server, mono_ns = self._polls[name], self._machine.mono_ns(true_ns)
        if server.next_mono_ns > mono_ns:
            self._plan(name, true_ns)  # the machine has slept meanwhile
        elif server.next_action == "resolve":
            found = [Address(host, 123, is_loopback=False) for host in self._setting.names[name]]
            taken = {s.address for n, s in self._polls.items() if n != name and s.address}
            server = polling.resolved(server, found, taken, self._pace, mono_ns)
            self._polls[name] = server
            self._plan(name, true_ns)
            if server.address is None:
                self._wait_for(self._roll.excuse(name), true_ns)
        else:
            self._ask(name, true_ns)

    # -- packets ---------------------------------------------------------------------------------

    def _ask(self, name: str, true_ns: int) -> None:
        machine = self._machine
        server = self._polls[name] = polling.asked(self._polls[name], machine.mono_ns(true_ns))
        assert server.address is not None, "polling asks only who has an address"
        request = Sent(
            cookie=self._rng.getrandbits(64) or 1,
            before=machine.clocks(true_ns),
            suspended_ns=machine.suspended_ns,
            raw_ns=machine.raw_ns(true_ns),
        )
        awaited = _Awaited(request, self._setting.servers[server.address.host])
        self._awaited[name] = awaited
        self._events.at(true_ns + TIMEOUT_NS, partial(self._time_out, name, awaited))
        self._travel(name, awaited, true_ns + round(self._rng.expovariate(1 / 20_000)))

    def _travel(self, name: str, awaited: _Awaited, left_ns: int) -> None:
        """Let the request reach its server and the answer come back, if they do."""
        rng, server, path = self._rng, awaited.server, awaited.server.path
        out_ns, back_ns = path.delays_ns(rng)
        received_ns = left_ns + out_ns
        sent_ns = received_ns + round(rng.expovariate(1 / 60_000))
        arrives_ns = sent_ns + back_ns
        if rng.random() < path.forgery:
            forged = Reply(self._forged(server), is_honest=True)  # it must not count at all
            forged_ns = rng.randrange(left_ns, arrives_ns)
            self._events.at(forged_ns, partial(self._hear, name, awaited, forged))
        if rng.random() < path.loss or not server.is_online(received_ns):
            return
        packet = ntp.build_request(awaited.request.cookie)
        reply = server.reply(packet, received_ns, sent_ns, self._machine.utc_ns(received_ns))
        if rng.random() < path.loss:
            return
        self._events.at(arrives_ns, partial(self._hear, name, awaited, reply))
        if rng.random() < path.duplicate:
            again_ns = arrives_ns + rng.randrange(100 * _MS)
            self._events.at(again_ns, partial(self._hear, name, awaited, reply))

    def _forged(self, server: Server) -> bytes:
        """Return what a stranger sends who did not see the request: any time, a kiss, a stump."""
        fake_ns = self._setting.begin_ns + self._rng.randrange(-(10**18), 10**18)
        request = ntp.build_request(self._rng.getrandbits(64))
        data = server.reply(request, fake_ns, fake_ns, fake_ns).data
        kiss = data[:1] + b"\0" + data[2:12] + b"DENY" + data[16:]
        return self._rng.choice((data, kiss, data[:20]))

    # -- replies ---------------------------------------------------------------------------------

    def _hear(self, name: str, awaited: _Awaited, reply: Reply, true_ns: int) -> None:
        if self._awaited.get(name) is not awaited or self._setting.is_dead(true_ns):
            return  # the socket is closed
        machine = self._machine
        stamp_wall_ns = machine.wall_ns(true_ns)
        read_ns = true_ns + round(self._rng.expovariate(1 / 50_000))
        received = Received(
            machine.raw_ns(read_ns), stamp_wall_ns, machine.clocks(read_ns), machine.suspended_ns
        )
        header = ntp.parse(reply.data)
        heard = (
            Rejection.SHORT
            if header is None
            else judge(awaited.request, received, header, MAX_DRIFT_PPB)
        )
        if isinstance(heard, Answer):
            self._answer(name, awaited, heard, read_ns, is_honest=reply.is_honest)
            return
        self.rejected["kiss" if isinstance(heard, Kiss) else heard.value] += 1
        if heard in (Rejection.SHORT, Rejection.ORIGIN):
            return
        server, mono_ns = self._polls[name], machine.mono_ns(read_ns)
        jitter = self._rng.random()
        if isinstance(heard, Kiss):
            server = polling.kissed(server, heard.code, self._pace, mono_ns, jitter)
        else:
            server = polling.failed(server, heard.value, self._pace, mono_ns, jitter, is_heard=True)
        self._settle(name, server, read_ns)

    def _answer(
        self, name: str, awaited: _Awaited, answer: Answer, read_ns: int, *, is_honest: bool
    ) -> None:
        half_width_ns, mono_ns = answer.half_width.total_ns, self._machine.mono_ns(read_ns)
        if name not in self._roll.until_mono_ns:
            called = voiceless(self._polls.values(), name, mono_ns)
            self._call(self._hurry(called, read_ns), read_ns)
        server = polling.answered(
            self._polls[name], half_width_ns, self._pace, mono_ns, self._rng.random()
        )
        self._settle(name, server, read_ns, is_heard=True)
        sample = sample_of(server, answer, STEPS)
        self._on_heard(Heard(sample, awaited.server.upstream, is_honest), read_ns)
        self._wait_for(self._roll.excuse(name), read_ns)

    def _time_out(self, name: str, awaited: _Awaited, true_ns: int) -> None:
        if self._awaited.get(name) is awaited:
            self.rejected["timeout"] += 1
            mono_ns, jitter = self._machine.mono_ns(true_ns), self._rng.random()
            server = polling.failed(self._polls[name], "timeout", self._pace, mono_ns, jitter)
            self._settle(name, server, true_ns)

    def _settle(
        self, name: str, server: polling.Server, true_ns: int, *, is_heard: bool = False
    ) -> None:
        """End an exchange; without an answer nobody is waited for any more."""
        del self._awaited[name]
        self._polls[name] = server
        self._plan(name, true_ns)
        if not is_heard:
            self._wait_for(self._roll.excuse(name), true_ns)
