"""A user's shell on a home of its own: the installed `supervisor` command over stock actors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hourbook.home import Home, find_home

__all__ = ["COMMAND", "Shell", "stock"]

TESTS = Path(__file__).resolve().parent
COMMAND = Path(sys.executable).with_name("supervisor")
DEFAULTS = (
    "ntp_sampler", "clock_model", "shm_publisher", "journal_writer", "compactor", "mcp_server",
    "metrics",
)  # fmt: skip
QUIET = "".join(f"[actor.{name}]\nenabled = false\n" for name in DEFAULTS)


def stock(name: str, extra: str = "", **config: Any) -> str:
    """Return the TOML of one stock actor."""
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in config.items())
    return (
        f'[actor.{name}]\nclass = "stock_actors:Stock"\nconfig_type = "stock_actors:StockConfig"\n'
        f"backoff = {{ base_s = 0 }}\nconfig = {{ {table} }}\n{extra}\n"
    )


class Shell:
    """A user's shell on one home."""

    def __init__(self, path: Path, config: str) -> None:
        path.mkdir(mode=0o700, parents=True)
        self.home: Home = find_home(path)
        self.spawned: list[subprocess.Popen[str]] = []
        self.configure(config)
        self.env = {
            **os.environ,
            "HOURBOOK_HOME": str(path),
            "PYTHONPATH": str(TESTS),
            "COLUMNS": "120",
            "NO_COLOR": "1",
        }

    def configure(self, config: str) -> None:
        """Write ``hourbook.toml``: the default actors switched off, and `config`."""
        self.home.config_file.write_text(QUIET + config, encoding="utf-8")

    def run(self, *words: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [COMMAND, *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """Start one command whose output is read as it comes."""
        process = subprocess.Popen(
            [COMMAND, *words],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.spawned.append(process)
        return process

    def status(self) -> dict[str, Any]:
        """Return what `status --json` prints."""
        shown: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return shown

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of one actor."""
        rows: list[dict[str, Any]] = self.status()["actors"]
        return next(row for row in rows if row["name"] == name)

    def end(self) -> None:
        """Stop what runs and remove the run directory."""
        self.run("stop", "--now")
        for process in self.spawned:
            process.kill()
            if process.stdout and not process.stdout.closed:
                process.communicate()
        shutil.rmtree(self.home.run_dir, ignore_errors=True)
