"""The loop of an asynchronous actor: the same mailbox and beats as tasks of one asyncio loop.

For actors that are built on an asyncio library. The decisions (mailbox, guard, link) are the very
ones of ``actors.loop``; only the waiting differs.
"""

import asyncio
import signal
from contextlib import suppress
from functools import partial
from typing import Protocol

import zmq
import zmq.asyncio

from actors import guard, sockets
from actors.base import BaseActor, ConfigT
from actors.contract import ActorContext, Behaviour, Reporter
from actors.link import BEAT_PERIOD_S, Link, LinkReporter
from actors.loop import reload_error
from actors.mailbox import Mailbox
from actors.replies import Hold, Replies
from actors.router import Router
from actors.service import Service
from hourbook.home import Home
from hourbook.timebase import Timebase
from protocols import control

__all__ = ["AsyncActor", "AsyncLoop"]


class AsyncBehaviour(Behaviour, Protocol):
    """An actor with work of its own beside its mailbox."""

    async def serve(self) -> None:
        """Work until cancelled; returning or raising early ends the incarnation."""


class AsyncLoop(LinkReporter):
    """Runs one incarnation of one asynchronous actor."""

    def __init__(self, context: ActorContext, home: Home, timebase: Timebase) -> None:
        self._context = context
        self._home = home
        self._timebase = timebase
        super().__init__(Link(context.name, context.incarnation))

    async def run(self, actor: AsyncBehaviour) -> int:
        """Run `actor` from init to stop; return the exit code of its process."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        context = zmq.asyncio.Context()
        supervisor, router = context.socket(zmq.DEALER), Router()
        try:
            sockets.connect_supervisor(supervisor, self._home, self._context.name)
            await supervisor.send(self._link.hello())
            result = guard.answer_init(self._context.name, self._context.incarnation, actor.init)
            if result.status in ("error", "ignore"):
                await supervisor.send(self._link.init(result))
                return 1 if result.status == "error" else 0
            mailbox = self._open_mailbox(actor, router)
            await supervisor.send(self._link.init(result))
            await self._work(actor, mailbox, supervisor, router, stopped)
            actor.stop()
        finally:
            supervisor.close()
            router.close()
            context.term()
        return 0

    def _open_mailbox(self, actor: AsyncBehaviour, router: Router) -> Mailbox:
        name, incarnation = self._context.name, self._context.incarnation
        mailbox = Mailbox(name, incarnation, actor.handlers(), actor.frame_bytes_max)
        sockets.bind_mailbox(router, self._home, name)
        return mailbox

    async def _work(
        self,
        actor: AsyncBehaviour,
        mailbox: Mailbox,
        supervisor: zmq.asyncio.Socket,
        router: Router,
        stopped: asyncio.Event,
    ) -> None:
        """Run everything at once until the stop; the first task that fails ends all."""
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                actor.serve(),
                self._beat(actor, mailbox, supervisor),
                self._hear_supervisor(actor, supervisor, stopped),
                self._hear_mailbox(actor, mailbox, router),
                stopped.wait(),
            )
        ]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in pending:
            with suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()

    async def _beat(
        self, actor: AsyncBehaviour, mailbox: Mailbox, supervisor: zmq.asyncio.Socket
    ) -> None:
        while True:
            snapshot = self.counters() | mailbox.snapshot() | actor.snapshot()
            await supervisor.send(self._link.beat(snapshot))
            await asyncio.sleep(BEAT_PERIOD_S)

    async def _hear_supervisor(
        self, actor: AsyncBehaviour, supervisor: zmq.asyncio.Socket, stopped: asyncio.Event
    ) -> None:
        while True:
            match self._link.understand(await supervisor.recv()):
                case (_, control.Stop()):
                    stopped.set()
                case (envelope, control.Reload(config)):
                    error = reload_error(actor, config)
                    await supervisor.send(self._link.reloaded(envelope.id, error))

    async def _hear_mailbox(self, actor: AsyncBehaviour, mailbox: Mailbox, router: Router) -> None:
        replies = Replies(partial(self._send, router))
        service = Service(mailbox, replies, self._home, self._timebase.wall_ns)
        loop, may_have_frames = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(router.fd, may_have_frames.set)
        try:
            while await may_have_frames.wait():
                if (received := router.receive()) is None:
                    may_have_frames.clear()  # the loop sets it again for what has come since
                    continue
                now_ns = self._timebase.mono_ns()
                replies.hold = Hold.ALL
                while received is not None:
                    service.serve(*received, router.index, now_ns)
                    received = router.receive() if router.waiting else None
                actor.after_drain()
                replies.hold = Hold.NOBODY
                replies.release()
                await asyncio.sleep(0)  # others have their turn, too
        finally:
            loop.remove_reader(router.fd)

    def _send(self, router: Router, peer: bytes, frames: list[bytes]) -> None:
        if not router.send(peer, frames):
            self.count("replies_dropped_total", len(frames))


class AsyncActor(BaseActor[ConfigT]):
    """The base of an actor that lives on asyncio; the loop is its ``reporter``."""

    def __init__(
        self,
        config: ConfigT,
        context: ActorContext,
        home: Home,
        timebase: Timebase,
        reporter: Reporter,
    ) -> None:
        super().__init__(config, context, home, timebase)
        self.reporter = reporter

    @classmethod
    def main(cls, context: ActorContext) -> int:
        """Live one incarnation; return the exit code of the process."""
        config, home, timebase = cls.prepare(context)
        loop = AsyncLoop(context, home, timebase)
        return asyncio.run(loop.run(cls(config, context, home, timebase, loop)))

    async def serve(self) -> None:
        """Work until cancelled."""
        await asyncio.Event().wait()
