"""The whole default tree, started by `supervisor start --wait`, offline, on free ports."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from hourbook.home import find_home
from hourbook.tree_status import fetch_status
from protocols import control

__all__ = ["FullTree", "run_hourbook"]

ROOT_DIR = Path(__file__).resolve().parent.parent
SETTINGS = (
    "actor.mcp_server.config.listen=127.0.0.1:0",
    "actor.metrics.config.listen=127.0.0.1:0",
    "actor.ntp_sampler.config.servers=[]",
    "actor.ntp_sampler.config.local_daemon=false",
    "actor.ntp_sampler.config.kernel_after_s=0",
    "actor.ntp_sampler.config.assume_realtime_error_s=0.5",
)


def run_hourbook(
    *arguments: str | bytes, home: Path, text_in: bytes = b"", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the real command and return what a shell would see."""
    return subprocess.run(
        [sys.executable, "-m", "hourbook.command", *arguments],
        input=text_in.decode(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "HOURBOOK_HOME": str(home), **env},
        cwd=ROOT_DIR,
    )


class FullTree:
    """A running tree; use as a context manager. Leaves no process and no run directory behind.

    Args:
        path: its home.
        settings: ``KEY=VALUE`` over those that make it quiet.
    """

    def __init__(self, path: Path, *settings: str) -> None:
        self.home = find_home(path)
        self._settings = (*SETTINGS, *settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor("stop", check=False)
        shutil.rmtree(self.home.run_dir, ignore_errors=True)

    def start(self) -> None:
        """Start it; returns when every actor is up."""
        settings = [word for setting in self._settings for word in ("--set", setting)]
        self._supervisor("start", "--wait", "30", *settings)

    def stop(self) -> None:
        """Stop it in order; returns when its supervisor has ended."""
        self._supervisor("stop")

    def status(self) -> control.Status:
        """Return the status of the tree."""
        return fetch_status(self.home)

    def row(self, name: str) -> control.ActorRow:
        """Return one actor's row."""
        return next(row for row in self.status().actors if row.name == name)

    def kill(self, name: str) -> int:
        """Kill an actor; return the incarnation that died."""
        row = self.row(name)
        assert row.pid
        os.kill(row.pid, signal.SIGKILL)
        return row.incarnation

    def hourbook(
        self, *arguments: str | bytes, text_in: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run `hourbook` on this tree."""
        return run_hourbook(*arguments, home=self.home.path, text_in=text_in)

    def hourbook_json(self, *arguments: str) -> Any:
        """Run `hourbook ... --json`; return its one document."""
        result = self.hourbook(*arguments, "--json")
        assert result.stderr == ""
        return json.loads(result.stdout)

    def _supervisor(self, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [sys.executable, "-m", "supervisor", *arguments, "--home", str(self.home.path)],
            check=check,
            capture_output=True,
            timeout=60,
            cwd=ROOT_DIR,
        )
