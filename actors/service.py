"""How the frames of a mailbox are served, whichever loop has read them. An edge: it logs."""

import logging
from collections.abc import Callable
from typing import Any

from actors import guard
from actors.contract import Request
from actors.mailbox import Mailbox
from actors.repeats import Repeats
from actors.replies import Replies
from hourbook.home import Home
from protocols import errors, wire

__all__ = ["Service"]

_log = logging.getLogger(__name__)


class Service:
    """The mailbox of one actor, with its replies."""

    def __init__(
        self, mailbox: Mailbox, replies: Replies, home: Home, wall_ns: Callable[[], int]
    ) -> None:
        self._mailbox, self._replies = mailbox, replies
        self._home, self._wall_ns = home, wall_ns
        self._repeats = Repeats()

    def serve(self, peer: bytes, frame: bytes, index: int, now_mono_ns: int) -> None:
        """Serve one frame, or refuse it.

        Args:
            peer: who sent it.
            frame: an envelope.
            index: of the frame in its message, from 0 on.
            now_mono_ns: CLOCK_MONOTONIC.
        """
        mailbox = self._mailbox
        if index == 1:
            self._replies.hear_joined(peer)
        try:
            request = mailbox.open(peer, frame, index, now_mono_ns, self._answer)
        except errors.HourbookError as error:
            self._log_refusal(frame, error, now_mono_ns)
            self._replies.add(peer, mailbox.refusal(wire.salvage_id(frame), error))
            return
        body = guard.serve(mailbox, request, frame, self._home, self._wall_ns)
        if body is not None:
            self._answer(request, body)

    def _answer(self, request: Request[Any], body: object) -> None:
        mailbox, request_id = self._mailbox, request.envelope.id
        if isinstance(body, errors.HourbookError):
            frame = mailbox.refusal(request_id, body)
        else:
            frame = wire.encode_reply(
                request_id, body, src=mailbox.name, incarnation=mailbox.incarnation
            )
        self._replies.add(request.peer, frame)

    def _log_refusal(self, frame: bytes, error: errors.HourbookError, now_mono_ns: int) -> None:
        """Say what was refused because it was malformed."""
        if not isinstance(error, errors.CallerError) or isinstance(error, errors.UnknownKind):
            return
        if (remark := self._repeats.remark(error.code, now_mono_ns)) is not None:
            _log.warning("refused: %s; first bytes %s%s", error, frame[:64].hex(), remark)
