"""`hourbook mcp` as a client or a person starts it: over pipes, without a tree."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def test_ctrl_c_ends_it_while_it_waits_for_a_line(tmp_path: Path) -> None:
    """A thread that reads standard input does not keep it until the next line comes."""
    with subprocess.Popen(
        [sys.executable, "-m", "hourbook.command", "mcp", "--home", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())

        server.send_signal(signal.SIGINT)

        assert server.wait(2) == 130
        assert answer["result"]["serverInfo"]["name"] == "hourbook"
        assert server.stderr.read() == b""
