"""From a frame to a request, or to the refusal that its sender gets. Pure: no sockets.

Order of checks: room in its message, size and depth, envelope and version, deadline, kind, body.
What cannot even be read is answered too (with ``corr`` 0 where no id could be saved), so that
whoever writes a client in another language sees what was wrong instead of a silence.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors.contract import Handler, Request
from protocols import errors, wire

__all__ = ["Mailbox"]


class Mailbox:
    """The rules of one actor's mailbox, with counters of what it accepted and refused."""

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
        self._handlers = handlers
        self._frame_bytes_max = frame_bytes_max
        self._frames_before = self._bytes_before = 0

    def open(
        self,
        peer: bytes,
        frame: bytes,
        now_mono_ns: int,
        answer: Callable[[Request[Any], Any], None],
        *,
        is_first: bool = True,
    ) -> Request[Any]:
        """Decode a frame into a request with a typed body.

        Args:
            peer: who sent it.
            frame: an envelope.
            now_mono_ns: CLOCK_MONOTONIC.
            answer: how the request is answered.
            is_first: of its message; otherwise it is judged by what came before it, too.

        Raises:
            LimitExceeded, FrameTooLarge, FrameTooDeep, BadRequest, UnsupportedVersion,
            DeadlineExceeded, UnknownKind: what the sender is to be told.
        """
        self._find_room(frame, is_first=is_first)
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
        handler = self._handlers.get(envelope.kind)
        if handler is None:
            raise errors.UnknownKind(
                f"Expected one of {', '.join(sorted(self._handlers))},"
                f" got {wire.printable(envelope.kind)!r}, at {self.name}",
                field="kind",
                value=wire.printable(envelope.kind),
            )
        body = wire.decode_body(envelope, handler.body_type)
        self.accepted += 1
        return Request(peer, envelope, body, len(frame), answer)

    def _find_room(self, frame: bytes, *, is_first: bool) -> None:
        """Refuse what is too much for one message: its frame alone may be as large as all of it."""
        if is_first:
            self._frames_before = self._bytes_before = 0
        size = self._bytes_before + len(frame)
        if self._frames_before >= wire.MESSAGE_FRAMES_MAX:
            raise errors.LimitExceeded(
                f"Expected at most {wire.MESSAGE_FRAMES_MAX} frames in a message, got another",
                field="message",
                value=str(self._frames_before + 1),
            )
        self._frames_before += 1
        if size <= self._frame_bytes_max:
            self._bytes_before = size
        elif len(frame) <= self._frame_bytes_max:  # else it is refused for its own size
            raise errors.FrameTooLarge(
                f"Expected frames of {self._frame_bytes_max} bytes together at most, got {size}",
                field="message",
                value=str(size),
            )

    def serve(self, request: Request[Any]) -> object | None:
        """Call the handler of an opened request; return the body of its reply, if there is one."""
        return self._handlers[request.envelope.kind].function(request)

    def refusal(self, frame: bytes, error: errors.HourbookError) -> bytes:
        """Count a refusal and return the frame that tells the sender."""
        self.refused[error.code] += 1
        return wire.encode_error(
            wire.salvage_id(frame), error, src=self.name, incarnation=self.incarnation
        )

    def answer(self, request: Request[Any], body: object) -> bytes:
        """Return the reply frame for a body, or for a HourbookError."""
        request_id = request.envelope.id
        if isinstance(body, errors.HourbookError):
            self.refused[body.code] += 1
            return wire.encode_error(request_id, body, src=self.name, incarnation=self.incarnation)
        return wire.encode_reply(request_id, body, src=self.name, incarnation=self.incarnation)

    def snapshot(self) -> dict[str, float]:
        """Return the counters for a beat."""
        refused = {
            f'mailbox_refused_total{{code="{c}"}}': float(n) for c, n in self.refused.items()
        }
        return {"mailbox_accepted_total": float(self.accepted), **refused}
