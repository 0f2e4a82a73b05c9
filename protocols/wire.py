"""The envelope: how every message between two processes looks.

One ZeroMQ frame is one MessagePack map with string keys (``docs/WIRE.md``), and a message is one
frame or some. The envelope is decoded
first and its body kept raw until the kind is known, so that a mailbox can refuse what it does not
know without having to understand it. Nothing here touches a socket.

Limits come first, because they are checked before anything is built from the bytes: size, then
depth and number of values, then version, then kind, then the body's own types.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from protocols import _frames, errors

__all__ = [
    "DEPTH_MAX",
    "FRAME_BYTES_MAX_DEFAULT",
    "FRAME_BYTES_MAX_WIRE",
    "MESSAGE_FRAMES_MAX",
    "UNDECODABLE",
    "VALUES_MAX",
    "VALUE_DEPTH_MAX",
    "VERSION",
    "Envelope",
    "ErrorBody",
    "check_frame",
    "decode_body",
    "decode_envelope",
    "encode",
    "encode_error",
    "encode_reply",
    "error_of",
    "no_body",
    "printable",
    "salvage_id",
]

VERSION: Final = 1
FRAME_BYTES_MAX_DEFAULT: Final = 1 << 20
"""What a mailbox accepts unless it says otherwise."""
FRAME_BYTES_MAX_WIRE: Final = 17 << 20
"""Of every socket: a connection that brings a larger one ends without a word."""
MESSAGE_FRAMES_MAX: Final = 64
"""Envelopes in one message; each is judged by itself."""
DEPTH_MAX: Final = _frames.DEPTH_MAX
VALUE_DEPTH_MAX: Final = DEPTH_MAX - 4
"""Of a value, or of details, which lie in the envelope, its body, a list and one map of that."""
VALUES_MAX: Final = 1_000_000
"""Values in one message; to build them takes about 0.1 us for each."""
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises of bytes that are not what was expected."""

OK: Final = "ok"
ERROR: Final = "error"


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What is common to all messages.

    Attributes:
        kind: what the message asks for or reports; replies are ``ok`` and ``error``.
        id: chosen by the sender, unique for it within its life.
        src: the sender's name.
        body: a map whose keys the kind defines, still encoded.
        corr: in a reply, the ``id`` that it answers.
        incarnation: of the sender, counted by its supervisor; 0 outside the tree.
        deadline_mono_ns: CLOCK_MONOTONIC after which the sender no longer waits; 0 is never.
        attempt: counts from 1; a resend carries the same id.
        v: version of this envelope.
    """

    kind: str
    id: int
    src: str = ""
    body: msgspec.Raw = msgspec.Raw(b"\x80")
    corr: int | None = None
    incarnation: int = 0
    deadline_mono_ns: int = 0
    attempt: int = 1
    v: int = VERSION


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an ``error`` reply."""

    code: str
    message: str
    field: str = ""
    value: str = ""
    hint: str = ""


class _Version(msgspec.Struct):
    v: int = VERSION
    id: int = 0


_encoder = msgspec.msgpack.Encoder()
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_version_decoder = msgspec.msgpack.Decoder(_Version)
_Body = TypeVar("_Body")

encode: Final[Callable[[Envelope], bytes]] = _encoder.encode
"""Encodes an envelope as one frame."""


def encode_reply(request_id: int, body: object, *, src: str, incarnation: int = 0) -> bytes:
    """Encode the ``ok`` reply to one request; `body` is a Struct, a dict, or one encoded."""
    raw = body if type(body) is msgspec.Raw else msgspec.Raw(_encoder.encode(body))
    reply = Envelope(
        kind=OK, id=request_id, corr=request_id, src=src, incarnation=incarnation, body=raw
    )
    return _encoder.encode(reply)


def encode_error(
    request_id: int, error: errors.HourbookError, *, src: str, incarnation: int = 0
) -> bytes:
    """Encode the ``error`` reply to one request."""
    body = ErrorBody(error.code, error.message, error.field, error.value, error.hint)
    raw = msgspec.Raw(_encoder.encode(body))
    reply = Envelope(
        kind=ERROR, id=request_id, corr=request_id, src=src, incarnation=incarnation, body=raw
    )
    return _encoder.encode(reply)


def error_of(envelope: Envelope) -> errors.HourbookError | None:
    """Return the exception that an ``error`` reply stands for, None for any other envelope."""
    if envelope.kind != ERROR:
        return None
    body = decode_body(envelope, ErrorBody)
    return errors.from_code(
        body.code, body.message, field=body.field, value=body.value, hint=body.hint
    )


def check_frame(frame: bytes, limit_bytes: int = FRAME_BYTES_MAX_DEFAULT) -> None:
    """Refuse a frame that is too large, too deep or holds too many values, before decoding it.

    Raises:
        FrameTooLarge: more than `limit_bytes`.
        FrameTooDeep: nested deeper than DEPTH_MAX, or more than VALUES_MAX values.
        BadRequest: not one whole MessagePack value.
    """
    if len(frame) > limit_bytes:
        raise errors.FrameTooLarge(
            f"Expected a message of at most {limit_bytes} bytes, got {len(frame)}",
            field="frame",
            value=str(len(frame)),
        )
    found = _frames.walk(frame, VALUES_MAX)
    if found != _frames.WHOLE:
        raise _unwalkable(found, len(frame))


def decode_envelope(frame: bytes) -> Envelope:
    """Decode one frame that passed :func:`check_frame`.

    Raises:
        UnsupportedVersion: ``v`` is not ours.
        BadRequest: not an envelope.
    """
    try:
        envelope = _decode_envelope(frame)
    except UNDECODABLE as error:
        _refuse_other_version(frame)
        raise errors.BadRequest(f"Expected an envelope: {error}", field="envelope") from None
    if envelope.v != VERSION:
        _refuse_other_version(frame)
    return envelope


def decode_body(envelope: Envelope, body_type: type[_Body]) -> _Body:
    """Decode the body of an envelope as `body_type`.

    Raises:
        BadRequest: a field is missing or has the wrong type; `field` is its path.
    """
    try:
        return msgspec.msgpack.decode(envelope.body, type=body_type)
    except UNDECODABLE as error:
        raise no_body(envelope, error) from None


def no_body(envelope: Envelope, error: Exception) -> errors.BadRequest:
    """Return the refusal of a body that failed to decode, by one of UNDECODABLE."""
    if not isinstance(error, msgspec.ValidationError):
        return errors.BadRequest(f"Expected the body of {envelope.kind}: {error}", field="body")
    text, _, path = str(error).partition(" - at `$")
    field = "body" + path.rstrip("`")
    return errors.BadRequest(f"{text}, at {field} of {envelope.kind}", field=field)


def salvage_id(frame: bytes) -> int:
    """Return the ``id`` of a frame that is refused, 0 where it cannot be read."""
    try:
        return _version_decoder.decode(frame).id
    except UNDECODABLE:
        return 0


def printable(value: object, size_max: int = 80) -> str:
    """Return `value` as one short line that is safe to print and to log."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return text if len(text) <= size_max else text[: size_max - 3] + "..."


def _unwalkable(found: int, size: int) -> errors.HourbookError:
    if found == _frames.TOO_DEEP:
        text = (
            f"Expected nesting of at most {DEPTH_MAX} levels, {VALUE_DEPTH_MAX} of them of a value"
            " or details, got more"
        )
        return errors.FrameTooDeep(text, field="frame")
    if found == _frames.TOO_MANY:
        text = f"Expected at most {VALUES_MAX} values in a message, got more"
        return errors.FrameTooDeep(text, field="frame")
    if found == _frames.NO_VALUE:
        return errors.BadRequest("Expected a MessagePack value, got byte 0xc1", field="frame")
    return errors.BadRequest(
        f"Expected a whole MessagePack value, got {size} bytes that end inside one", field="frame"
    )


def _refuse_other_version(frame: bytes) -> None:
    try:
        version = _version_decoder.decode(frame).v
    except UNDECODABLE:
        return
    if version != VERSION:
        raise errors.UnsupportedVersion(
            f"Expected envelope version {VERSION}, got {version}", field="v", value=str(version)
        )
