"""The configuration of every actor, as frozen structs: light to import, so that validation is too.

Each field names its unit and range; ``deploy/hourbook.toml`` shows them all, and a test keeps the
two in step. Unknown keys are refused.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from hourbook.book.archive.retention import Rule

__all__ = [
    "LOCAL_DAEMON",
    "ClockModelConfig",
    "CompactorConfig",
    "JournalWriterConfig",
    "McpServerConfig",
    "MetricsConfig",
    "NtpSamplerConfig",
    "ShmPublisherConfig",
]

# A description is how a mistake is worded: "must be HOST:PORT". (\Z, since $ allows a line break.)
Schedule = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(|every [1-9][0-9]{0,5} ?[smhd]|([0-9a-zA-Z*,/-]+ ){4}[0-9a-zA-Z*,/-]+)\Z",
        description='a cron line of five fields, "every N s|m|h|d", or "" for never',
    ),
]
_HOST = r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)"
_PORT = r"0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})"  # 0..65535
Listen = Annotated[str, msgspec.Meta(pattern=rf"^{_HOST}:{_PORT}\Z", description="HOST:PORT")]
Server = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^{_HOST}(:{_PORT})?\Z",
        max_length=260,
        description="HOST or HOST:PORT",
    ),
]
AbsolutePath = Annotated[
    str, msgspec.Meta(pattern=r"^(|/[^\0]+)\Z", description='an absolute path, or "" for none')
]
Family = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,16}\Z", description='a word such as "linear24"')
]

Plugin = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}\Z", description='a name such as "chronos-bolt"'
    ),
]

LOCAL_DAEMON: Final = "127.0.0.1:123"
"""The name under which a machine's own chronyd or ntpd is a source."""


class _Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all configurations share: unknown keys are mistakes."""


class NtpSamplerConfig(_Config, frozen=True):
    """Where time comes from."""

    servers: Annotated[tuple[Server, ...], msgspec.Meta(max_length=16)] = (
        "0.pool.ntp.org",
        "1.pool.ntp.org",
        "2.pool.ntp.org",
        "3.pool.ntp.org",
    )
    """NTP servers, "host" or "host:port" (0..16 of them)."""
    smear: dict[str, Family] = {}
    """How servers serve a leap second: {"SERVER" = "linear24"} or any word, the same for the same
    smear; "none" does not smear. Google's, Amazon's and Meta's are known."""
    local_daemon: bool = True
    """Ask 127.0.0.1:123 too; a machine's own chronyd or ntpd counts as a source if it answers."""
    poll_min_s: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Shortest poll (seconds, 1..256). Below 16 only servers on the loopback are polled faster."""
    poll_max_s: Annotated[int, msgspec.Meta(ge=1, le=256)] = 256
    """Longest poll, reached by far servers when all is calm (seconds, poll_min_s..256)."""
    burst_count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 4
    """Requests in quick succession at the start (count, 1..8)."""
    burst_interval_s: Annotated[float, msgspec.Meta(ge=0.05, le=16)] = 2.0
    """Between them (seconds, 0.05..16). Below 2 only for servers on the loopback."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=10)] = 2.0
    """How long a reply is waited for (seconds, 0.05..10)."""
    kernel_fallback: bool = True
    """Use the kernel's own view of its clock as long as no server has ever answered."""
    kernel_after_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.7
    """How long servers have before the kernel is asked (seconds, 0..60)."""
    kernel_floor_s: Annotated[float, msgspec.Meta(ge=0, le=16)] = 0.1
    """Added to the error that the kernel admits; some daemons set that to 0 (seconds, 0..16)."""
    assume_realtime_error_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    """Assert that this machine's clock is never wrong by more (seconds); 0 asserts nothing."""

    def __post_init__(self) -> None:
        """Check what one field alone does not show."""
        if self.poll_min_s > self.poll_max_s:
            raise ValueError(f"poll_min_s must be <= poll_max_s, {self.poll_max_s}")
        if len(set(self.servers)) < len(self.servers):
            raise ValueError("servers must not name the same one twice")
        if strangers := self.smear.keys() - {*self.servers, LOCAL_DAEMON}:
            raise ValueError(f"smear must only name servers, not {min(strangers)!r}")


class ClockModelConfig(_Config, frozen=True):
    """How samples become an estimate."""

    max_drift_ppb: Annotated[int, msgspec.Meta(ge=1_000, le=500_000)] = 50_000
    """How far the oscillator may stray from its measured rate (ppb, 1000..500000): the premise of
    every interval."""
    max_drift_unproven_ppb: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000)] = 500_000
    """How far it may stray from its nominal rate before one was measured (ppb, max_drift_ppb..)."""
    step_threshold_s: Annotated[float, msgspec.Meta(ge=0.001, le=3600)] = 0.128
    """A correction beyond this begins a new epoch; a smaller one is slewed (seconds)."""
    void_after_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 1000
    """UNKNOWN without an accepted sample for so long (seconds, 60..86400)."""
    save_interval_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0
    """How often the drift file is written (seconds, 1..86400)."""
    forecasters: Annotated[tuple[Plugin, ...], msgspec.Meta(max_length=8)] = ()
    """Forecaster plug-ins that join the estimate, by name (0..8 of them; docs/FORECASTERS.md)."""
    forecaster_options: dict[Plugin, dict[str, Any]] = {}
    """What each is given: {"chronos-bolt" = {path = "/srv/models/chronos-bolt-small"}}."""
    forecaster_timeout_s: Annotated[float, msgspec.Meta(ge=0.05, le=600)] = 5.0
    """How long an answer of one may take (seconds, 0.05..600): one that takes longer is killed."""
    forecaster_load_timeout_s: Annotated[float, msgspec.Meta(ge=0.5, le=3600)] = 60.0
    """How long one may take to load (seconds, 0.5..3600)."""

    def __post_init__(self) -> None:
        """Check what one field alone does not show."""
        if self.forecasters or self.forecaster_options:
            _check_forecasters(self.forecasters, self.forecaster_options)
        if self.max_drift_ppb > self.max_drift_unproven_ppb:
            raise ValueError(
                f"max_drift_ppb must be <= max_drift_unproven_ppb, {self.max_drift_unproven_ppb}"
            )


def _check_forecasters(names: tuple[str, ...], options: Mapping[str, object]) -> None:
    from hourbook import forecasters  # noqa: PLC0415 - reads what is installed: only where asked

    if len(set(names)) < len(names):
        raise ValueError("forecasters must not name the same one twice")
    if strangers := options.keys() - {*names}:
        raise ValueError(f"forecaster_options must only name forecasters, not {min(strangers)!r}")
    if unknown := forecasters.unknown(names):
        known = ", ".join(forecasters.installed()) or "none is"
        raise ValueError(f"forecasters must name installed ones ({known}), not {unknown[0]!r}")


class ShmPublisherConfig(_Config, frozen=True):
    """How the estimate is published."""

    freq_hz: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 100.0
    """Publications a second (Hz, 1..1000)."""
    slew_ppm_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500
    """Fastest slew of the output towards the estimate (ppm, 1..100000)."""
    step_threshold_s: Annotated[float, msgspec.Meta(ge=0.001, le=3600)] = 0.128
    """An output further from the estimate jumps to it; a new epoch begins (seconds)."""
    vmclock_path: str = "/dev/vmclock0"
    """Where a hypervisor tells of migrations (path); "" looks nowhere."""
    clockbound_path: str = ""
    """Publish for ClockBound clients, too, in this file (path); "" does not. A file that another
    program made is never touched."""


class JournalWriterConfig(_Config, frozen=True):
    """How the book is written."""

    size_max_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Largest size of the database (MiB, >= 0; 0 is no limit): beyond it appends hear DiskFull."""
    wal_truncate_mib: Annotated[int, msgspec.Meta(ge=1)] = 256
    """Size of the log at which it is cut back to nothing (MiB, >= 1)."""
    cached_max_mib: Annotated[int, msgspec.Meta(ge=1)] = 64
    """What cached keys may weigh together (MiB, >= 1): beyond it the least lately used go."""
    transient_max_mib: Annotated[int, msgspec.Meta(ge=1)] = 256
    """What transient keys may weigh together (MiB, >= 1): beyond it writes are refused."""
    redact: Annotated[tuple[Plugin, ...], msgspec.Meta(max_length=64)] = ()
    """Built-in rules by which secrets are taken out of whatever is written, such as
    "github-token"; "all" for every one (docs/OPERATIONS.md). [] writes what it is given."""
    redact_patterns: dict[Plugin, Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]] = {}
    """Rules of your own: {"our-token" = "OUR-[0-9]{8}"}, as RE2 reads patterns; the group
    `secret`, else all that fits, is replaced."""

    def __post_init__(self) -> None:
        """Check what one field alone does not show."""
        if self.redact or self.redact_patterns:
            _check_rules(self.redact, self.redact_patterns)


def _check_rules(names: tuple[str, ...], patterns: Mapping[str, str]) -> None:
    from hourbook.book.screening import rules  # noqa: PLC0415 - only where asked

    if strangers := rules.unknown(names):
        known = ", ".join((rules.ALL, *rules.BUILT_IN))
        raise ValueError(f"redact must name rules ({known}), not {strangers[0]!r}")
    if doubles := patterns.keys() & {rules.ALL, *rules.BUILT_IN}:
        raise ValueError(f"redact_patterns must not be named as a built-in rule: {min(doubles)!r}")
    rules.compile_rules(names, patterns)


class CompactorConfig(_Config, frozen=True):
    """What runs by the calendar.

    A schedule is a cron line (minute hour day month weekday, local time), ``every N s|m|h|d``, or
    "" for never.
    """

    verify: Schedule = "30 3 * * *"
    """When the whole book is verified."""
    backup: Schedule = "0 3 * * *"
    """When the book is copied to ``<home>/backup``."""
    checkpoint: Schedule = "every 1 h"
    """When the log is moved into the database, however busy the writer is."""
    compact: Schedule = "15 4 * * *"
    """When details that are old enough leave the database, by the rules of `retention`, and
    versions of keys are forgotten, by `store_history_s` and `store_versions`."""
    retention: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=64)] = (
        Rule(do="archive", after="90 d"),
    )
    """What becomes of the details of old entries; the first rule that fits and is due decides.
    Each: `do` = "archive" (compressed files, read as before), "drop" (gone for good, with a signed
    record) or "keep"; `kind` and `action` of the entries, with * and ?; `after` = "N h" or "N d"
    (24 h at least). [] leaves everything where it is."""
    store_history_s: Annotated[int, msgspec.Meta(ge=0, le=10**10)] = 30 * 86_400
    """From so long ago on it is known what the store held at any moment (seconds, >= 0). Versions
    of keys that were superseded before are forgotten; their entries stay."""
    store_versions: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    """Versions of a key of type `versioned` that stay, however old they are (count, >= 1)."""
    backups_kept: Annotated[int, msgspec.Meta(ge=1)] = 7
    """Copies kept in ``<home>/backup``, the newest ones (count, >= 1)."""
    witness: Schedule = "every 1 h"
    """When the head of the book is given away, if one of the next two says where to."""
    witness_file: AbsolutePath = ""
    """File that always holds the newest head, best on another machine's disk; "" for none."""
    witness_command: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """Program and its arguments (no shell) that reads the head from stdin, within 60 s."""


class McpServerConfig(_Config, frozen=True):
    """The MCP endpoint."""

    listen: Listen = "127.0.0.1:8807"
    """Address and port (port 0: any free one, shown in the status)."""
    token_file: str = ""
    """File (mode 0600, at least 16 bytes) with the bearer token that clients must present."""
    token_env: str = ""
    """Or the environment variable that holds it. Neither: no token is asked for."""
    allowed_hosts: tuple[str, ...] = ()
    """Host headers accepted beside 127.0.0.1, localhost and [::1], as ``name:port``."""
    allowed_origins: tuple[str, ...] = ()
    """Origin headers of browsers accepted beside the local ones, as ``https://name:port``."""


class MetricsConfig(_Config, frozen=True):
    """The Prometheus endpoint."""

    listen: Listen = "127.0.0.1:9464"
    """Address and port (port 0: any free one, shown in the status)."""
