"""What came of the requests to one server: counts, and the header of its last reply. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from hourbook.clock import polling
from hourbook.clock.polling import Server
from protocols import ntp
from protocols.ntp import Reply
from protocols.source_messages import ServerReport

__all__ = ["NOTHING_YET", "Tally", "answered", "rejected", "report", "requested"]

_MS_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts since the server was configured.

    Attributes:
        requests: sent.
        answers: replies that counted.
        kernel_stamps: of those, stamped by the kernel on arrival.
        rejected: (reason, count) of all that came instead, or did not come.
        reply: header of the last reply with our cookie, counted or not.
        answered_mono_ns: arrival of the last answer, 0 before the first.
    """

    requests: int = 0
    answers: int = 0
    kernel_stamps: int = 0
    rejected: tuple[tuple[str, int], ...] = ()
    reply: Reply | None = None
    answered_mono_ns: int = 0


NOTHING_YET: Final = Tally()


def requested(tally: Tally) -> Tally:
    """Count a request."""
    return replace(tally, requests=tally.requests + 1)


def answered(tally: Tally, reply: Reply, now_mono_ns: int, *, is_kernel_stamped: bool) -> Tally:
    """Count a reply that counts."""
    return replace(
        tally,
        answers=tally.answers + 1,
        kernel_stamps=tally.kernel_stamps + is_kernel_stamped,
        reply=reply,
        answered_mono_ns=now_mono_ns,
    )


def rejected(tally: Tally, reason: str, reply: Reply | None = None) -> Tally:
    """Count what was no answer; `reply` where it was at least the server's word."""
    counts = dict(tally.rejected)
    counts[reason] = counts.get(reason, 0) + 1
    return replace(tally, rejected=tuple(counts.items()), reply=reply or tally.reply)


def report(server: Server, tally: Tally, smear: str, now_mono_ns: int) -> ServerReport:
    """Return what is known of a server, for whoever asks ``clock.sources``."""
    address, reply = server.address, tally.reply
    age_ms = (now_mono_ns - tally.answered_mono_ns) // _MS_NS if tally.answers else -1
    return ServerReport(
        source=server.name,
        condition=polling.condition(server, now_mono_ns),
        address="" if address is None else _host_port(address),
        trouble=server.trouble,
        reach=server.reach,
        poll_s=server.poll_s,
        next_ms=max(server.next_mono_ns - now_mono_ns, 0) // _MS_NS,
        answer_age_ms=age_ms,
        stratum=reply.stratum if reply else 0,
        reference=ntp.reference_code(reply) if reply else "",
        reference_name=ntp.describe_reference(reply) if reply else "",
        leap=reply.leap if reply else 0,
        smear=smear,
        requests=tally.requests,
        answers=tally.answers,
        kernel_stamps=tally.kernel_stamps,
        rejected=dict(tally.rejected),
    )


def _host_port(address: polling.Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
