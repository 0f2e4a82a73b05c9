"""`kv lock NS KEY -- COMMAND`: run a command while holding a lock of the store."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from hourbook.cli import exit_codes
from hourbook.cli.open_book import open_book
from hourbook.cli.options import HomeOption, WriterOption
from hourbook.words import typed_text, visible
from protocols import errors

if TYPE_CHECKING:
    from hourbook.faces.lock import Lock

__all__ = ["TOKEN_VARIABLE", "lock"]

TOKEN_VARIABLE: Final = "HOURBOOK_LOCK_TOKEN"  # noqa: S105 - the name of a variable
"""What tells the command its fencing token."""
LOOK_S: Final = 0.25
"""Between two looks whether the lock is still ours."""
END_S: Final = 5.0
"""How long a command has to end once the lock is lost; then it is killed."""
PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
_PR_SET_PDEATHSIG: Final = 1
BY_SIGNAL: Final = 128
"""As shells report them."""


def lock(
    namespace: str,
    key: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    ttl: float = 30.0,
    wait: float = 10.0,
    writer: WriterOption = "cli",
    home: HomeOption = None,
) -> int:
    """Run a command while holding a lock; exit with its exit code.

    The command finds the fencing token in HOURBOOK_LOCK_TOKEN, for `kv set --token`. Where the lock
    is lost, the command is told to end (SIGTERM, then SIGKILL) and the exit code is 1. It
    is told so too where we are, or are killed.

    Example: `hourbook kv lock deploy production --wait 60 -- make deploy`

    Parameters
    ----------
    namespace:
        Of the key.
    key:
        What is locked; there need be no value.
    command:
        What to run, after `--`.
    ttl:
        Seconds that the lease outlives our last sign of life (0.1 to 604800).
    wait:
        Seconds to wait for others (0 to 43200); then exit code 7.
    """
    if not command:
        raise errors.BadRequest("Expected a command to run after --, got none", field="command")
    with (
        open_book(writer, home) as book,
        book.store(namespace).lock(typed_text(key), ttl_s=ttl, wait_s=wait) as held,
    ):
        return _run(command, held)


def _run(command: tuple[str, ...], held: "Lock") -> int:
    """Run the command to its end, or until the lock is lost; return the exit code."""
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if process is None:  # there is nobody yet to pass it to
            early.append(number)
        else:
            process.send_signal(number)

    # Not masked meanwhile: a mask is one thread's, and others of ours would take the signal.
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    try:
        process = _start(command, held.token)
    except OSError as error:
        sys.stderr.write(f"hourbook: {error.strerror}, at {visible(command[0])}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
    for came_early in early:
        process.send_signal(came_early)
    while not held.is_lost:
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            # Ctrl-C goes to the whole group: the command decides whether it ends.
            code = process.wait(LOOK_S)
            return code if code >= 0 else BY_SIGNAL - code
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    where = visible(f"{held.namespace}/{held.key}")
    sys.stderr.write(f"hourbook: lost the lock of {where} while the command ran\n")
    return exit_codes.FOUND_WRONG


def _start(command: tuple[str, ...], token: int) -> "subprocess.Popen[bytes]":
    """Start the command, which must not outlive us: our lock ends when we do."""
    libc = ctypes.CDLL(None)  # looked up before the fork, where nothing may be loaded any more
    tie = getattr(libc, "prctl", None)
    environment = {**os.environ, TOKEN_VARIABLE: str(token)}

    def prepare() -> None:
        if tie is not None:
            tie(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(command, env=environment, preexec_fn=prepare)  # noqa: PLW1509 - calls of C
