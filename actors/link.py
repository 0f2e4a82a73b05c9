"""An actor's line to its supervisor: the frames it sends, and what it understands. Pure."""

import itertools
import os

import msgspec

from protocols import control, errors, wire

__all__ = ["BEAT_PERIOD_S", "Link"]

BEAT_PERIOD_S = 1.0


class Link:
    """Frames of one incarnation; all of them carry its number, so that late ones can be told."""

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.degraded = ""
        self.endpoints: dict[str, str] = {}
        self._ids = itertools.count(1)

    def hello(self) -> bytes:
        """Return the first frame of this incarnation."""
        return self._frame("hello", control.Hello(self.name, self.incarnation, os.getpid()))

    def init(self, result: control.InitResult) -> bytes:
        """Return the frame that says how init ended."""
        self.degraded = result.reason if result.status == "degraded" else ""
        self.endpoints = result.endpoints
        return self._frame("init", result)

    def beat(self, snapshot: control.Snapshot) -> bytes:
        """Return a beat."""
        beat = control.Beat(self.name, self.incarnation, self.degraded, self.endpoints, snapshot)
        return self._frame("beat", beat)

    def understand(
        self, frame: bytes
    ) -> tuple[wire.Envelope, control.Stop | control.Reload] | None:
        """Decode what the supervisor sent; None for what is not an order (such as a late reply)."""
        try:
            envelope = wire.decode_envelope(frame)
            match envelope.kind:
                case "stop":
                    return envelope, wire.decode_body(envelope, control.Stop)
                case "reload":
                    return envelope, wire.decode_body(envelope, control.Reload)
                case _:
                    return None
        except errors.HourbookError:
            return None

    def reloaded(self, request_id: int, error: errors.HourbookError | None) -> bytes:
        """Return the answer to ``reload``: in force, or why a restart is needed."""
        if error is not None:
            return wire.encode_error(request_id, error, src=self.name, incarnation=self.incarnation)
        return wire.encode_reply(request_id, {}, src=self.name, incarnation=self.incarnation)

    def _frame(self, kind: str, body: msgspec.Struct) -> bytes:
        return wire.encode(
            wire.Envelope(
                kind=kind,
                id=next(self._ids),
                src=self.name,
                incarnation=self.incarnation,
                body=msgspec.Raw(msgspec.msgpack.encode(body)),
            )
        )
