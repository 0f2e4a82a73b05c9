"""From a frame to a request, or to the refusal that its sender gets. Pure: no sockets.

Order of checks: room in its message, size and depth, envelope and version, deadline, kind, body.
What cannot even be read is answered too (with ``corr`` 0 where no id could be saved), so that
whoever writes a client in another language sees what was wrong instead of a silence.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from actors.contract import Handler, Request
from protocols import errors, wire

__all__ = ["Mailbox"]


class Mailbox:
    """The rules of one actor's mailbox.

    Attributes:
        name: of the actor.
        incarnation: of its process.
        handlers: by kind.
        accepted: requests that were opened (count).
        refused: by code.
    """

    def __init__(
        self,
        name: str,
        incarnation: int,
        handlers: Mapping[str, Handler],
        frame_bytes_max: int = wire.FRAME_BYTES_MAX_DEFAULT,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.handlers = handlers
        self._decoders = {
            kind: msgspec.msgpack.Decoder(handler.body_type).decode
            for kind, handler in handlers.items()
        }
        self._frame_bytes_max = frame_bytes_max
        self._bytes_before = 0  # in the same message

    def open(
        self,
        peer: bytes,
        frame: bytes,
        index: int,
        now_mono_ns: int,
        answer: Callable[[Request[Any], Any], None],
    ) -> Request[Any]:
        """Decode a frame into a request with a typed body.

        Args:
            peer: who sent it.
            frame: an envelope.
            index: of the frame in its message, from 0 on; it is judged by what came before, too.
            now_mono_ns: CLOCK_MONOTONIC.
            answer: how the request is answered.

        Raises:
            LimitExceeded, FrameTooLarge, FrameTooDeep, BadRequest, UnsupportedVersion,
            DeadlineExceeded, UnknownKind: what the sender is to be told.
        """
        before = self._bytes_before if index else 0
        size = before + len(frame)
        if index >= wire.MESSAGE_FRAMES_MAX or size > self._frame_bytes_max >= len(frame):
            raise self._crowded(index, size)
        # What is too large by itself is refused for that, and takes no room.
        self._bytes_before = size if size <= self._frame_bytes_max else before
        if not frame:
            raise errors.BadRequest(
                "Expected an envelope, got an empty frame (use DEALER, no delimiter)", field="frame"
            )
        wire.check_frame(frame, self._frame_bytes_max)
        envelope = wire.decode_envelope(frame)
        if 0 < envelope.deadline_mono_ns < now_mono_ns:
            late_ms = (now_mono_ns - envelope.deadline_mono_ns) // 1_000_000
            raise errors.DeadlineExceeded(
                f"Expected {envelope.kind} before its deadline, got it {late_ms} ms late",
                field="deadline_mono_ns",
                value=str(envelope.deadline_mono_ns),
            )
        decode = self._decoders.get(envelope.kind)
        if decode is None:
            raise errors.UnknownKind(
                f"Expected one of {', '.join(sorted(self.handlers))},"
                f" got {wire.printable(envelope.kind)!r}, at {self.name}",
                field="kind",
                value=wire.printable(envelope.kind),
            )
        try:
            body = decode(envelope.body)
        except wire.UNDECODABLE as error:
            raise wire.no_body(envelope, error) from None
        self.accepted += 1
        return Request(peer, envelope, body, answer)

    def refusal(self, request_id: int, error: errors.HourbookError) -> bytes:
        """Count a refusal and return the frame that tells the sender."""
        self.refused[error.code] += 1
        return wire.encode_error(request_id, error, src=self.name, incarnation=self.incarnation)

    def snapshot(self) -> dict[str, float]:
        """Return the counters for a beat."""
        refused = {
            f'mailbox_refused_total{{code="{c}"}}': float(n) for c, n in self.refused.items()
        }
        return {"mailbox_accepted_total": float(self.accepted), **refused}

    def _crowded(self, index: int, size: int) -> errors.HourbookError:
        """Return the refusal of what is too much for one message: as large as one frame may be."""
        if index >= wire.MESSAGE_FRAMES_MAX:
            return errors.LimitExceeded(
                f"Expected at most {wire.MESSAGE_FRAMES_MAX} frames in a message, got another",
                field="message",
                value=str(wire.MESSAGE_FRAMES_MAX + 1),
            )
        return errors.FrameTooLarge(
            f"Expected frames of {self._frame_bytes_max} bytes together at most, got {size}",
            field="message",
            value=str(size),
        )
