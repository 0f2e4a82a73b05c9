"""The exit codes of the `supervisor` command, a contract with scripts and service managers."""

from typing import Final

from protocols import errors

__all__ = [
    "ALREADY_RUNNING",
    "BAD_USAGE",
    "FAILED",
    "FIRST_START",
    "GAVE_UP",
    "INTERRUPTED",
    "OK",
    "TIMED_OUT",
    "UNREACHABLE",
    "code_of",
]

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
FIRST_START: Final = 3
ALREADY_RUNNING: Final = 4
GAVE_UP: Final = 5
UNREACHABLE: Final = 6
TIMED_OUT: Final = 7
INTERRUPTED: Final = 130

_BY_CLASS: Final[tuple[tuple[type[errors.HourbookError], int], ...]] = (
    (errors.StartFailed, FIRST_START),
    (errors.AlreadyRunning, ALREADY_RUNNING),
    (errors.SupervisorUnreachable, UNREACHABLE),
    (errors.WaitTimeout, TIMED_OUT),
    (errors.ConfigError, BAD_USAGE),
    (errors.HomeUnusable, BAD_USAGE),
    (errors.CallerError, BAD_USAGE),
)


def code_of(error: errors.HourbookError) -> int:
    """Return the exit code of a command that ended with `error`."""
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), FAILED)
