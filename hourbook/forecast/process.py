"""A forecaster's worker process as its parent sees it: pipes that never make it wait.

Owns one child of this process. Every call returns at once, but for the two that say so; a child
that was ended is reaped by :meth:`WorkerProcess.ending`, asked until it says something. Decides
nothing: when to ask, and when patience is over, is `forecast_turns`' business.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from protocols.forecast_messages import (
    ANSWER_BYTES_MAX,
    QUESTION_BYTES_MAX,
    Birth,
    FrameBuffer,
    Question,
    frame_of,
)

__all__ = ["WorkerProcess"]

_KEPT: Final = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
)  # fmt: skip
"""All that a forecaster needs of our environment. It may hold tokens; they are not among these."""
_ADDED: Final = {
    "HF_HUB_OFFLINE": "1",  # weights come from a path, never from a network
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",  # a forecast every few seconds is worth one processor at most
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
_READ_BYTES: Final = 65_536
_WORDS_BYTES: Final = 4_096
"""Kept of what the worker has printed last."""
_WORDS_MAX: Final = 300


class WorkerProcess:
    """One worker; see the head of the module.

    Raises:
        BadRequest: the options are no plain data, or too large.
        OSError: no process can be started.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        birth = frame_of(Birth(name, dict(options)), QUESTION_BYTES_MAX)
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "hourbook.forecast.worker", name, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=_environment(),
        )
        assert self._popen.stdin, "a pipe was asked for"
        assert self._popen.stdout, "a pipe was asked for"
        assert self._popen.stderr, "a pipe was asked for"
        self._questions, self._answers = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        self._printed = self._popen.stderr.fileno()
        for descriptor in (self._questions, self._answers, self._printed):
            os.set_blocking(descriptor, False)
        self._buffer = FrameBuffer(ANSWER_BYTES_MAX)
        self._words = b""
        self._send(birth)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def fileno(self) -> int:
        """Return a descriptor that can be read when it has answered, or ended."""
        return self._answers

    def ask(self, question: Question) -> None:
        """Ask; one question at a time."""
        self._send(frame_of(question, QUESTION_BYTES_MAX))

    def receive(self) -> list[bytes]:
        """Return the answers that have come.

        Raises:
            EOFError: it has closed its end.
            FrameTooLarge: it says more than it may.
        """
        self.listen()
        try:
            data = os.read(self._answers, _READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise EOFError
        return self._buffer.feed(data)

    def listen(self) -> None:
        """Keep the end of what it has printed, one pipeful at a time.

        So one that prints without end waits for us, and not we for it.
        """
        try:
            printed = os.read(self._printed, _READ_BYTES)
        except BlockingIOError:
            return
        self._words = (self._words + printed)[-_WORDS_BYTES:]

    def last_words(self) -> str:
        """Return the last line that it has printed, "" without one."""
        self.listen()
        lines = [line for line in self._words.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:_WORDS_MAX] if lines else ""

    def end(self) -> None:
        """Kill it."""
        self._popen.kill()

    def ending(self) -> str:
        """Return in words how it ended, "" while it has not."""
        code = self._popen.poll()
        if code is None:
            return ""
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        last = self.last_words()
        return f"{how}: {last}" if last else how

    def close(self) -> None:
        """Release the pipes of one that has ended."""
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            assert pipe, "a pipe was asked for"
            pipe.close()

    def wait_end(self, timeout_s: float) -> None:
        """Wait until it has ended, or no longer; for a parent that has nothing else to do."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)

    def end_at_once(self, timeout_s: float) -> None:
        """Kill it, wait until it is gone, and close."""
        self.end()
        self.wait_end(timeout_s)
        self.close()

    def _send(self, frame: bytes) -> None:
        try:
            sent = os.write(self._questions, frame)
        except BlockingIOError:
            sent = 0
        except BrokenPipeError:
            return  # its end is seen where answers are read
        if sent < len(frame):
            self.end()  # a worker that leaves a whole pipe unread answers nothing either


def _environment() -> dict[str, str]:
    """Return what the worker may know: little, and where the same modules are found."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_ADDED, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
