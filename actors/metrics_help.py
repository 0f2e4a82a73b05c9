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
}
