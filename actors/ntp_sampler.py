"""The actor that asks: UDP exchanges with NTP servers, and the kernel where none ever answered.

Owns its sockets. Hears ``clock.resample`` and ``clock.sources``; tells clock_model
``clock.sample``, ``clock.awaited``, since who answers first must not be believed alone, and
``clock.withdrawn`` when servers are removed. When to ask whom, and for whom to wait, is decided in
:mod:`hourbook.clock.polling` and :mod:`.roll_call`; this file only does it. It is ready at once: it
never waits for a server, and one that does not answer is no failure of ours.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from actors.base import (
    Actor,
    ActorContext,
    Handler,
    Outcome,
    Reactor,
    Ready,
    Request,
    decode_config,
)
from actors.config import LOCAL_DAEMON, NtpSamplerConfig
from actors.own_clock import MODEL, OwnClock
from actors.timers import Timer
from hourbook.clock import polling, reference, smear, tally
from hourbook.clock.datagram import MAX_DRIFT_PPB, Answer, Kiss
from hourbook.clock.exchange import Exchange, keep_stamping
from hourbook.clock.polling import Pace, Server
from hourbook.clock.resolver import Resolver
from hourbook.clock.roll_call import NOBODY_CALLED, RollCall, voiceless
from hourbook.clock.sampling import sample_of
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols import ntp
from protocols.clock_messages import RESAMPLE_KIND, SAMPLE_KIND, Resample
from protocols.control import Snapshot
from protocols.ntp import Rejection
from protocols.source_messages import (
    AWAITED_KIND,
    SOURCES_KIND,
    WITHDRAWN_KIND,
    AskSources,
    AwaitedSources,
    Sampled,
    Withdrawn,
)

__all__ = ["NtpSampler"]

_S_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000


class _Awaited(NamedTuple):
    """A request under way, and when it is given up."""

    exchange: Exchange
    timeout: Timer


class NtpSampler(Actor[NtpSamplerConfig]):
    """Asks servers for the time and passes on what they say, with all that it may hide."""

    config_type = NtpSamplerConfig

    def __init__(
        self,
        config: NtpSamplerConfig,
        context: ActorContext,
        home: Home,
        timebase: Timebase,
        reactor: Reactor,
    ) -> None:
        super().__init__(config, context, home, timebase, reactor)
        self._resolver = Resolver()
        self._stamping = keep_stamping()
        self._servers: dict[str, Server] = {}
        self._looking_up: set[str] = set()
        self._open: dict[str, _Awaited] = {}
        self._timer: Timer | None = None
        self._roll = NOBODY_CALLED
        self._roll_end: Timer | None = None
        self._has_answer = False
        self._own_clock = OwnClock(config, reactor, self.log)
        self._tallies: dict[str, tally.Tally] = {}
        self._jitter = random.SystemRandom().random

    def init(self) -> Outcome:
        """Begin to look names up; ready long before any server has answered."""
        self.reactor.watch(self._resolver.fd, self._hear_resolver)
        self._set_servers()
        self._own_clock.start()
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what is heard."""
        return {
            RESAMPLE_KIND: Handler(Resample, self._on_resample),
            SOURCES_KIND: Handler(AskSources, self._on_sources),
        }

    def reload(self, config: dict[str, Any]) -> bool:
        """Take new servers and a new pace; what stays the same keeps its state."""
        self.config = self._own_clock.config = decode_config(NtpSamplerConfig, config)
        self._set_servers()
        return True

    def snapshot(self) -> Snapshot:
        """Return requests and answers by source, and what came instead by reason."""
        rejected: Counter[str] = Counter()
        for one in self._tallies.values():
            rejected.update(dict(one.rejected))
        requests = {name: one.requests for name, one in self._tallies.items()}
        answers = {name: one.answers for name, one in self._tallies.items()}
        reach = {name: server.reach.bit_count() for name, server in self._servers.items()}
        return {
            **_labelled("ntp_requests_total", "source", requests),
            **_labelled("ntp_answers_total", "source", answers),
            **_labelled("ntp_rejected_total", "reason", rejected),
            **_labelled("ntp_reach", "source", reach),
        }

    def stop(self) -> None:
        """Close every socket."""
        for name in list(self._open):
            self._close(name)
        self.reactor.unwatch(self._resolver.fd)
        self._resolver.close()
        if self._stamping is not None:
            self._stamping.close()

    # -- when ------------------------------------------------------------------------------------

    @property
    def _pace(self) -> Pace:
        config = self.config
        return Pace(
            config.poll_min_s, config.poll_max_s, config.burst_count, config.burst_interval_s
        )

    def _set_servers(self) -> None:
        names = dict.fromkeys(self.config.servers)
        if self.config.local_daemon:
            names.setdefault(LOCAL_DAEMON)
        gone = self._servers.keys() - names
        for name in gone:
            self._close(name)
        if gone:
            self.reactor.tell(MODEL, WITHDRAWN_KIND, Withdrawn(tuple(sorted(gone))))
        now_ns = self.timebase.mono_ns()
        self._tallies = {name: self._tallies.get(name, tally.NOTHING_YET) for name in names}
        known = self._servers
        self._servers = {
            name: known.get(name) or polling.new(name, self._pace, now_ns) for name in names
        }
        added = [server for name, server in self._servers.items() if name not in known]
        self._wait_for(self._roll.excuse(*gone).call(added, now_ns))
        self._turn()

    def _turn(self) -> None:
        """Do what is due, and wake again for the next."""
        now_ns = self.timebase.mono_ns()
        for server in self._idle():
            if server.next_mono_ns > now_ns:
                continue
            if server.next_action == "resolve":
                self._looking_up.add(server.name)
                self._resolver.look_up(server.name)
            else:
                self._ask(server)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = min((server.next_mono_ns for server in self._idle()), default=None)
        if due_ns is not None:
            wait_s = max(due_ns - self.timebase.mono_ns(), 0) / _S_NS
            self._timer = self.reactor.after(wait_s, self._turn)

    def _idle(self) -> list[Server]:
        """Return the servers of which nothing is awaited."""
        busy = self._open.keys() | self._looking_up
        return [server for name, server in self._servers.items() if name not in busy]

    def _on_resample(self, request: Request[Resample]) -> None:
        self.log.info("asking again: %s", request.body.cause)
        for name in list(self._open):
            self._close(name)  # an answer about the time before; who gave it has yet to vote
        hurried = self._hurry(self._servers.values())
        self._wait_for(NOBODY_CALLED.call(hurried, self.timebase.mono_ns()))
        self._turn()

    def _hurry(self, servers: Iterable[Server]) -> list[Server]:
        now_ns = self.timebase.mono_ns()
        hurried = [polling.hurry(server, self._pace, now_ns) for server in servers]
        self._servers |= {server.name: server for server in hurried}
        return hurried

    # -- who is waited for -----------------------------------------------------------------------

    def _wait_for(self, roll: RollCall) -> None:
        """Take a roll into force; the model hears of every change."""
        if roll is self._roll:
            return
        self._roll = roll
        if self._roll_end is not None:
            self._roll_end.cancel()
        left_ns = roll.left_ns(self.timebase.mono_ns())
        self._roll_end = self.reactor.after(left_ns / _S_NS, self._expire) if left_ns else None
        names = tuple(sorted(roll.until_mono_ns))
        self.reactor.tell(MODEL, AWAITED_KIND, AwaitedSources(names, -(-left_ns // _MS_NS)))

    def _expire(self) -> None:
        self._roll_end = None
        self._wait_for(self._roll.expire(self.timebase.mono_ns()))

    def _on_sources(self, _: Request[AskSources]) -> Sampled:
        """Report each server; a local daemon that nobody named and that never answered is none."""
        now_ns = self.timebase.mono_ns()
        return Sampled(
            servers=tuple(
                tally.report(server, self._tallies[name], self._family(name), now_ns)
                for name, server in self._servers.items()
                if name in self.config.servers or self._tallies[name].reply
            ),
            own_clock=self._own_clock.worth,
        )

    # -- names -----------------------------------------------------------------------------------

    def _hear_resolver(self) -> None:
        now_ns = self.timebase.mono_ns()
        for name, found in self._resolver.results():
            self._looking_up.discard(name)
            server = self._servers.get(name)
            if server is None:
                continue
            if isinstance(found, str):
                self._note(server, found)
                self._count(name, "name")
                self._servers[name] = polling.unresolved(
                    server, found, self._pace, now_ns, self._jitter()
                )
                self._wait_for(self._roll.excuse(name))
                continue
            taken = {s.address for n, s in self._servers.items() if n != name and s.address}
            server = polling.resolved(server, found, taken, self._pace, now_ns)
            self._servers[name] = server
            if server.address is None:
                self._wait_for(self._roll.excuse(name))
        self._turn()

    # -- exchanges -------------------------------------------------------------------------------

    def _ask(self, server: Server) -> None:
        name, address = server.name, server.address
        assert address is not None, "polling asks only who has an address"
        self._servers[name] = polling.asked(server, self.timebase.mono_ns())
        self._tallies[name] = tally.requested(self._tallies[name])
        try:
            opened = Exchange(address, MAX_DRIFT_PPB)
        except OSError as error:
            self._fail(name, "unreachable", f"{error.strerror}")
            return
        timer = self.reactor.after(self.config.timeout_s, partial(self._time_out, name))
        self._open[name] = _Awaited(opened, timer)
        self.reactor.watch(opened.fd, partial(self._hear, name))

    def _hear(self, name: str) -> None:
        if name not in self._open:
            return
        opened = self._open[name].exchange
        while True:
            try:
                heard = opened.receive()
            except OSError as error:
                self._fail(name, "unreachable", f"{error.strerror}")
                break
            if heard is None:
                return
            if isinstance(heard, Answer):
                self._answer(name, heard)
                break
            if isinstance(heard, Kiss):
                self._kiss(name, heard.code)
                break
            if heard not in (Rejection.SHORT, Rejection.ORIGIN):
                self._fail(name, heard.value, ntp.describe_rejection(heard), is_heard=True)
                break
            # Not from the server that was asked: the true reply may still come.
            self._count(name, heard.value)
            if opened.is_flooded:
                self._fail(name, "flooded", "flooded with foreign datagrams")
                break
        self._turn()

    def _time_out(self, name: str) -> None:
        self._fail(name, "timeout", f"no reply within {self.config.timeout_s:g} s")
        self._turn()

    def _answer(self, name: str, answer: Answer) -> None:
        if name not in self.config.servers and reference.follows_own_clock(answer.reply):
            # A local daemon without sources of its own: this very clock, and no evidence.
            self._fail(name, "own_clock", "serves this machine's own clock", is_heard=True)
            return
        self._close(name)
        now_ns = self.timebase.mono_ns()
        self._tallies[name] = tally.answered(
            self._tallies[name], answer.reply, now_ns, is_kernel_stamped=answer.is_kernel_stamped
        )
        if not self._has_answer:
            self.log.info("%s answers: NTP is in charge of the clock", name)
            self._own_clock.silence()
        self._has_answer = True
        self._call_for(name, now_ns)
        server = polling.answered(
            self._servers[name], answer.half_width.total_ns, self._pace, now_ns, self._jitter()
        )
        self._servers[name] = server
        self.reactor.tell(MODEL, SAMPLE_KIND, sample_of(server, answer, self._family(name)))
        self._wait_for(self._roll.excuse(name))

    def _call_for(self, name: str, now_ns: int) -> None:
        """Call those who have as little of a voice as this one had until it answered now."""
        if name not in self._roll.until_mono_ns:
            called = self._hurry(voiceless(self._servers.values(), name, now_ns))
            self._wait_for(self._roll.call(called, now_ns) if called else self._roll)

    def _family(self, name: str) -> str:
        reply = self._tallies[name].reply
        upstream = reference.upstream_of(reply) if reply else ""
        return smear.family_of(name, self.config.smear, upstream)

    def _kiss(self, name: str, code: str) -> None:
        self._count(name, Rejection.KISS.value)
        self._close(name)
        self.log.warning("%s sent a kiss of death: %s", name, code)
        self._change(name, polling.kissed, code)

    def _fail(self, name: str, reason: str, text: str, *, is_heard: bool = False) -> None:
        self._count(name, reason)
        self._close(name)
        self._note(self._servers[name], text)
        self._change(name, partial(polling.failed, is_heard=is_heard), text)

    def _change(
        self, name: str, happen: Callable[[Server, str, Pace, int, float], Server], text: str
    ) -> None:
        self._servers[name] = happen(
            self._servers[name], text, self._pace, self.timebase.mono_ns(), self._jitter()
        )
        self._wait_for(self._roll.excuse(name))

    def _count(self, name: str, reason: str) -> None:
        awaited = self._open.get(name)
        reply = awaited.exchange.reply if awaited else None
        self._tallies[name] = tally.rejected(self._tallies[name], reason, reply)

    def _close(self, name: str) -> None:
        awaited = self._open.pop(name, None)
        if awaited is not None:
            awaited.timeout.cancel()
            self.reactor.unwatch(awaited.exchange.fd)
            awaited.exchange.close()

    def _note(self, server: Server, trouble: str) -> None:
        """Log a trouble once, not at every poll; a local daemon that is not there is none."""
        if trouble != server.trouble and server.name != LOCAL_DAEMON:
            self.log.info("%s: %s", server.name, trouble)


def _labelled(name: str, label: str, numbers: Mapping[str, int]) -> Snapshot:
    return {f'{name}{{{label}="{key}"}}': float(number) for key, number in numbers.items()}
