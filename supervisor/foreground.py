"""`supervisor start` in the foreground: read the config, run the tree, report. Wiring."""

import logging
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from hourbook.home import Home, prepare_home
from hourbook.timebase import SystemTimebase
from protocols import errors
from supervisor import engine
from supervisor.config import Loaded, load, load_again
from supervisor.difference import diff
from supervisor.logs import LogFile, LogHandler
from supervisor.mistakes import show_name
from supervisor.run_display import Reporter
from supervisor.spec import TreeSpec

__all__ = ["start_foreground"]

_MIB: Final = 1 << 20


def start_foreground(home: Home, config: Path | None, overrides: Sequence[str]) -> int:
    """Run the tree until it ends; return its exit code.

    Raises:
        ConfigError: with every mistake, one a line.
        HomeUnusable: the home cannot be written.
        AlreadyRunning: another supervisor holds it.
    """
    os.umask(0o077)  # as in its children: what a tree creates is its owner's alone
    loaded = load(home, config, overrides)
    prepare_home(home)
    handler = _log_to_file(home, loaded)
    reporter = Reporter(home, loaded.tree.actors, banner=_banner(home, loaded))
    try:
        with reporter:
            return engine.run(
                loaded.tree,
                home,
                settings=loaded.settings,
                config_path=str(loaded.path or ""),
                load_config=lambda: _read_again(home, loaded),
                on_event=reporter.note,
            )
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _read_again(home: Home, loaded: Loaded) -> TreeSpec:
    """Return the tree that the config describes now.

    Raises:
        ConfigError: it is wrong, or changes what only a start can.
    """
    again = load_again(home, loaded)
    changed = diff(loaded.tree, loaded.tree, loaded.settings, again.settings).settings
    if changed:
        label = show_name(again.path.name) if again.path else "defaults"
        lines = [f"{label}: supervisor.{key}: cannot change while it runs" for key in changed]
        raise errors.ConfigError("\n".join(lines))
    return again.tree


def _log_to_file(home: Home, loaded: Loaded) -> LogHandler:
    """Send our own log records where those of the actors go."""
    settings = loaded.settings
    file = LogFile(
        home.logs_dir / "supervisor.jsonl",
        SystemTimebase().wall_ns,
        file_bytes_max=settings.log_file_mib * _MIB,
        files_max=settings.log_files,
    )
    handler = LogHandler(file)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    return handler


def _banner(home: Home, loaded: Loaded) -> str:
    config = show_name(str(loaded.path)) if loaded.path else "defaults"
    return f"hourbook {metadata.version('hourbook')}  home {home.path}  config {config}"
