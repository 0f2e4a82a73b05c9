"""compactor: the calendar. Verifies and copies the book, gives its head away, reminds its writer.

Owns the schedule and nothing else. Hears ``compactor.run`` and ``compactor.rules``; tells
journal_writer ``book.maintain``, ``book.archive``, ``book.retain`` and ``kv.compact``.
The scheduler's thread only puts a job's name into a queue; the loop hands verifications and backups
to one worker thread, so that beats go on, and everything on the write side to journal_writer. A job
that is late after a suspend runs once. A book that does not verify is reported to its writer, which
then refuses to add to it, until a later verification is clean. Where a start finds such a verdict
standing, it verifies at once: the book may have been restored.
"""

import logging
import math
import os
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from actors.base import Actor, Handler, Outcome, Ready, Request, decode_config
from actors.config import CompactorConfig
from hourbook.book import distrust
from hourbook.book.proof.witness_export import export_witness
from hourbook.book.reader import BookReader
from hourbook.book.store.census import take_census
from hourbook.book.store.spent import Horizon
from hourbook.book.upkeep import JobResult, backup_book, verify_book_now
from hourbook.compaction import Rules, compact_book
from protocols import errors, wire
from protocols.book_messages import AskRules, Maintain, Run, RunStarted
from protocols.change import JOURNAL_WRITER
from protocols.control import Snapshot

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

__all__ = ["Compactor", "parse_schedule"]

MISFIRE_GRACE_S: Final = 3600
"""APScheduler's default of 1 s would skip every job that a busy or suspended machine delays."""
MAINTAIN_TIMEOUT_S: Final = 30.0
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
READING_JOBS: Final = ("verify", "backup", "witness", "compact")
"""What the worker does itself, reading only; of a compaction journal_writer does the rest."""
_CHECKPOINT: Final = "checkpoint"
_CENSUS: Final = "census"
"""Of the keys of the store: no job of the calendar, but the worker does it."""
CENSUS_S: Final = 10.0
_CENSUS_SHARE: Final = 100
"""And at most this part of the time."""


class Compactor(Actor[CompactorConfig]):
    """Runs jobs by the calendar and on request."""

    config_type = CompactorConfig

    _scheduler: "BackgroundScheduler | None" = None

    def init(self) -> Outcome:
        """Start the calendar and the worker."""
        self._due: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._work: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[JobResult] = queue.SimpleQueue()
        self._under_way: set[str] = set()
        self._runs: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._wrong: dict[str, str] = {}
        self._last_seconds: dict[str, float] = {}
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.reactor.watch(self._bell, self._on_bell)
        self._worker = threading.Thread(target=self._run_jobs, name="jobs", daemon=True)
        self._worker.start()
        self._schedule(self.config)
        self._census: Snapshot = {}
        self._census_due_s = 0.0
        self._count_keys()
        self.reactor.every(CENSUS_S, self._count_keys)
        if distrust.path_of(self.home).exists():
            self._start("verify")
        return Ready()

    def handlers(self) -> Mapping[str, Handler]:
        """Return what this mailbox serves."""
        return {
            "compactor.run": Handler(Run, self._on_run),
            "compactor.rules": Handler(AskRules, self._on_rules),
        }

    def reload(self, config: dict[str, Any]) -> bool:
        """Take another schedule into force."""
        self.config = decode_config(CompactorConfig, config)
        self._schedule(self.config)
        return True

    def snapshot(self) -> Snapshot:
        """Return how often each job ran and failed, and how long its last run took."""
        figures: Snapshot = {"compactor_jobs_under_way": float(len(self._under_way))}
        for job in (*READING_JOBS, _CHECKPOINT):
            figures[f'compactor_runs_total{{job="{job}"}}'] = float(self._runs[job])
            figures[f'compactor_failures_total{{job="{job}"}}'] = float(self._failures[job])
        figures |= self._census
        for job, seconds in self._last_seconds.items():
            figures[f'compactor_last_seconds{{job="{job}"}}'] = seconds
        return figures

    def stop(self) -> None:
        """End the calendar; a job that still runs only reads, and ends with the process."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        self._work.put(None)

    # -- the calendar ----------------------------------------------------------------------------

    def _schedule(self, config: CompactorConfig) -> None:
        from apscheduler.schedulers.background import (  # noqa: PLC0415 - 0.1 s of imports
            BackgroundScheduler,
        )

        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        has_witness = bool(config.witness_file or config.witness_command)
        schedules = {
            "verify": config.verify,
            "backup": config.backup,
            "witness": config.witness if has_witness else "",
            "compact": config.compact,
            _CHECKPOINT: config.checkpoint,
        }
        triggers = {job: parse_schedule(line) for job, line in schedules.items() if line}
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        self._scheduler = BackgroundScheduler(daemon=True)
        for job, trigger in triggers.items():
            self._scheduler.add_job(
                self._ring,
                trigger,
                args=[job],
                id=job,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=MISFIRE_GRACE_S,
            )
        self._scheduler.start()

    def _ring(self, job: str) -> None:
        """Say that a job is due; from any thread."""
        self._due.put(job)
        os.eventfd_write(self._bell, 1)

    def _on_run(self, request: Request[Run]) -> RunStarted:
        job = request.body.job
        if job in self._under_way:
            return RunStarted(queued=False)
        self._start(job)
        return RunStarted(queued=True)

    def _on_rules(self, _: Request[AskRules]) -> Rules:
        return Rules(self.config.retention, _horizon(self.config))

    def _on_bell(self) -> None:
        os.eventfd_read(self._bell)
        while not self._results.empty():
            self._finish(self._results.get())
        while not self._due.empty():
            self._start(self._due.get())

    # -- jobs ------------------------------------------------------------------------------------

    def _start(self, job: str) -> None:
        if job in self._under_way:
            return
        self._under_way.add(job)
        if job != _CHECKPOINT:
            self._work.put(job)
            return
        self.reactor.ask(
            JOURNAL_WRITER,
            "book.maintain",
            Maintain(_CHECKPOINT),
            self._on_checkpointed,
            MAINTAIN_TIMEOUT_S,
        )

    def _run_jobs(self) -> None:
        """Do what needs a long read; the thread of the worker."""
        while (job := self._work.get()) is not None:
            if job == _CENSUS:
                self._take_census()
                continue
            try:
                result = self._read_and_do(job)
            except errors.BookMissing:
                result = JobResult(job, ok=True, summary="there is no book yet", seconds=0.0)
            except (errors.HourbookError, OSError) as error:
                result = JobResult(job, ok=False, summary=str(error), seconds=0.0)
            self._results.put(result)
            os.eventfd_write(self._bell, 1)

    def _count_keys(self) -> None:
        if time.monotonic() >= self._census_due_s:
            self._census_due_s = math.inf  # until it is done
            self._work.put(_CENSUS)

    def _take_census(self) -> None:
        """Count the keys of the book; where there is none yet, the next time."""
        started_s = time.monotonic()
        try:
            with BookReader(self.home) as reader:
                census = take_census(reader.connection)
        except (errors.HourbookError, sqlite3.Error) as error:
            self.log.debug("no census of the store: %s", error)
        else:
            keys = {f'store_keys{{type="{kind}"}}': n for kind, n in census.keys.items()}
            size = {f'store_bytes{{type="{kind}"}}': n for kind, n in census.bytes.items()}
            self._census = {name: float(value) for name, value in (keys | size).items()}
        ended_s = time.monotonic()
        self._census_due_s = ended_s + _CENSUS_SHARE * (ended_s - started_s)

    def _read_and_do(self, job: str) -> JobResult:
        config = self.config
        match job:
            case "verify":
                return verify_book_now(self.home)
            case "backup":
                return backup_book(self.home, config.backups_kept)
            case "compact":
                return compact_book(self.home, config.retention, _horizon(config))
            case _:
                return export_witness(self.home, config.witness_file, config.witness_command)

    def _on_checkpointed(self, answer: wire.Envelope | errors.HourbookError) -> None:
        is_error = isinstance(answer, errors.HourbookError)
        summary = str(answer) if is_error else "the log was moved into the database"
        self._finish(JobResult(_CHECKPOINT, ok=not is_error, summary=summary, seconds=0.0))

    def _finish(self, result: JobResult) -> None:
        self._under_way.discard(result.job)
        self._runs[result.job] += 1
        self._last_seconds[result.job] = result.seconds
        if result.ok:
            self._wrong.pop(result.job, None)
            self.log.info("%s: %s", result.job, result.summary)
        else:
            self._failures[result.job] += 1
            self._wrong[result.job] = result.summary
        if self._wrong:
            self.reactor.degrade("; ".join(f"{job}: {why}" for job, why in self._wrong.items()))
        else:
            self.reactor.recover()
        if result.first_bad_seq is not None:
            bad_seq, problem = result.first_bad_seq, result.problem
            self._tell_writer(Maintain("distrust", first_bad_seq=bad_seq, problem=problem))
        elif result.is_clean:
            self._tell_writer(Maintain("trust"))

    def _tell_writer(self, verdict: Maintain) -> None:
        """Report a verdict; a writer that is away reads it at its start."""
        self.reactor.ask(
            JOURNAL_WRITER, "book.maintain", verdict, lambda _: None, MAINTAIN_TIMEOUT_S
        )


def _horizon(config: CompactorConfig) -> Horizon:
    return Horizon(config.store_history_s, config.store_versions)


def parse_schedule(line: str) -> Any:  # noqa: ANN401 - APScheduler publishes no types
    """Return the trigger that a schedule means: a cron line, or ``every N s|m|h|d``.

    Raises:
        ConfigError: a cron line whose fields are out of range.
    """
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - 0.1 s of imports
    from apscheduler.triggers.interval import IntervalTrigger  # noqa: PLC0415

    if line.startswith("every "):
        text = line.removeprefix("every ").replace(" ", "")
        return IntervalTrigger(seconds=int(text[:-1]) * _UNIT_S[text[-1]])
    try:
        return CronTrigger.from_crontab(line)
    except ValueError as error:
        raise errors.ConfigError(
            f"Expected a cron line (minute hour day month weekday), got {line!r}: {error}",
            field="schedule",
            value=line,
        ) from None
