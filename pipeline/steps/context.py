"""What every step is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Condition, Event, Lock
from typing import Any, Protocol

from pipeline.clock import Clock
from pipeline.project.project import Project
from pipeline.results import TaskResult
from pipeline.sql import table_name
from pipeline.warehouse.audits import Audits
from pipeline.warehouse.changes import Changes
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import Known
from pipeline.warehouse.quarantine import Numbers


class Turns:
    """Builds go side by side; a change of a table's columns goes alone, for the checkpoint after it bears no other writer."""

    def __init__(self) -> None:
        self._changed, self._beside, self._alone = Condition(), 0, False

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Until the end of the block nothing goes alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._beside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for all that goes side by side; until the end of the block nothing new begins."""
        with self._changed:
            self._alone = True
            self._changed.wait_for(lambda: not self._beside)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class Reporter(Protocol):
    """Hears of progress; draws bars, or nothing."""

    def task_started(self, task: str, total: int | None, progress: Callable[[], float]) -> None: ...

    def task_advanced(self, task: str, done: int) -> None: ...

    def task_ended(self, task: str, status: str, rows: int, seconds: float) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def task_started(self, task: str, total: int | None, progress: Callable[[], float]) -> None:
        """Nothing."""

    def task_advanced(self, task: str, done: int) -> None:
        """Nothing."""

    def task_ended(self, task: str, status: str, rows: int, seconds: float) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Policy:
    """How patient a run is; times in seconds. `limits` and `slas` are those of single tables."""

    retries: int = 2
    retry_wait: float = 0.2
    retry_cap: float = 5.0
    time_limit: float = 7200.0
    run_time_limit: float = 7200.0
    sla: float = 7200.0
    limits: Mapping[str, float] = field(default_factory=dict)
    slas: Mapping[str, float] = field(default_factory=dict)

    def limit_of(self, table: str) -> float:
        """The time limit of a task on a table: its own, or that of all."""
        return self.limits.get(table, self.time_limit)


@dataclass
class Draft:
    """The version under way: its number once it has a folder, and the tables that are written before their publication.

    `early`: {gold table: (its version, what the manifest will say)}; see steps/draft.py.
    """

    version: str | None = None
    early: dict[str, tuple[int, Future[dict[str, Any]]]] = field(default_factory=dict)
    writer: Executor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True)
class Run:
    """One run: its number, its start (UTC) and what it works on.

    `in_a_row`: another run follows at once, so the checkpoint is left to it, or to the closing of the file.
    `hear` is told of each task when it has ended.
    """

    run_id: int
    now: datetime
    project: Project
    database: Database
    clock: Clock
    reporter: Reporter = field(default_factory=Silent)
    numbers: Numbers = field(default_factory=Numbers)
    turns: Turns = field(default_factory=Turns)
    draft: Draft = field(default_factory=Draft)
    known: Known | None = None
    audits: Audits = field(default_factory=Audits)
    policy: Policy = field(default_factory=Policy)
    stop: Event = field(default_factory=Event)
    began: float = 0.0
    changes: Changes = field(default_factory=Changes)
    shapes: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)  # column -> type of a version of a table
    last: dict[str, Any] | None = None  # the last publication, as last_publication() gave it before the run
    in_a_row: bool = False
    hear: Callable[[int, TaskResult], None] = lambda run_id, task: None

    def shape(self, table: str) -> dict[str, str]:
        """Column -> type of a table, asked once for each version of it that is known."""
        state = self.known.states.get(table) if self.known else None
        if state is None:
            return self.database.columns_of(table_name(table))
        place = table, state.version
        if place not in self.shapes:
            self.shapes[place] = self.database.columns_of(table_name(table))
        return self.shapes[place]


@dataclass(frozen=True)
class StepResult:
    """What one task did. `status`: succeeded, unchanged, failed, skipped, withheld."""

    status: str
    rows_in: int = 0
    rows_out: int = 0
    rows_quarantined: int = 0
    rows_superseded: int = 0
    notes: tuple[str, ...] = ()
    error: str | None = None
    version: str | None = None
    may_pass: bool = False
