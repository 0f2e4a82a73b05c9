"""What each number that actors report means: the HELP lines of the metrics. Pure data."""

from collections.abc import Mapping
from typing import Final

__all__ = ["HELP"]

HELP: Final[Mapping[str, str]] = {
    "mailbox_accepted_total": "Messages accepted by the mailbox.",
    "mailbox_refused_total": "Messages refused by the mailbox, by error code.",
    "peer_dropped_total": "Messages dropped because the queue to a peer was full.",
    "peer_errors_total": "Error replies of peers, by code.",
    "replies_dropped_total": "Replies whose receiver was gone or read nothing.",
    "beats_dropped_total": "Beats that the supervisor did not take in time.",
    "scrapes_total": "Scrapes answered.",
    "scrapes_failed_total": "Scrapes during which the supervisor did not answer.",
    "scrapes_aborted_total": "Scrapers that hung up before their answer.",
    "scrapes_refused_total": "Connections refused because too many were open.",
    "mcp_requests_total": "HTTP requests to the MCP endpoint, by status code.",
    "ntp_requests_total": "Requests sent to an NTP server.",
    "ntp_answers_total": "Replies of an NTP server that counted.",
    "ntp_rejected_total": "Exchanges without a measurement, and foreign datagrams, by reason.",
    "ntp_reach": "How many of the last eight requests to a server were answered.",
    "clock_half_width_seconds": "Distance from the centre to the farther end of the interval.",
    "clock_samples_total": "Samples that moved the estimate.",
    "clock_samples_rejected_total": "Samples that were not taken, by reason.",
    "clock_steps_total": "Corrections that began a new epoch.",
    "clock_disruptions_total": "Times that the clock's history was thrown away.",
    "clock_bound_violations_total": "Intervals that their successor contradicted.",
    "clock_saves_failed_total": "Drift files that could not be written.",
    "clock_status": "0 unknown, 1 synchronized, 2 free-running, 3 disrupted.",
    "clock_offset_seconds": "Hourbook's UTC minus the kernel's clock.",
    "clock_rate_ppb": "Rate of UTC against the oscillator, minus one.",
    "clock_growth_ppb": "How fast each side of the interval widens.",
    "clock_sigma_seconds": "Standard error of the centre.",
    "clock_confidence": "Agreement of the sources, fill of their registers, age; 0 to 1.",
    "clock_sources": "Sources that have a vote.",
    "clock_sources_selected": "Sources that agree.",
}
