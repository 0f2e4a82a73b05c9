"""What the MCP tools answer: the models behind their output schemas. Pure.

Nanosecond times, sequence numbers and hybrid logical times are *decimal strings*: real clients read
JSON integers as doubles and lose the last three digits above 2^53. Importing this module costs the
pydantic import; only the MCP faces do.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

__all__ = [
    "ActorState",
    "BookState",
    "DaemonStatus",
    "EntryList",
    "FutureTime",
    "JournalEntry",
    "KvItem",
    "KvKeys",
    "KvNumber",
    "KvVersion",
    "MissingDetails",
    "QueryRows",
    "TimeNow",
]

DecimalNs = Annotated[
    str, Field(description="nanoseconds, a decimal string", pattern=r"^-?[0-9]+$")
]
Decimal = Annotated[str, Field(description="a decimal string", pattern=r"^-?[0-9]+$")]
Status = Annotated[
    Literal["UNKNOWN", "SYNCHRONIZED", "FREE_RUNNING", "DISRUPTED"],
    Field(
        description="SYNCHRONIZED: fresh and checked. FREE_RUNNING: honest but not being corrected."
        " DISRUPTED: the machine was paused or its clock was moved. UNKNOWN: promises nothing."
    ),
]


class TimeNow(BaseModel):
    """UTC, and the hard interval that it lies in."""

    time: str = Field(description="the best estimate of UTC, RFC 3339 with nine digits")
    time_ns: DecimalNs = Field(description="the same, nanoseconds since 1970")
    earliest_ns: DecimalNs | None = Field(
        description="UTC is not before this; null when nothing can be promised"
    )
    latest_ns: DecimalNs | None = Field(
        description="UTC is not after this; null when nothing can be promised"
    )
    sigma_ns: DecimalNs | None = Field(
        description="statistical scale of the estimate's error; null when unknown"
    )
    status: Status
    source: str = Field(description="where the time comes from: ntp, kernel, asserted or none")
    age_ms: float | None = Field(description="milliseconds since the clock was last published")


class FutureTime(BaseModel):
    """How well the time will be known in a while, without any correction until then."""

    now: TimeNow
    future_seconds: float = Field(description="how far ahead was asked")
    time: str = Field(description="UTC then, RFC 3339")
    time_ns: DecimalNs = Field(description="the same, nanoseconds since 1970")
    uncertainty_ns: DecimalNs | None = Field(
        description="UTC then lies within time_ns +- this; null when nothing can be promised"
    )


class ActorState(BaseModel):
    """One actor process."""

    name: str
    state: str = Field(description="READY when it works, DEGRADED when it lacks something")
    pid: int | None
    incarnation: int = Field(description="counts its lives, from 1")
    restarts: int
    uptime_s: float
    reason: str = Field(description="why it is not READY, or empty")


class BookState(BaseModel):
    """How far the journal has come."""

    head_seq: Decimal = Field(description="sequence number of the newest entry; 0 when empty")
    head_hash: str = Field(description="its hash, hex; covers every entry before it")


class DaemonStatus(BaseModel):
    """The whole Hourbook at one instant; what is missing says why in `problems`."""

    running: bool = Field(description="whether the supervised tree runs")
    state: str = Field(description="the tree's state, or STOPPED")
    version: str
    uptime_s: float
    home: str
    actors: list[ActorState]
    clock: TimeNow | None
    book: BookState | None
    problems: list[str] = Field(description="one line each; empty when all is well")


class MissingDetails(BaseModel):
    """Why an entry is shown without its details."""

    cause: str = Field(description="redacted, retained (dropped by a rule), or unreadable")
    why: str
    by: str = Field(description="the instance that asked for it, or empty")
    by_seq: int = Field(description="the entry that says so; 0 for none")


class JournalEntry(BaseModel):
    """One line of the book."""

    seq: Decimal = Field(description="1, 2, 3 ... without gaps: the order of the book")
    time: str = Field(description="when it was sequenced, RFC 3339")
    time_ns: DecimalNs
    bound_ns: DecimalNs | None = Field(description="UTC was within time_ns +- this; null: unknown")
    hlc: Decimal = Field(description="hybrid logical time")
    writer: str
    session: str
    branch: int
    nonce: str
    kind: str
    action: str
    entity: str
    details: Any
    missing: MissingDetails | None = Field(description="why there are no details; else null")
    tags: list[str]
    parent_hash: str
    hash: str


class EntryList(BaseModel):
    """Entries, oldest first."""

    entries: list[JournalEntry]


class QueryRows(BaseModel):
    """What a query found."""

    columns: list[str]
    rows: list[dict[str, Any]] = Field(description="a value by column name")
    truncated: bool = Field(description="there are more rows than the limit")
    seq: Decimal = Field(description="the last entry that the query could see")


class KvItem(BaseModel):
    """A key of the store."""

    namespace: str
    key: str
    found: bool = Field(description="whether the key is there; null is a value too")
    value: Any = None
    version: Decimal = Field(default="0", description="for if_version; 0 where it is not there")
    type: str = ""
    expires: str | None = Field(default=None, description="RFC 3339; null: never")
    metadata: dict[str, Any] = {}


class KvVersion(BaseModel):
    """What became of a key."""

    namespace: str
    key: str
    version: Decimal = Field(description="of the write; 0 where there was nothing to delete")


class KvNumber(BaseModel):
    """What a number of the store is now."""

    namespace: str
    key: str
    value: int | float | str = Field(description="a decimal string above 2^53")


class KvKeys(BaseModel):
    """Keys, in the order of their text."""

    namespace: str
    keys: list[str]
    truncated: bool = Field(description="there are more keys than the limit")
