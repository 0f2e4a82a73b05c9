"""SQL of a stranger in a process of its own: whatever it does there, we go on. An edge.

Runs `hourbook query` (``hourbook.cli.confinement`` says why), and hands back its document.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from hourbook.home import Home
from protocols import errors

__all__ = ["ANSWER_BYTES_MAX", "TIMEOUT_S", "confined_query"]

TIMEOUT_S: Final = 5.0
_START_S: Final = 10.0
"""Until a process has begun and ended, on a machine that is busy with other things."""
ANSWER_BYTES_MAX: Final = 1 << 20
_COMPLAINT_BYTES_MAX: Final = 4096


def confined_query(
    home: Home, sql: str, parameters: Mapping[str, Any], at: str | None, limit: int
) -> dict[str, Any]:
    """Return the document of ``hourbook query --json`` (docs/CLI.md).

    Args:
        home: whose book.
        sql: one SELECT over the stable views.
        parameters: values for ``:name``.
        at: as of a seq, a time or a hash; None: of now.
        limit: rows at most.

    Raises:
        BadRequest: refused, in the command's own words.
        LimitExceeded: an answer above 1 MiB.
        QueryTimeout: it takes longer.
    """
    # -P: a module of the directory that we happen to run in is none of ours.
    command = [sys.executable, "-P", "-m", "hourbook.command", "query", "--stdin", "--json"]
    command += ["--home", str(home.path), f"--limit={limit}", f"--timeout={TIMEOUT_S}"]
    command += [f"--param={name}:={json.dumps(value)}" for name, value in parameters.items()]
    command += [] if at is None else [f"--at={at}"]
    code, answer, complaint = _run(command, sql)
    if len(answer) > ANSWER_BYTES_MAX:
        raise errors.LimitExceeded(
            f"Expected an answer of up to {ANSWER_BYTES_MAX >> 20} MiB, got more",
            hint="ask for fewer rows or columns",
        )
    if code < 0:
        raise errors.QueryTimeout(f"Expected an answer within {TIMEOUT_S:g} s, got none")
    if code:
        said = complaint.decode(errors="replace").strip()
        raise errors.BadRequest(said.removeprefix("hourbook: "))
    document: dict[str, Any] = json.loads(answer)
    return document


def _run(command: list[str], sql: str) -> tuple[int, bytes, bytes]:
    """Return exit code, output and complaint; no more of them than shows that it is too much."""
    try:
        data = sql.encode()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (ValueError, OSError) as error:  # lone surrogates, NUL, arguments that are too long
        raise errors.BadRequest(f"Expected SQL and values that can be passed on: {error}") from None
    end = threading.Timer(TIMEOUT_S + _START_S, process.kill)
    end.start()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):  # it refused its arguments, and says so
            process.stdin.write(data)
            process.stdin.close()
        answer = process.stdout.read(ANSWER_BYTES_MAX + 1)
        if len(answer) > ANSWER_BYTES_MAX:
            process.kill()
        complaint = process.stderr.read(_COMPLAINT_BYTES_MAX)
    end.cancel()
    return process.returncode, answer, complaint
