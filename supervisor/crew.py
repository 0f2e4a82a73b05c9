"""The living processes of a tree, with their logs: who runs, who has ended, who is gone. An edge.

A process passes through three moments: its descriptor says that it *ended*, it is reaped, and when
its group and its strays are ended too it is *gone*. Only then may its successor be born.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from actors.contract import ActorContext
from hourbook.home import Home
from hourbook.timebase import Timebase
from supervisor import adopted
from supervisor.causes import Exit
from supervisor.logs import LogFile, LogLine, LogSink
from supervisor.process import ActorProcess, OomKills, tracker_pid
from supervisor.spec import ChildSpec, Settings

__all__ = ["Crew", "Gone"]

_LAST_WORDS_BYTES: Final = 16 << 10
_LAST_WORDS_LINES: Final = 12


class Gone(NamedTuple):
    """An incarnation of which nothing is left."""

    name: str
    incarnation: int
    pid: int
    end: Exit


class Crew:
    """Spawns, pushes and buries processes; registers what it must hear with the poller.

    Args:
        home: where they live and log.
        settings: sizes of the logs, and how much is logged.
        timebase: for the time of log lines.
        watch: registers a descriptor and what to call when it can be read.
        unwatch: takes that back.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        timebase: Timebase,
        watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], None],
    ) -> None:
        self._home = home
        self._settings = settings
        self._timebase = timebase
        self._watch = watch
        self._unwatch = unwatch
        self._processes: dict[str, ActorProcess] = {}
        self._ending: list[str] = []
        self._files: dict[str, LogFile] = {}
        self._sinks: dict[str, list[LogSink]] = {}
        self._oom_kills = OomKills()

    @property
    def dropped_log_lines(self) -> int:
        """Lines that could not be kept."""
        return sum(file.dropped_lines for file in self._files.values())

    @property
    def is_ending(self) -> bool:
        """Whether some process has ended of which something may be left."""
        return bool(self._ending)

    def spawn(self, spec: ChildSpec, incarnation: int) -> int:
        """Start an incarnation; return its pid.

        Raises:
            OSError: the kernel has no process, descriptor or memory for it.
        """
        context = ActorContext(
            name=spec.name,
            incarnation=incarnation,
            home_path=str(self._home.path),
            run_dir=str(self._home.run_dir),
            config=spec.config,
            log_level=self._settings.log_level,
        )
        process = ActorProcess(spec, context)
        self._processes[spec.name] = process
        self._sinks[spec.name] = [
            self._open_sink(process.stdout, process, "stdout"),
            self._open_sink(process.stderr, process, "stderr"),
        ]
        self._watch(process.fileno(), lambda: self._ended(process))
        return process.pid

    def push(self, name: str, deed: Literal["terminate", "abort", "kill"]) -> None:
        """Signal an incarnation; nothing happens when it has ended meanwhile."""
        process = self._processes.get(name)
        if process is not None and process.end is None:
            process.push(deed)

    def bury(self) -> list[Gone]:
        """Return who is gone since the last call; to be asked again while :attr:`is_ending`."""
        gone = []
        for name in tuple(self._ending):
            process = self._processes[name]
            if not process.is_gone():
                continue
            assert process.end is not None, "only the ended are asked"
            self._ending.remove(name)
            del self._processes[name]
            for sink in self._sinks.pop(name):
                self._close_sink(sink)
            gone.append(Gone(name, process.incarnation, process.pid, process.end))
        return gone

    def reap_strangers(self) -> None:
        """Reap orphans that came to us; our own are reaped by their own watch."""
        own = {process.pid for process in self._processes.values() if process.end is None}
        adopted.reap_strangers(own | {tracker_pid()})

    def last_words(self, name: str, incarnation: int) -> str:
        """Return the last lines that an incarnation printed."""
        file = self._files.get(name)
        if file is None:
            return ""
        try:
            with file.path.open("rb") as stream:
                stream.seek(max(0, stream.seek(0, 2) - _LAST_WORDS_BYTES))
                data = stream.read()
        except OSError:
            return ""
        lines = []
        for raw in data.splitlines():
            try:
                line = msgspec.json.decode(raw, type=LogLine)
            except msgspec.MsgspecError:
                continue  # the first one may be cut
            if line.incarnation == incarnation:
                lines.append(line.line)
        lines = lines[-_LAST_WORDS_LINES:]
        while len(lines) > 1 and lines[0].startswith("   "):
            del lines[0]  # of a frame whose beginning is not shown
        return "\n".join(lines)

    def drop(self, name: str) -> None:
        """Release the log of an actor whose spec is gone."""
        file = self._files.pop(name, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Release all logs; nobody runs any more."""
        for name in tuple(self._files):
            self.drop(name)

    # -- edges -----------------------------------------------------------------------------------

    def _ended(self, process: ActorProcess) -> None:
        fd = process.fileno()
        if process.reap(self._oom_kills):
            self._unwatch(fd)
            self._ending.append(process.name)

    def _open_sink(self, fd: int, process: ActorProcess, stream: str) -> LogSink:
        name = process.name
        if name not in self._files:
            self._files[name] = LogFile(
                self._home.logs_dir / f"{name}.jsonl",
                self._timebase.wall_ns,
                file_bytes_max=self._settings.log_file_mib << 20,
                files_max=self._settings.log_files,
            )
        sink = LogSink(
            fd,
            self._files[name],
            name,
            process.incarnation,
            stream,
            line_bytes_max=self._settings.log_line_bytes,
        )
        self._watch(fd, lambda: self._drain(sink))
        return sink

    def _drain(self, sink: LogSink) -> None:
        if not sink.drain():
            self._close_sink(sink)

    def _close_sink(self, sink: LogSink) -> None:
        if sink.fileno() >= 0:
            self._unwatch(sink.fileno())
            sink.close()
