"""Who a server is: by its configured name, and in the 4 bytes of NTP's reference ids. Pure.

A server that follows another names it by its IPv4 address, or by the first bytes of the MD5 of its
IPv6 address (RFC 5905, 7.3). Two of our sources that follow the same one are one witness.
"""

import hashlib
import ipaddress
from typing import Final

from protocols.ntp import Reply

__all__ = ["follows_own_clock", "identity_of", "split_name", "upstream_of"]

_NTP_PORT: Final = 123
_LOOPBACK: Final = 127
"""What is on the server itself: many servers name it so, and mean many things."""
_OWN_CLOCK: Final = b"\x7f\x7f\x01"
"""127.127.1.u, the driver LOCL: the server's own clock, disciplined by nothing."""


def identity_of(host: str) -> str:
    """Return the reference id that clients of a server carry; "" on the loopback."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_loopback:
        return ""
    if address.version == 4:  # noqa: PLR2004 - IPv4
        return address.packed.hex()
    return hashlib.md5(address.packed, usedforsecurity=False).digest()[:4].hex()


def follows_own_clock(reply: Reply) -> bool:
    """Say whether a server serves its machine's clock as it is."""
    return reply.stratum > 1 and reply.reference_id[:3] == _OWN_CLOCK


def upstream_of(reply: Reply) -> str:
    """Return what a server follows; "" where that is a clock of its own."""
    if reply.stratum == 1 or reply.reference_id[0] in (0, _LOOPBACK):
        return ""
    return reply.reference_id.hex()


def split_name(name: str) -> tuple[str, int]:
    """Split "host", "host:port", "[v6]" or "[v6]:port"."""
    host, separator, port = name.rpartition(":")
    if not separator or name.endswith("]"):
        host, port = name, ""
    return host.strip("[]"), int(port) if port else _NTP_PORT
