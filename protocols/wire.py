"""The envelope: how every message between two processes looks.

One ZeroMQ frame is one MessagePack map with string keys (``docs/WIRE.md``). The envelope is decoded
first and its body kept raw until the kind is known, so that a mailbox can refuse what it does not
know without having to understand it. Nothing here touches a socket.

Limits come first, because they are checked before anything is built from the bytes: size, then
depth and number of values, then version, then kind, then the body's own types.
"""

import re
from typing import Final, TypeVar

import msgspec

from protocols import errors

__all__ = [
    "DEPTH_MAX",
    "FRAME_BYTES_MAX_DEFAULT",
    "FRAME_BYTES_MAX_WIRE",
    "VALUES_MAX",
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
    "printable",
    "salvage_id",
]

VERSION: Final = 1
FRAME_BYTES_MAX_DEFAULT: Final = 1 << 20
"""What a mailbox accepts unless it says otherwise."""
FRAME_BYTES_MAX_WIRE: Final = 17 << 20
"""ZMQ_MAXMSGSIZE of every socket: libzmq drops what is larger without a word."""
DEPTH_MAX: Final = 32
VALUES_MAX: Final = 1_000_000
"""Values in one message: the walk that checks depth takes about 0.2 us for each."""

OK: Final = "ok"
ERROR: Final = "error"


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
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
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)
_version_decoder = msgspec.msgpack.Decoder(_Version)
_Body = TypeVar("_Body")

# Bytes that cannot begin a map or an array. What is left after deleting them bounds the depth.
_NOT_CONTAINER: Final = bytes(b for b in range(256) if not (0x80 <= b <= 0x9F or 0xDC <= b <= 0xDF))
_SINGLE_BYTE_VALUES: Final = re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]+")
# First byte -> (bytes of header that hold the length, fixed bytes after the header).
_SIZED: Final = {
    0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0),      # bin 8, 16, 32
    0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),      # ext 8, 16, 32
    0xCA: (0, 4), 0xCB: (0, 8),                    # float 32, 64
    0xCC: (0, 1), 0xCD: (0, 2), 0xCE: (0, 4), 0xCF: (0, 8),
    0xD0: (0, 1), 0xD1: (0, 2), 0xD2: (0, 4), 0xD3: (0, 8),
    0xD4: (0, 2), 0xD5: (0, 3), 0xD6: (0, 5), 0xD7: (0, 9), 0xD8: (0, 17),
    0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0),      # str 8, 16, 32
}  # fmt: skip
_CONTAINER_LENGTH: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def encode(envelope: Envelope) -> bytes:
    """Encode an envelope as one frame."""
    return _encoder.encode(envelope)


def encode_reply(request_id: int, body: object, *, src: str, incarnation: int = 0) -> bytes:
    """Encode the ``ok`` reply to one request; `body` is a Struct or a dict."""
    raw = msgspec.Raw(_encoder.encode(body))
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
    # Almost every honest frame passes here, at memchr speed: too few bytes could open a container.
    if len(frame) < VALUES_MAX and len(frame.translate(None, _NOT_CONTAINER)) <= DEPTH_MAX:
        return
    _walk(frame)


def decode_envelope(frame: bytes) -> Envelope:
    """Decode one frame that passed :func:`check_frame`.

    Raises:
        UnsupportedVersion: ``v`` is not ours.
        BadRequest: not an envelope.
    """
    try:
        envelope = _envelope_decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
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
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        field = "body" + path.rstrip("`")
        raise errors.BadRequest(f"{text}, at {field} of {envelope.kind}", field=field) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise errors.BadRequest(
            f"Expected the body of {envelope.kind}: {error}", field="body"
        ) from None


def salvage_id(frame: bytes) -> int:
    """Return the ``id`` of a frame that is refused, 0 where it cannot be read."""
    try:
        return _version_decoder.decode(frame).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def printable(value: object, size_max: int = 80) -> str:
    """Return `value` as one short line that is safe to print and to log."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    text = text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return text if len(text) <= size_max else text[: size_max - 3] + "..."


def _refuse_other_version(frame: bytes) -> None:
    try:
        version = _version_decoder.decode(frame).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if version != VERSION:
        raise errors.UnsupportedVersion(
            f"Expected envelope version {VERSION}, got {version}", field="v", value=str(version)
        )


def _walk(frame: bytes) -> None:
    """Walk a frame without recursion; raise at the first value that breaks a limit."""
    open_counts: list[int] = []  # values still to come at each level that is open
    remaining, position, values = 1, 0, 0
    try:
        while True:
            while remaining == 0:
                if values > VALUES_MAX:
                    raise _too_deep(values)
                if not open_counts:
                    return
                remaining = open_counts.pop()
            first = frame[position]
            if 0xA0 <= first <= 0xBF:  # fixstr: most of what is not one byte, such as keys
                position += 1 + (first & 0x1F)
                remaining, values = remaining - 1, values + 1
                continue
            run = _SINGLE_BYTE_VALUES.match(frame, position, position + remaining)
            if run is not None:
                count = run.end() - position
                position, remaining, values = run.end(), remaining - count, values + count
            else:
                remaining, values = remaining - 1, values + 1
                position, inner = _step(frame, position)
                if inner is not None:
                    open_counts.append(remaining)
                    remaining = inner
            if values > VALUES_MAX or len(open_counts) > DEPTH_MAX:
                raise _too_deep(values)
    except IndexError:
        raise errors.BadRequest(
            f"Expected a whole MessagePack value, got {len(frame)} bytes that end inside one",
            field="frame",
        ) from None


def _step(frame: bytes, position: int) -> tuple[int, int | None]:
    """Return where a scalar ends and None, or a container's inner values begin and how many."""
    first = frame[position]
    position += 1
    if 0x80 <= first <= 0x9F:  # fixmap, fixarray
        return position, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first in _SIZED:
        header_size, extra_size = _SIZED[first]
        size = int.from_bytes(frame[position : position + header_size], "big") + extra_size
        return position + header_size + size, None
    if first in _CONTAINER_LENGTH:
        header_size = _CONTAINER_LENGTH[first]
        count = int.from_bytes(frame[position : position + header_size], "big")
        return position + header_size, count * (2 if first >= 0xDE else 1)
    raise errors.BadRequest(f"Expected a MessagePack value, got byte 0x{first:02x}", field="frame")


def _too_deep(values: int) -> errors.FrameTooDeep:
    if values > VALUES_MAX:
        return errors.FrameTooDeep(
            f"Expected at most {VALUES_MAX} values in a message, got more", field="frame"
        )
    return errors.FrameTooDeep(
        f"Expected nesting of at most {DEPTH_MAX} levels, got more", field="frame"
    )
