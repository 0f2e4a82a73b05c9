"""An actor's line to its supervisor: the frames it sends, and what it understands. Pure."""

import itertools
import logging
import os
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from protocols import control, errors, wire

__all__ = ["BEAT_PERIOD_S", "Link", "LinkReporter"]

BEAT_PERIOD_S: Final = 1.0

_log = logging.getLogger(__name__)


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


class LinkReporter:
    """The `Reporter` of both loops: what the actor says of itself rides in the link's beats."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._counts: Counter[str] = Counter()

    def degrade(self, reason: str) -> None:
        """Run on without something; shown in the status until :meth:`recover`."""
        if reason != self._link.degraded:
            _log.warning("degraded: %s", reason)
            self._link.degraded = reason

    def recover(self, endpoints: Mapping[str, str] | None = None) -> None:
        """Say that all is well again, with new endpoints where there are any."""
        if endpoints is not None:
            self._link.endpoints = dict(endpoints)
        if self._link.degraded:
            _log.info("recovered from: %s", self._link.degraded)
            self._link.degraded = ""

    def count(self, name: str, number: int = 1) -> None:
        """Add to one of the counters that ride in every beat."""
        self._counts[name] += number

    def counters(self) -> dict[str, float]:
        """Return the counters for a beat."""
        return {name: float(number) for name, number in self._counts.items()}
