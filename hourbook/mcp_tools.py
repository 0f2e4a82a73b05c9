"""The tools that agents get over MCP: shared by `hourbook mcp` (stdio) and the mcp_server actor.

A failure is an answer, not a crash: one line that says what was expected, what was got and which
command mends it, so that a model can act on it. Everything here may block for as long as the book's
own time-outs; the server calls each tool in a thread.

Importing this module costs 0.6 s (mcp, pydantic): only the two MCP faces do.
"""

import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final, TypeVar

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import Field, JsonValue, ValidationError

from hourbook.book.book_view import view_at
from hourbook.book.reader import BookReader
from hourbook.book.render import commit_json, entry_json
from hourbook.clock_json import half_width_ns, now_json
from hourbook.confined_query import confined_query
from hourbook.faces.book import Book, connect
from hourbook.faces.clock import Clock
from hourbook.home import Home
from hourbook.mcp_shapes import (
    ActorState,
    BookState,
    DaemonStatus,
    EntryList,
    FutureTime,
    JournalEntry,
    QueryRows,
    TimeNow,
)
from hourbook.mcp_store_tools import StoreTools
from hourbook.mcp_tool_errors import as_tool_error
from hourbook.rfc3339 import format_utc_ns
from hourbook.tree_status import fetch_status
from protocols import control, errors
from protocols.wire import printable

__all__ = ["HourbookTools", "build_server"]

FUTURE_S_MAX: Final = 3600
TAIL_MAX: Final = 1000
SQL_LENGTH_MAX: Final = 20_000
MOMENT_LENGTH_MAX: Final = 80
INSTRUCTIONS: Final = (
    "Hourbook gives you trustworthy time and a shared journal. Ask get_time before you stamp or"
    " compare times: UTC lies within earliest_ns..latest_ns unless they are null. Write what you"
    " did with journal_log; read what others did with journal_tail, and find it with journal_query."
    " Share state with other agents by kv_get and kv_set; pass the version that you read as"
    " if_version, so that nobody's change is lost. Numbers in strings are exact."
)

R = TypeVar("R")


class HourbookTools:
    """The tools on one home. Connections are opened when first needed and kept; threads share."""

    def __init__(self, home: Home, writer: str = "mcp") -> None:
        """Prepare; opens nothing.

        Args:
            home: whose clock and book.
            writer: name of the instance that signs what agents log without a name of their own.
        """
        self._home = home
        self._writer = writer
        self._lock = threading.Lock()
        self._clock: Clock | None = None
        self._book: Book | None = None
        self.store = StoreTools(self._open_book)

    def close(self) -> None:
        """Close the connection to the book."""
        with self._lock:
            if self._book is not None:
                self._book.close()
                self._book = None

    @as_tool_error
    def get_time(self) -> TimeNow:
        """Tell UTC now, and the hard interval that it lies in."""
        return self._time_now()

    @as_tool_error
    def get_time_with_future_uncertainty(
        self,
        future_seconds: Annotated[
            float, Field(ge=0, le=FUTURE_S_MAX, description="how far ahead (seconds, 0..3600)")
        ],
    ) -> FutureTime:
        """Tell how uncertain the time will be in a while, if nothing corrects it until then."""
        clock = self._open_clock()
        snapshot = clock.snapshot()
        ahead = clock.at(snapshot.raw_ns + round(future_seconds * 1e9))
        width_ns = half_width_ns(ahead)
        return FutureTime(
            now=TimeNow(**_strings(now_json(snapshot))),
            future_seconds=future_seconds,
            time=format_utc_ns(ahead.time_ns),
            time_ns=str(ahead.time_ns),
            uncertainty_ns=None if width_ns is None else str(width_ns),
        )

    @as_tool_error
    def get_daemon_status(self) -> DaemonStatus:
        """Tell how the supervised tree, the clock and the book are, and what is wrong if it is."""
        problems: list[str] = []

        def ask(question: Callable[[], R]) -> R | None:
            try:
                return question()
            except errors.HourbookError as error:
                problems.append(str(error))
                return None

        status = ask(lambda: fetch_status(self._home, src="mcp"))
        clock = ask(self._time_now)
        book = ask(self._book_state)
        return DaemonStatus(
            running=status is not None,
            state="STOPPED" if status is None else status.supervisor.state,
            version=_version() if status is None else status.supervisor.version,
            uptime_s=0.0 if status is None else status.supervisor.uptime_s,
            home=str(self._home.path),
            actors=[] if status is None else [_actor_state(row) for row in status.actors],
            clock=clock,
            book=book,
            problems=problems + ([] if status is None else _problems_of(status.actors)),
        )

    @as_tool_error
    def journal_log(
        self,
        action: Annotated[str, Field(description="what was done, such as: deployed")],
        entity: Annotated[str, Field(description="to what, such as: api.example")],
        details: Annotated[  # a JSON text of an object or array arrives as that value: see mcp
            JsonValue, Field(description="any JSON value; null for none")
        ] = None,
        tags: Annotated[list[str] | None, Field(description="for finding it again")] = None,
    ) -> JournalEntry:
        """Append an entry to the journal; it is on disk, signed and ordered when this returns."""
        return _entry(self._open_book().log(action, entity, details, tags=tuple(tags or ())))

    @as_tool_error
    def journal_tail(
        self,
        count: Annotated[int, Field(ge=1, le=TAIL_MAX, description="how many entries")] = 10,
    ) -> EntryList:
        """Read the newest entries of the journal, oldest first."""
        with BookReader(self._home) as reader:
            return EntryList(entries=[_entry(entry) for entry in reader.tail(count)])

    @as_tool_error
    def journal_at(
        self,
        at: Annotated[
            str,
            Field(
                description="a seq, a time (RFC 3339, or since 1970), or 8 to 64 hex digits of a"
                " hash",
                max_length=MOMENT_LENGTH_MAX,
            ),
        ],
        count: Annotated[int, Field(ge=1, le=TAIL_MAX, description="how many entries")] = 10,
    ) -> EntryList:
        """Read the last entries that the journal had at an earlier moment, oldest first."""
        with BookReader(self._home) as reader:
            entries = view_at(self._home, reader, at).tail(count)
        return EntryList(entries=[_entry(entry) for entry in entries])

    @as_tool_error
    def journal_query(
        self,
        sql: Annotated[
            str,
            Field(
                description="one SELECT (SQLite) over the views entries(seq, time, writer, session,"
                " kind, action, entity, details, tags, ...), commits and instances; details and"
                " tags are JSON text: details->>'version'",
                max_length=SQL_LENGTH_MAX,
            ),
        ],
        parameters: Annotated[
            dict[str, str | int | float | None] | None, Field(description="values for :name")
        ] = None,
        at: Annotated[
            str | None,
            Field(description="as of a seq, a time or a hash", max_length=MOMENT_LENGTH_MAX),
        ] = None,
        limit: Annotated[int, Field(ge=1, le=TAIL_MAX, description="rows at most")] = 100,
    ) -> QueryRows:
        """Ask the journal in SQL, read-only; it may take 5 seconds."""
        document = confined_query(self._home, sql, parameters or {}, at, limit)
        return QueryRows(**{**document, "seq": str(document["seq"])})

    def _time_now(self) -> TimeNow:
        return TimeNow(**_strings(now_json(self._open_clock().snapshot())))

    def _book_state(self) -> BookState:
        with BookReader(self._home) as reader:
            commit = reader.head()
        if commit is None:
            return BookState(head_seq="0", head_hash="")
        head = commit_json(commit)
        return BookState(head_seq=str(head["seq"]), head_hash=head["hash"])

    def _open_clock(self) -> Clock:
        with self._lock:
            if self._clock is None:
                self._clock = Clock(self._home)
            return self._clock

    def _open_book(self) -> Book:
        with self._lock:
            if self._book is None:
                self._book = connect(self._writer, self._home, shared=True)
            return self._book


class _OneLineServer(MCPServer[Any]):
    """Says in one line what is wrong with a tool's arguments."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; a refusal of its arguments names the field and the rule."""
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_one_line(error.__cause__)) from None
            text = str(error).removeprefix(f"Error executing tool {name}: ")
            raise ToolError(text) from None


def build_server(tools: HourbookTools) -> MCPServer[Any]:
    """Return an MCP server with every tool."""
    server = _OneLineServer(
        name="hourbook",
        title="Hourbook: one clock and one book",
        instructions=INSTRUCTIONS,
        version=_version(),
        log_level="WARNING",
    )
    reads = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    appends = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
    )
    writes = ToolAnnotations(
        read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
    )
    for function, title, annotations in (
        (tools.get_time, "Tell the time", reads),
        (tools.get_time_with_future_uncertainty, "Tell how sure the time will be", reads),
        (tools.get_daemon_status, "Tell how Hourbook is", reads),
        (tools.journal_log, "Append to the journal", appends),
        (tools.journal_tail, "Read the journal's newest entries", reads),
        (tools.journal_at, "Read the journal as it was", reads),
        (tools.journal_query, "Ask the journal in SQL", reads),
        (tools.store.kv_get, "Read a key of the store", reads),
        (tools.store.kv_keys, "List keys of the store", reads),
        (tools.store.kv_set, "Write a key of the store", writes),
        (tools.store.kv_delete, "Delete a key of the store", writes),
        (tools.store.kv_increment, "Add to a number of the store", appends),
    ):
        server.add_tool(function, title=title, annotations=annotations, structured_output=True)
    return server


def _one_line(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])
        got = "none" if problem["type"] == "missing" else printable(repr(problem["input"]))
        problems.append(f"Expected `{where}`: {problem['msg']}, got {got}")
    return "; ".join(problems)


def _strings(document: dict[str, Any]) -> dict[str, Any]:
    """Write every integer of a shape as a decimal string."""
    return {
        name: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in document.items()
    }


def _entry(entry: Any) -> JournalEntry:  # noqa: ANN401 - an Entry of either source
    document = entry_json(entry)
    exact = {name: str(document[name]) for name in ("seq", "time_ns", "hlc")}
    bound = document["bound_ns"]
    return JournalEntry(**{**document, **exact, "bound_ns": None if bound is None else str(bound)})


def _actor_state(row: control.ActorRow) -> ActorState:
    return ActorState(
        name=row.name,
        state=row.state,
        pid=row.pid,
        incarnation=row.incarnation,
        restarts=row.restarts,
        uptime_s=row.uptime_s,
        reason=row.reason,
    )


def _problems_of(rows: list[control.ActorRow]) -> list[str]:
    return [
        f"{row.name} is {row.state}: {row.reason or row.cause or 'no reason given'}"
        for row in rows
        if row.state not in ("READY", "DISABLED")
    ]


def _version() -> str:
    try:
        return version("hourbook")
    except PackageNotFoundError:
        return "unknown"
