"""The command line's shape. Commands are named, and imported only when one of them runs."""

from typing import Final

from cyclopts import App, Group

__all__ = ["GROUPS", "GROUP_WORDS", "installed_version", "make_app"]

HELP: Final = """One clock and one book for every agent on the machine.

Start the tree with `supervisor start` (or `make start`), then try `hourbook now`.
Exit codes: 0 ok, 1 found wrong, 2 usage, 3 needs an operator, 6 not reachable, 7 timed out.
"""

_COMMANDS: Final = {
    "now": "hourbook.cli.clock_commands:now",
    "monitor": "hourbook.cli.clock_commands:monitor",
    "snapshot": "hourbook.cli.clock_commands:snapshot",
    "benchmark": "hourbook.cli.benchmark:benchmark",
    "sources": "hourbook.cli.sources_command:sources",
    "clock why": "hourbook.cli.why_command:why",
    "clock replay": "hourbook.cli.replay_command:replay",
    "log": "hourbook.cli.book_commands:log",
    "tail": "hourbook.cli.book_commands:tail",
    "verify": "hourbook.cli.proof_commands:verify",
    "head": "hourbook.cli.proof_commands:head",
    "keys list": "hourbook.cli.proof_commands:keys",
    "keys rotate": "hourbook.cli.proof_commands:rotate",
    "query": "hourbook.cli.query_command:query",
    "schema": "hourbook.cli.query_command:schema",
    "kv get": "hourbook.cli.kv_read_commands:get",
    "kv set": "hourbook.cli.kv_write_commands:set_",
    "kv delete": "hourbook.cli.kv_write_commands:delete",
    "kv incr": "hourbook.cli.kv_write_commands:incr",
    "kv keys": "hourbook.cli.kv_read_commands:keys",
    "kv history": "hourbook.cli.kv_read_commands:history",
    "kv watch": "hourbook.cli.kv_activity_commands:watch",
    "kv lock": "hourbook.cli.kv_lock_command:lock",
    "kv locks": "hourbook.cli.kv_activity_commands:locks",
    "kv stats": "hourbook.cli.kv_activity_commands:stats",
    "kv schema": "hourbook.cli.kv_import_command:schema",
    "kv import": "hourbook.cli.kv_import_command:import_",
    "compact": "hourbook.cli.keep_commands:compact",
    "branch create": "hourbook.cli.branch_commands:create",
    "branch list": "hourbook.cli.branch_commands:list_all",
    "branch log": "hourbook.cli.branch_commands:log",
    "branch diff": "hourbook.cli.branch_commands:diff",
    "branch merge": "hourbook.cli.branch_commands:merge",
    "branch delete": "hourbook.cli.branch_commands:delete",
    "redact": "hourbook.cli.keep_commands:redact",
    "backup": "hourbook.cli.backup_commands:backup",
    "restore": "hourbook.cli.backup_commands:restore",
    "export": "hourbook.cli.transfer_commands:export",
    "import": "hourbook.cli.transfer_commands:import_",
    "follow": "hourbook.cli.live_commands:follow",
    "updates": "hourbook.cli.live_commands:updates",
    "instances": "hourbook.cli.live_commands:instances",
    "diff": "hourbook.cli.live_commands:diff",
    "context": "hourbook.cli.context_commands:context",
    "summary": "hourbook.cli.context_commands:summary",
    "session start": "hourbook.cli.context_commands:session_start",
    "session list": "hourbook.cli.context_commands:session_list",
    "session summary": "hourbook.cli.context_commands:session_summary",
    "status": "hourbook.cli.status_command:status",
    "doctor": "hourbook.cli.doctor_command:doctor",
    "mcp": "hourbook.cli.mcp_command:mcp",
    "completion": "hourbook.cli.completion:completion",
}
"""Where each command is; its docstring is its help. A name of two words is in a group."""

GROUPS: Final = {
    "clock": "What the clock rests on.",
    "session": "Named stretches of work, whose entries can be found together.",
    "branch": "Lines of the book beside main: what would be if.",
    "kv": "The store: keys and values that all processes share, and locks.",
    "keys": "The keys that sign the book; by itself it lists them.",
}
"""Commands that only lead to others, with their help."""
_SECTIONS: Final = {
    "The clock": ("now", "monitor", "sources", "clock", "snapshot", "benchmark"),
    "The book": (
        "log", "tail", "follow", "updates", "query", "schema", "session", "branch", "kv",
        "instances", "diff", "context", "summary",
    ),
    "Proof and keeping": (
        "verify", "head", "keys", "backup", "restore", "export", "import", "compact", "redact",
    ),
    "The machine": ("status", "doctor", "mcp", "completion"),
}  # fmt: skip
"""How the list of commands is divided; what is in none of them stands under "Commands"."""
GROUP_WORDS: Final = {"keys": "list"}
"""What a group means when it is given no further word."""


def make_app(*, describe: bool = False) -> App:
    """Build the application; nothing but cyclopts is imported.

    Args:
        describe: import every command too, so that the list of commands says what each does, and
            learn to teach a shell all of it.
    """
    app = App(
        name="hourbook",
        help=HELP,
        version=installed_version,
        version_format="plaintext",
        help_format="markdown",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    if describe:
        app.register_install_completion_command(help="Install completion for this shell.")
    sections: dict[str, Group] = {}
    for title, names in _SECTIONS.items():
        sections |= dict.fromkeys(names, Group.create_ordered(title))
    groups = {"": app}
    for name, text in GROUPS.items():
        groups[name] = App(name=name, help=text, group=sections.get(name))
        app.command(groups[name])
    for name, path in _COMMANDS.items():
        group, _, word = name.rpartition(" ")
        section = None if group else sections.get(name)
        groups[group].command(path, name=word, group=section)
        if describe:
            _ = groups[group][word]  # a lookup makes cyclopts import it, and read its docstring
    return app


def installed_version() -> str:
    """Return the version of this program; a source tree that is not installed has none."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - asked for rarely

    try:
        return version("hourbook")
    except PackageNotFoundError:
        return "unknown"
