"""What the supervisor itself can be told: the ``[supervisor]`` table of ``hourbook.toml``."""

from typing import Annotated, Literal

import msgspec

__all__ = ["LogLevel", "Settings"]

LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The supervisor's own settings.

    Attributes:
        log_level: the least that the supervisor and its actors log.
        log_file_mib: a log file is rotated at this size (MiB, 1..4096).
        log_files: log files kept for each actor, the newest included (count, 1..100).
        log_line_bytes: longer lines are cut (bytes, 80..1048576).
    """

    log_level: LogLevel = "info"
    log_file_mib: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 16
    log_files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    log_line_bytes: Annotated[int, msgspec.Meta(ge=80, le=1_048_576)] = 8192
