"""Giving the head of the book away, on a schedule, to where its owner cannot change it. An edge.

A file is replaced only while the book still holds what the file says: a witness that shows that the
book was cut off must not be overwritten by the very job that keeps witnesses.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hourbook.book.durable import write_private
from hourbook.book.proof.witness import (
    first_mismatch,
    load_witnesses,
    parse_witness,
    witness_json,
)
from hourbook.book.reader import BookReader
from hourbook.book.upkeep import JobResult
from hourbook.home import Home
from protocols import errors

__all__ = ["COMMAND_TIMEOUT_S", "export_witness"]

COMMAND_TIMEOUT_S: Final = 60.0
_READABLE: Final = 0o644
"""A head is no secret; whoever compares it may be somebody else."""
_COMPLAINT_LENGTH_MAX: Final = 200


def export_witness(home: Home, file: str, command: Sequence[str]) -> JobResult:
    """Write the head to `file` and hand it to `command`, as `hourbook head --json` prints it.

    Args:
        home: whose book.
        file: replaced, atomically and durably, when the head is another; "" for none.
        command: a program and its arguments, no shell; reads the head from stdin; () for none.

    Raises:
        BookMissing: there is no book yet.
    """
    started_ns = time.monotonic_ns()
    with BookReader(home) as reader:
        document = reader.query(witness_json)
        if document is None:
            return JobResult("witness", ok=True, summary="the book is empty", seconds=0.0)
        line = msgspec.json.encode(document) + b"\n"
        problems = [_write(reader, Path(file), line)] if file else []
    if command:
        problems.append(_run(command, line))
    found = "; ".join(problem for problem in problems if problem)
    where = " and ".join([*([file] if file else []), *command[:1]]) or "nobody: none is configured"
    summary = found or f"gave commit {document['commit']} (seq {document['seq']}) to {where}"
    seconds = (time.monotonic_ns() - started_ns) / 1e9
    return JobResult("witness", ok=not found, summary=summary, seconds=seconds)


def _write(reader: BookReader, path: Path, line: bytes) -> str:
    """Replace the file where that is right; return what is wrong otherwise."""
    try:
        path = Path(os.path.realpath(path))  # a link leads there, and is not replaced itself
        if path.exists():
            if not path.is_file():
                return f"{path} was left as it is: it is no regular file"
            earlier = load_witnesses(path)
            if [one.commit for one in earlier] == [parse_witness(line, "the head").commit]:
                return ""
            mismatch = reader.query(lambda connection: first_mismatch(connection, earlier))
            if mismatch is not None:
                return f"{path} contradicts the book, and was left as it is: {mismatch.problem}"
        write_private(path, line, _READABLE)
    except errors.CallerError as error:
        return f"{path} was left as it is: {error}"
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return ""


def _run(command: Sequence[str], line: bytes) -> str:
    """Hand the head over; return what went wrong."""
    name = command[0]
    try:
        done = subprocess.run(
            command, input=line, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end within {COMMAND_TIMEOUT_S:.0f} s"
    except OSError as error:
        return f"cannot run {name}: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return f"{name} ended with {done.returncode}: {''.join(said)[:_COMPLAINT_LENGTH_MAX]}"
