"""What the `hourbook` command exits with, by who must act. Pure; docs/CLI.md has the same table."""

from typing import Final

from protocols import errors

__all__ = [
    "BROKEN_PIPE",
    "FOUND_WRONG",
    "INTERNAL",
    "INTERRUPTED",
    "OK",
    "OPERATOR",
    "TIMED_OUT",
    "UNREACHABLE",
    "USAGE",
    "exit_code_of",
]

OK: Final = 0
FOUND_WRONG: Final = 1
"""The command was understood and has done its work, and the answer is no."""
USAGE: Final = 2
OPERATOR: Final = 3
"""The machine, a file or the configuration must be changed."""
UNREACHABLE: Final = 6
TIMED_OUT: Final = 7
INTERNAL: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
"""As a shell reports a program that SIGPIPE ended: whoever read our output has gone."""


def exit_code_of(error: errors.HourbookError) -> int:
    """Return the exit code that tells a script who must act on an error."""
    match error:
        case TimeoutError():
            return TIMED_OUT
        case errors.VersionConflict() | errors.TokenStale() | errors.BranchConflict():
            return FOUND_WRONG  # somebody was faster: the same words may do after another look
        case errors.CallerError():
            return USAGE
        case errors.OperatorError():
            return OPERATOR
        case errors.WorldError():
            return UNREACHABLE
        case _:
            return INTERNAL
