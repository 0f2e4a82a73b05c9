"""A reply that counts, as the sample that clock_model judges. Pure."""

from hourbook.clock import reference
from hourbook.clock.datagram import Answer
from hourbook.clock.polling import Server
from protocols.clock_messages import ClockSample

__all__ = ["sample_of"]


def sample_of(server: Server, answer: Answer, family: str) -> ClockSample:
    """Return what a server has answered.

    Args:
        server: that has an address, as it is after the answer.
        answer: of that server.
        family: in which way it serves leap seconds, "" where it does not smear.
    """
    assert server.address is not None, "who answered has an address"
    reply = answer.reply
    return ClockSample(
        source=server.name,
        identity=reference.identity_of(server.address.host),
        upstream=reference.upstream_of(reply),
        stratum=reply.stratum,
        leap=reply.leap,
        raw_ns=answer.raw_ns,
        utc_ns=answer.measurement.utc_ns,
        half_width_ns=answer.half_width.total_ns,
        terms=answer.half_width._asdict(),
        realtime_offset_ns=answer.realtime_offset_ns,
        delay_ns=answer.measurement.delay_ns,
        root_delay_ns=reply.root_delay_ns,
        root_dispersion_ns=reply.root_dispersion_ns,
        poll_s=server.poll_s,
        origin="ntp",
        smear=family,
    )
