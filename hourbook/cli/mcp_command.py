"""`hourbook mcp`: the tools over stdin and stdout, for a client that starts us itself."""

import logging
import os
import signal
import sys

from hourbook.cli.exit_codes import INTERRUPTED, OK
from hourbook.cli.options import HomeOption, WriterOption
from hourbook.home import find_home

__all__ = ["mcp"]


def mcp(*, writer: WriterOption = "mcp", home: HomeOption = None) -> int:
    """Serve the Model Context Protocol over stdin and stdout.

    Example: `claude mcp add hourbook -- hourbook mcp`
    """
    # First, so that the library does not set up its own; stdout belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(levelname)s: %(message)s")
    from hourbook.mcp_tools import HourbookTools, build_server  # noqa: PLC0415 - takes 0.6 s

    tools = HourbookTools(find_home(home), writer)
    # A thread reads stdin, and an orderly end would wait for the next line. Nothing is lost:
    # journal_writer lets go of the name of a process that is gone.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    if sys.stdin.isatty():
        sys.stderr.write("hourbook: serving MCP to whoever types JSON here; Ctrl-C ends it\n")
    try:
        build_server(tools).run("stdio")
    finally:
        tools.close()
    return OK
