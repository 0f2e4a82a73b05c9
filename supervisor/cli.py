"""The `supervisor` command: its words, options and help. Each command is a few lines over a module.

Only the standard library, cyclopts and light modules are imported at the top: what a command needs
it imports itself, so that `supervisor status` does not pay for the engine.
"""

import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter

from hourbook.cli.leading_home import home_after_command
from hourbook.home import Home, find_home
from hourbook.standard_streams import mend_standard_streams
from protocols import control, errors
from supervisor import exit_codes

__all__ = ["app", "run"]

_HOME_HELP = "Directory of the book and its config. Else $HOURBOOK_HOME, else the user's own."
HomeFlag = Annotated[str | None, Parameter(name="--home", help=_HOME_HELP)]
JsonFlag = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
ConfigFlag = Annotated[
    Path | None,
    Parameter(name="--config", help="Config file instead of HOME/hourbook.toml; must exist."),
]
SetFlags = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="KEY=VALUE, over the file, e.g. actor.shm_publisher.config.freq_hz=1000. Repeatable.",
    ),
]
LogLevelFlag = Annotated[
    Literal["debug", "info", "warning", "error"] | None, Parameter(name="--log-level")
]
FollowFlag = Annotated[
    bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as more comes.")
]
NowFlag = Annotated[
    bool, Parameter(name="--now", negative="", help="Kill at once, ask nothing first.")
]

_EPILOGUE = """\
Exit codes: 0 ok, 2 bad config or usage, 3 a child failed its first start,
4 already running, 5 gave up or lost its run directory,
6 cannot reach the supervisor, 7 timed out.
"""


def _examples(*lines: str) -> str:
    return "\n".join(("Examples:", *(f"  {line}" for line in lines)))


_RUNNING = Group.create_ordered("The tree")
_LOOKING = Group.create_ordered("Looking")
_CHANGING = Group.create_ordered("Configuration")

app = App(
    name="supervisor",
    help="Run and watch Hourbook's actors.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    version=lambda: metadata.version("hourbook"),
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.register_install_completion_command(help="Install completion for this shell.")


def run(arguments: list[str] | None = None) -> int:
    """Run one command line (default: that of the process); return its exit code."""
    mend_standard_streams()
    try:
        result = app(home_after_command(sys.argv[1:] if arguments is None else arguments))
    except errors.ConfigError as error:
        _complain(*str(error).split("\n"))  # one line for each mistake, as editors read them
        return exit_codes.BAD_USAGE
    except errors.StartFailed as error:
        _complain(*f"supervisor: {error}".split("\n"))  # with the end of its traceback
        return exit_codes.FIRST_START
    except errors.HourbookError as error:
        _complain(f"supervisor: {error}")
        return exit_codes.code_of(error)
    except CycloptsError as error:
        from hourbook.words import usage_text  # noqa: PLC0415 - only failures need it

        _complain(f"supervisor: {usage_text(error)} (try --help)")
        return exit_codes.BAD_USAGE
    return result if isinstance(result, int) else exit_codes.OK


# -- the tree -----------------------------------------------------------------------------------


@app.command(
    group=_RUNNING,
    help_epilogue=_examples(
        "supervisor start",
        "supervisor start --wait 10",
        "supervisor start --set actor.mcp_server.enabled=false",
        "supervisor start metrics",
    ),
)
def start(
    name: str | None = None,
    /,
    *,
    config: ConfigFlag = None,
    home: HomeFlag = None,
    detach: Annotated[bool, Parameter(negative="", help="Run in the background.")] = False,
    wait: Annotated[
        float | None,
        Parameter(help="Run in the background; return when all is up, 7 after so many seconds."),
    ] = None,
    log_level: LogLevelFlag = None,
    settings: SetFlags = None,
) -> int:
    """Start the tree in the foreground; with NAME, start one actor or node of a running tree."""
    found = find_home(home)
    if name is not None:
        if config or detach or wait is not None or log_level or settings:
            raise errors.BadRequest(
                "Expected NAME alone, got options of the whole tree", hint="see start --help"
            )
        return _command(found, "start", _about(name))
    overrides = list(settings or [])
    if log_level is not None:
        overrides.append(f"supervisor.log_level={log_level}")
    if wait is not None and not wait > 0:
        raise errors.BadRequest(f"--wait must be > 0 seconds, got {wait:g}")
    if detach or wait is not None:
        from supervisor.background import start_detached  # noqa: PLC0415 - only this needs it

        return start_detached(found, config, overrides, wait)
    from supervisor.foreground import start_foreground  # noqa: PLC0415 - the same

    return start_foreground(found, config, overrides)


@app.command(
    group=_RUNNING,
    help_epilogue=_examples(
        "supervisor stop",
        "supervisor stop mcp_server",
        "supervisor stop --now",
    ),
)
def stop(name: str | None = None, /, *, now: NowFlag = False, home: HomeFlag = None) -> int:
    """Stop the whole tree in reverse order; with NAME, one actor or node, which stays stopped."""
    if name is not None:
        return _command(find_home(home), "stop", _about(name, now=now))
    from supervisor import stopping  # noqa: PLC0415 - only this command needs it

    code = stopping.stop_tree(find_home(home), is_now=now)
    _print("stopped")
    return code


@app.command(
    group=_RUNNING,
    help_epilogue=_examples(
        "supervisor restart metrics",
        "supervisor restart edge",
    ),
)
def restart(name: str, /, *, home: HomeFlag = None) -> int:
    """Restart one actor or node (time, book, edge), or revive one that gave up."""
    return _command(find_home(home), "restart", _about(name))


@app.command(
    group=_RUNNING,
    help_epilogue=_examples(
        'supervisor add \'{name = "probe", class = "probes.disk:Disk"}\'',
        "supervisor add probe.toml",
    ),
)
def add(spec: str, /, *, home: HomeFlag = None) -> int:
    """Add an actor while this tree runs: SPEC is a TOML file, "-", or an inline table."""
    from supervisor.add_spec import read_spec  # noqa: PLC0415 - only this command needs it

    return _command(find_home(home), "add", control.Command(spec=read_spec(spec)))


@app.command(
    group=_RUNNING,
    help_epilogue=_examples(
        "supervisor remove probe",
    ),
)
def remove(name: str, /, *, home: HomeFlag = None) -> int:
    """Stop one actor and forget its spec."""
    return _command(find_home(home), "remove", _about(name))


# -- looking ------------------------------------------------------------------------------------


@app.command(
    group=_LOOKING,
    help_epilogue=_examples(
        "supervisor status",
        "supervisor status --json",
    ),
)
def status(*, as_json: JsonFlag = False, home: HomeFlag = None) -> None:
    """Show every actor."""
    from supervisor import render  # noqa: PLC0415 - only this command needs it
    from supervisor.client import Client  # noqa: PLC0415 - the same

    with Client(find_home(home)) as client:
        found = client.status()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    _print(render.status_json(found) if as_json else render.status_table(found, width))


@app.command(group=_LOOKING)
def top(*, home: HomeFlag = None) -> None:
    """Show every actor on a full screen, refreshed each second; q quits."""
    from supervisor import top as full_screen  # noqa: PLC0415 - imports rich

    full_screen.show(find_home(home))


@app.command(
    group=_LOOKING,
    help_epilogue=_examples(
        "supervisor events -f",
        "supervisor events --json",
    ),
)
def events(*, follow: FollowFlag = False, as_json: JsonFlag = False, home: HomeFlag = None) -> None:
    """Show what happened in the tree: starts, exits with their causes, restarts."""
    from supervisor import render  # noqa: PLC0415 - only this command needs it
    from supervisor.client import Client  # noqa: PLC0415 - the same
    from supervisor.events import REPLY_EVENTS_MAX  # noqa: PLC0415 - the same

    show = render.event_json if as_json else render.event_line
    with Client(find_home(home)) as client:
        seen = 0
        while True:
            found = client.events(seen)
            for event in found:
                _print(show(event))
            seen = found[-1].seq if found else seen
            if not follow and len(found) < REPLY_EVENTS_MAX:
                return


@app.command(
    group=_LOOKING,
    help_epilogue=_examples(
        "supervisor tail journal_writer -f",
    ),
)
def tail(
    name: str,
    /,
    *,
    follow: FollowFlag = False,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="How many (>= 0).")] = 20,
    home: HomeFlag = None,
) -> None:
    """Show what an actor printed; "supervisor" names the supervisor itself."""
    from supervisor.tail import tail_log  # noqa: PLC0415 - only this command needs it

    if lines < 0:
        raise errors.BadRequest(f"--lines must be >= 0, got {lines}")
    for line in tail_log(find_home(home), name, lines, follow=follow):
        _print(line)


# -- configuration ------------------------------------------------------------------------------


@app.command(
    group=_CHANGING,
    help_epilogue=_examples(
        "supervisor validate",
        "supervisor validate deploy/hourbook.toml --json",
    ),
)
def validate(
    file: Path | None = None,
    /,
    *,
    as_json: JsonFlag = False,
    settings: SetFlags = None,
    home: HomeFlag = None,
) -> None:
    """Check a config file and start nothing; --json prints the whole tree with its defaults."""
    from supervisor import render  # noqa: PLC0415 - only this command needs it
    from supervisor.config import load  # noqa: PLC0415 - the same

    loaded = load(find_home(home), file, settings or [])
    if as_json:
        _print(render.tree_json(loaded))
        return
    name = str(loaded.path) if loaded.path is not None else "the defaults (no file)"
    tree = loaded.tree
    _print(f"ok: {name}: {len(tree.nodes)} nodes, {len(tree.actors)} actors")


@app.command(group=_CHANGING)
def reload(*, home: HomeFlag = None) -> int:
    """Read the config again and apply the difference; the same as SIGHUP."""
    return _command(find_home(home), "reload", control.Command())


def _about(name: str, *, now: bool = False) -> control.Command:
    """Return a command about one actor or node.

    An empty name is a shell variable that was not set; on the wire it would mean the whole tree.
    """
    if not name or not name.isprintable():
        raise errors.BadRequest(f"Expected an actor or node, got {name!r}")
    return control.Command(name=name, now=now)


def _command(home: Home, kind: str, command: control.Command) -> int:
    """Send one command that changes the tree, and say what came of it."""
    from supervisor.client import Client  # noqa: PLC0415 - imports zmq
    from supervisor.stopping import COMMAND_TIMEOUT_S, tell_waiting  # noqa: PLC0415 - the same

    with Client(home) as client:
        done = client.ask(
            kind,
            command,
            control.Done,
            timeout_s=COMMAND_TIMEOUT_S,
            on_wait=lambda: tell_waiting(home),
        )
    _print(done.message or "done")
    if kind == "reload":
        changes = (
            ("added", done.added),
            ("removed", done.removed),
            ("reloaded", done.reloaded),
            ("restarted", done.restarted),
        )
        for word, names in changes:
            if names:
                _print(f"{word}: {', '.join(names)}")
    return exit_codes.OK


def _print(text: str) -> None:
    # Flushed, because a reader at the other end of a pipe may follow.
    print(text, flush=True)  # noqa: T201 - the command's own output


def _complain(*lines: str) -> None:
    # A path or an argument may hold line ends and controls; what is shown does not.
    from supervisor import render  # noqa: PLC0415 - only failures need it

    for line in lines:
        print(render.one_line(line), file=sys.stderr)  # noqa: T201 - the command's own output
