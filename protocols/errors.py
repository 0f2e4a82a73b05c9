"""Every error a user can meet, by who must act.

The tree under :class:`HourbookError` has four branches: the *caller* passed something wrong, the
*operator* must change the machine or the config, the *world* did not answer, or *we* are wrong.
Each class carries a ``code``: the word that travels in an error reply, so that a client of any
language can tell them apart, and from which :func:`from_code` builds the class again.

Messages read ``Expected `stratum` in 1..15, got 0, from 192.0.2.1``: expected, got, where.
"""

from typing import ClassVar

__all__ = [
    "ActorUnreachable",
    "AddressUnusable",
    "AlreadyPresent",
    "AlreadyRunning",
    "ArchiveDamaged",
    "BadRequest",
    "BookClosed",
    "BookCorrupt",
    "BookMissing",
    "BranchConflict",
    "CallerError",
    "ClockUnavailable",
    "Compacted",
    "ConfigError",
    "DeadlineExceeded",
    "DiskFull",
    "ForecasterFailed",
    "FrameTooDeep",
    "FrameTooLarge",
    "HomeUnusable",
    "HourbookError",
    "InternalError",
    "LimitExceeded",
    "LockTimeout",
    "MissingExtra",
    "MixedDurability",
    "NameTaken",
    "NeedsWriter",
    "NeverConverged",
    "NonceExpired",
    "NotInBook",
    "OperatorError",
    "OutcomeUnknown",
    "QueryTimeout",
    "Redacted",
    "Restarting",
    "SchemaViolation",
    "SourceUnreachable",
    "StartFailed",
    "SupervisorUnreachable",
    "TokenStale",
    "UnknownKind",
    "UnknownName",
    "UnsupportedVersion",
    "UsedAfterFork",
    "VersionConflict",
    "WaitTimeout",
    "WorldError",
    "from_code",
]

_BY_CODE: dict[str, type["HourbookError"]] = {}


class HourbookError(Exception):
    """Root of every error that Hourbook raises on purpose.

    Args:
        message: expected, got, where, in one line.
        field: the path of the offending field, or "" where none is to blame.
        value: what was got, shortened and made printable.
        hint: the command or change that mends it, or "".
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, field: str = "", value: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = value
        self.hint = hint

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _BY_CODE.setdefault(cls.code, cls)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class CallerError(HourbookError):
    """The caller passed something wrong; the same call will fail again."""

    code = "caller_error"


class OperatorError(HourbookError):
    """The machine or the configuration must be changed."""

    code = "operator_error"


class WorldError(HourbookError):
    """Something outside did not answer; trying again may help."""

    code = "world_error"


class InternalError(HourbookError, RuntimeError):
    """We are wrong. Please report it."""

    code = "internal_error"


# -- caller -------------------------------------------------------------------------------------


class BadRequest(CallerError, ValueError):
    """A field is missing, has the wrong type, or is out of its range."""

    code = "bad_request"


class LimitExceeded(CallerError, ValueError):
    """Larger, longer or more than a named limit allows."""

    code = "limit_exceeded"


class FrameTooLarge(LimitExceeded):
    """A message is larger than its mailbox accepts."""

    code = "frame_too_large"


class FrameTooDeep(LimitExceeded):
    """A message nests maps and arrays deeper than the limit, or holds too many values."""

    code = "frame_too_deep"


class UnknownKind(CallerError, LookupError):
    """The mailbox knows no message of this kind."""

    code = "unknown_kind"


class UnknownName(CallerError, LookupError):
    """The supervisor has no actor or node of this name."""

    code = "unknown_name"


class AlreadyPresent(CallerError, ValueError):
    """What was to be started or added is there already."""

    code = "already_present"


class Restarting(CallerError, RuntimeError):
    """An actor or node is between two incarnations; ask again, or stop it."""

    code = "restarting"


class DeadlineExceeded(CallerError, TimeoutError):
    """The message reached its actor after its own deadline; nothing was done."""

    code = "deadline_exceeded"


class NonceExpired(CallerError, ValueError):
    """A resend came later than the window in which its first attempt is remembered."""

    code = "nonce_expired"


class NameTaken(CallerError, ValueError):
    """A living process already holds this instance name."""

    code = "name_taken"


class NotInBook(CallerError, LookupError):
    """The seq, time or hash that was named is not one of this book, or not yet."""

    code = "not_in_book"


class QueryTimeout(CallerError, TimeoutError):
    """A query took longer than it may; it was ended and the book is as it was."""

    code = "query_timeout"


class BranchConflict(CallerError, ValueError):
    """A branch and its parent have both written about an entity; say which shall count."""

    code = "branch_conflict"


class Redacted(CallerError, LookupError):
    """The details of this entry were dropped for good; the message says why and by whom."""

    code = "redacted"


class Compacted(CallerError, LookupError):
    """What was asked for lies before what is still kept; `value` is the first seq that is."""

    code = "compacted"


class VersionConflict(CallerError, ValueError):
    """The key has another version than the one that the write rests on; `value` is that one."""

    code = "version_conflict"


class NeverConverged(VersionConflict):
    """An update was tried as often as it may be, and another write came between each time."""

    code = "never_converged"


class TokenStale(CallerError, PermissionError):
    """The write names no lock, or one that is no longer held; `value` is the token in force."""

    code = "token_stale"


class LockTimeout(CallerError, TimeoutError):
    """Others held the lock for as long as the caller would wait; the message names them."""

    code = "lock_timeout"


class MixedDurability(CallerError, ValueError):
    """Keys that outlive a reboot and keys that do not, in one step: they lie in two files."""

    code = "mixed_durability"


class SchemaViolation(CallerError, ValueError):
    """The value does not fit the JSON Schema of its namespace; `field` is the path to the fault."""

    code = "schema_violation"


class BookClosed(CallerError, ValueError):
    """The book was closed and then used."""

    code = "book_closed"


class UsedAfterFork(CallerError, RuntimeError):
    """An object that owns sockets was inherited through fork; connect again in the child."""

    code = "used_after_fork"


# -- operator -----------------------------------------------------------------------------------


class ConfigError(OperatorError, ValueError):
    """The configuration is wrong; one line for each mistake."""

    code = "config_error"


class HomeUnusable(OperatorError, PermissionError):
    """The home or the run directory cannot be used as it is."""

    code = "home_unusable"


class AddressUnusable(OperatorError, OSError):
    """The address to listen at cannot be bound."""

    code = "address_unusable"


class AlreadyRunning(OperatorError, RuntimeError):
    """Another supervisor holds this home."""

    code = "already_running"


class UnsupportedVersion(OperatorError, ValueError):
    """A message, a segment or a database of a version that this program does not speak."""

    code = "unsupported_version"


class MissingExtra(OperatorError, ImportError):
    """An optional part is not installed."""

    code = "missing_extra"


class BookCorrupt(OperatorError, ValueError):
    """The book does not verify; it is readable, and not written to."""

    code = "book_corrupt"


class StartFailed(OperatorError, RuntimeError):
    """An actor's start ended in an error; the message carries what it said."""

    code = "start_failed"


class ArchiveDamaged(OperatorError, OSError):
    """An archive file is missing or damaged: the details in it cannot be read, all else can."""

    code = "archive_damaged"


class ForecasterFailed(OperatorError, RuntimeError):
    """A forecaster plug-in crashed, hung or answered nonsense; the message carries what it said."""

    code = "forecaster_failed"


class BookMissing(OperatorError, FileNotFoundError):
    """There is no book in this home yet."""

    code = "book_missing"


class NeedsWriter(OperatorError, PermissionError):
    """The book can only be read here while its writer runs, or once it has run."""

    code = "needs_writer"


class DiskFull(OperatorError, OSError):
    """No room for the write; nothing of it was kept, later ones work once there is room."""

    code = "disk_full"


# -- world --------------------------------------------------------------------------------------


class ClockUnavailable(WorldError, ConnectionError):
    """There is no segment to read the time from."""

    code = "clock_unavailable"


class SupervisorUnreachable(WorldError, ConnectionError):
    """The supervisor does not answer on its control socket."""

    code = "supervisor_unreachable"


class ActorUnreachable(WorldError, ConnectionError):
    """An actor's mailbox does not answer, and nothing was asked of it that could change state."""

    code = "actor_unreachable"


class SourceUnreachable(WorldError, ConnectionError):
    """A time source does not answer, or what it answered was refused."""

    code = "source_unreachable"


class OutcomeUnknown(WorldError, TimeoutError):
    """No answer in time: the write may or may not have happened. Never a false "failed"."""

    code = "outcome_unknown"


class WaitTimeout(WorldError, TimeoutError):
    """What was waited for did not happen in time."""

    code = "wait_timeout"


def from_code(
    code: str, message: str, *, field: str = "", value: str = "", hint: str = ""
) -> HourbookError:
    """Build the error that an error reply names; an unknown code becomes the root class."""
    return _BY_CODE.get(code, HourbookError)(message, field=field, value=value, hint=hint)
