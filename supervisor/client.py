"""Talk to the running supervisor over its control socket. An edge.

One request at a time. Nothing here waits without a limit, and while it waits the caller is called
back once a second, so that a person is told what the supervisor is waiting for.
"""

import itertools
import os
import socket
import time
from collections.abc import Callable
from typing import Final, Self, TypeVar

import msgspec
import zmq

from hourbook.home import Home
from protocols import control, errors, wire

__all__ = ["TIMEOUT_S", "Client"]

TIMEOUT_S: Final = 5.0
"""An idle supervisor answers in a millisecond; a loaded machine may need longer."""
TICK_S: Final = 1.0
_Reply = TypeVar("_Reply")


class Client:
    """A connection to the supervisor of one home.

    Raises:
        SupervisorUnreachable: nothing listens there, or it belongs to another user.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.mailbox(control.SUPERVISOR_NAME)
        self._ids = itertools.count(1)
        self._check_listening()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.MAXMSGSIZE, wire.FRAME_BYTES_MAX_WIRE)
        self._socket.connect(home.mailbox_uri(control.SUPERVISOR_NAME))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()
        self._context.term()

    def status(self, timeout_s: float = TIMEOUT_S, *, tick_s: float = TICK_S) -> control.Status:
        """Return how the tree is now; see :meth:`ask`."""
        command = control.Command()
        return self.ask("status", command, control.Status, timeout_s=timeout_s, tick_s=tick_s)

    def events(self, since: int, timeout_s: float = TIMEOUT_S) -> list[control.Event]:
        """Return the events after `since`; waits about a second for the first."""
        command = control.Command(since=since)
        return self.ask("events", command, control.Events, timeout_s=timeout_s).events

    def ask(
        self,
        kind: str,
        command: control.Command,
        reply_type: type[_Reply],
        *,
        timeout_s: float = TIMEOUT_S,
        tick_s: float = TICK_S,
        on_wait: Callable[[], None] | None = None,
    ) -> _Reply:
        """Send one command and return its answer.

        Args:
            kind: one of ``control.COMMAND_KINDS``.
            command: its body.
            reply_type: what the ``ok`` reply holds.
            timeout_s: how long to wait (seconds, > 0; ``math.inf`` waits on).
            tick_s: how often to look, without an answer, whether it is still there (seconds, > 0).
            on_wait: called each time that it is.

        Raises:
            SupervisorUnreachable: it went away meanwhile.
            WaitTimeout: no answer in time; the command may still take effect.
            HourbookError: the supervisor refused.
        """
        request_id = self.send(kind, command)
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise errors.WaitTimeout(
                    f"Expected an answer to {kind} within {timeout_s:g} s, got none,"
                    f" from the supervisor at {self._path}"
                )
            if self._socket.poll(round(min(left_s, tick_s) * 1000) or 1):
                reply = wire.decode_envelope(self._socket.recv())
                if reply.corr != request_id:
                    continue  # of a request that was given up
                if (error := wire.error_of(reply)) is not None:
                    raise error
                return wire.decode_body(reply, reply_type)
            self._check_listening()
            if on_wait is not None:
                on_wait()

    def send(self, kind: str, command: control.Command) -> int:
        """Send a command without waiting for its answer; return its id."""
        request_id = next(self._ids)
        body = msgspec.Raw(msgspec.msgpack.encode(command))
        envelope = wire.Envelope(kind=kind, id=request_id, src=f"cli.{os.getpid()}", body=body)
        self._socket.send(wire.encode(envelope))
        return request_id

    def _check_listening(self) -> None:
        """Fail at once, in words, where ZeroMQ would go on trying to connect for ever."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(TICK_S)
                probe.connect(self._path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise errors.SupervisorUnreachable(
                f"Expected a running supervisor for {self._home.path}, got none, at {self._path}",
                hint="run `supervisor start`, or name its home with --home DIR",
            ) from None
        except TimeoutError:
            return  # it listens; its queue of connections is full
        except OSError as error:
            raise errors.SupervisorUnreachable(
                f"Expected to connect, got: {error.strerror}, at {self._path}",
                hint="run it as the user that started the tree",
            ) from None
