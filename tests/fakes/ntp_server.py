"""A scripted NTP server on the loopback: honest unless told otherwise, datagram by datagram."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from protocols import ntp

__all__ = ["NtpServer", "has_ipv6_loopback", "reply_to", "scripted_server"]

Script = Callable[[bytes, int], list[bytes]]
"""From a request and its number (counts from 0) to the datagrams that answer it."""


def reply_to(
    request: bytes,
    *,
    offset_ns: int = 0,
    leap: int = 0,
    version: int = 4,
    mode: int = 4,
    stratum: int = 2,
    precision: int = -20,
    root_delay_s: float = 0.001,
    root_dispersion_s: float = 0.001,
    reference_id: bytes = b"\xc0\x00\x02\x01",
    origin: int | None = None,
    receive: int | None = None,
    transmit: int | None = None,
) -> bytes:
    """Build a reply to `request`, honest but for the fields that are given."""
    now = ntp.to_timestamp(time.time_ns() + offset_ns)
    cookie = struct.unpack(">Q", request[40:48])[0]
    return struct.pack(
        ">BBbbII4sQQQQ",
        leap << 6 | version << 3 | mode,
        stratum,
        6,
        precision,
        round(root_delay_s * 65536),
        round(root_dispersion_s * 65536),
        reference_id,
        now,
        cookie if origin is None else origin,
        now if receive is None else receive,
        now if transmit is None else transmit,
    )


def has_ipv6_loopback() -> bool:
    """Say whether a server can listen on ::1 here."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@dataclass
class NtpServer:
    """Where it listens, and what it has heard."""

    name: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def scripted_server(script: Script, host: str = "127.0.0.1") -> Iterator[NtpServer]:
    """Answer each request by the script until the block ends."""
    is_ipv6 = ":" in host
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(0.02)
    shown = f"[{host}]" if is_ipv6 else host
    server = NtpServer(f"{shown}:{sock.getsockname()[1]}")
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                request, client = sock.recvfrom(1024)
            except TimeoutError:
                continue
            server.requests.append(request)
            for datagram in script(request, len(server.requests) - 1):
                sock.sendto(datagram, client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        thread.join()
        sock.close()
