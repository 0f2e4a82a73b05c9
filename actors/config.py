"""The configuration of every actor, as frozen structs: light to import, so that validation is too.

Each field names its unit and range; ``deploy/hourbook.toml`` shows them all, and a test keeps the
two in step. Unknown keys are refused.
"""

from typing import Annotated

import msgspec

__all__ = [
    "ClockModelConfig",
    "CompactorConfig",
    "JournalWriterConfig",
    "McpServerConfig",
    "MetricsConfig",
    "NtpSamplerConfig",
    "ShmPublisherConfig",
]

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Listen = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}$")]


class _Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all configurations share: unknown keys are mistakes."""


class NtpSamplerConfig(_Config, frozen=True):
    """Where time comes from. Extended by its owner."""


class ClockModelConfig(_Config, frozen=True):
    """How samples become an estimate. Extended by its owner."""


class ShmPublisherConfig(_Config, frozen=True):
    """How the estimate is published."""

    freq_hz: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 100.0
    """Publications a second (Hz, 1..1000)."""


class JournalWriterConfig(_Config, frozen=True):
    """How the book is written. Extended by its owner."""


class CompactorConfig(_Config, frozen=True):
    """What runs by the calendar. Extended by its owner."""


class McpServerConfig(_Config, frozen=True):
    """The MCP endpoint."""

    listen: Listen = "127.0.0.1:8807"
    """Address and port (port 0: any free one, shown in the status)."""


class MetricsConfig(_Config, frozen=True):
    """The Prometheus endpoint."""

    listen: Listen = "127.0.0.1:9464"
    """Address and port (port 0: any free one, shown in the status)."""
