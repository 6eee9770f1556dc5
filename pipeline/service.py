"""The long-running process: what is due or has arrived is run, one run at a time; what was missed is caught up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, WarehouseBusy
from pipeline.landing.scan import FoundFile, scan
from pipeline.notify import Notifier, without_values
from pipeline.project.almanac import due_after
from pipeline.project.flow import Flow
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.results import RunResult
from pipeline.runner import Order, execute, open_warehouse
from pipeline.steps.context import Policy
from pipeline.warehouse.database import Database, open_database
from pipeline.warehouse.dues import last_dues, note_dues, settle_due, waiting_dues
from pipeline.warehouse.ledger import flows_whose_last_run

ON_TIME = timedelta(seconds=60)  # a run noticed this late counts as on time, not as missed
_AT_MOST = 1000  # missed runs of one flow that `catch_up: all` does
_GRACE = 6.0  # seconds that a statement may go on after SIGTERM before it is interrupted


@dataclass
class Arrivals:
    """The files that wait for a flow, since when they have been the same, and whether they were tried."""

    files: tuple[FoundFile, ...] = ()
    since: float = 0.0
    tried: bool = False


@dataclass
class Service:
    """The state of the process. `load` reads the project; `stop` ends the loop."""

    load: Callable[[], Project]
    log: Any
    clock: Clock = field(default_factory=Clock)
    stop: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    alive_at: float = 0.0
    running: str | None = None
    runs: int = 0

    def __post_init__(self) -> None:
        self.project = self.load()
        self._seen: tuple[tuple[str, int, int], ...] = project_state(self.project.folder)
        self._next: dict[str, datetime | None] = {}
        self._arrivals: dict[str, Arrivals] = {}
        self.notifier = Notifier(self.log, self.stop)
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._database: Database | None = None
        self._door = threading.Lock()

    # ---------------------------------------------------------------- the loop
    def serve(self, poll: float = 1.0) -> None:
        """Go on until `stop` is set; a flow's due time wakes the loop, arrivals are looked for every `poll` seconds."""
        self._scheduler.start()
        try:
            self.begin()
            while not self.stop.is_set():
                self.alive_at = self.clock.seconds()
                self.wake.clear()
                self.turn(self.clock.now())
                self.wake.wait(poll)
        finally:
            self._scheduler.shutdown(wait=False)

    def end(self) -> None:
        """Stop: the task under way may finish within seconds, then it is interrupted; the next start goes on from there."""
        self.stop.set()
        self.wake.set()
        threading.Thread(target=self._press, daemon=True).start()

    def _press(self) -> None:
        threading.Event().wait(_GRACE)
        while self.running:
            if self._database is not None:
                self._database.interrupt()
            threading.Event().wait(0.05)

    def begin(self) -> None:
        """Look at the ledger: from when each flow's schedule is watched, and which runs were cut off."""
        now = self.clock.now()
        with self._open() as database:
            last = last_dues(database)
            for name, flow in self.project.flows.items():
                if flow.spec.schedule and name not in last:
                    note_dues(database, name, [(now, "begun")], now)
                    last[name] = now
            cut_off = flows_whose_last_run(database, "interrupted")
            self.notifier.begin(set(flows_whose_last_run(database, "failed")))
        self._plan_next(last)
        for name in cut_off:
            if name in self.project.flows and not self.stop.is_set():
                self.log.info("resuming the run that was cut off", flow=name)
                self.run(self.project.flows[name], "resumed")

    def _plan_next(self, last: dict[str, datetime]) -> None:
        for name, flow in self.project.flows.items():
            if flow.spec.schedule:
                since = last.get(name) or self.clock.now()
                self._next[name] = next(due_after(flow.spec.schedule, flow.spec.time_zone, since), None)
                self._set_alarm(name)

    def _set_alarm(self, name: str) -> None:
        due = self._next[name]
        if due is not None and self._scheduler.running:
            self._scheduler.add_job(
                self.wake.set, "date", run_date=due, id=name, replace_existing=True, misfire_grace_time=None
            )

    def turn(self, now: datetime) -> None:
        """One look at the time and at landing/: run what is due, then what has arrived."""
        try:
            self._reload()
            self._run_due(now)
            self._run_arrived()
        except WarehouseBusy as error:
            self.log.warning("waiting", reason=error.sentence())
        except (GoldfeedError, OSError) as error:
            self.log.error("this turn failed", error=str(error))

    def reread(self) -> None:
        """Have the next turn read the project again."""
        self._seen = ()
        self.wake.set()

    def _reload(self) -> None:
        """Read the project again if a file of it has changed; a broken edit keeps the old one and says so."""
        state = project_state(self.project.folder)
        if state == self._seen:
            return
        self._seen = state
        try:
            self.project = self.load()
        except GoldfeedError as error:
            self.log.error("the edit is refused; what was there before goes on", error=error.sentence())
            return
        self.log.info("the project was read again", flows=sorted(self.project.flows))
        with self._open() as database:
            last = last_dues(database)
        self._next.clear()
        self._plan_next(last)

    # ---------------------------------------------------------------- due
    def _run_due(self, now: datetime) -> None:
        late = {name: due for name, due in self._next.items() if due is not None and due <= now}
        if not late:
            return
        with self._open() as database:
            for name in late:
                flow = self.project.flows[name]
                dues = missed(flow, last_dues(database).get(name, late[name] - timedelta(seconds=1)), now)
                note_dues(database, name, dues, now)
                skipped = sum(state == "skipped" for _, state in dues)
                if skipped:
                    self.log.warning(
                        "missed runs were skipped", flow=name, skipped=skipped, catch_up=flow.spec.catch_up
                    )
                self._next[name] = next(due_after(flow.spec.schedule or "", flow.spec.time_zone, now), None)
                self._set_alarm(name)
            for name, due in waiting_dues(database):
                if name in self.project.flows and not self.stop.is_set():
                    result = self._run_in(database, self.project.flows[name], "schedule")
                    if result.status != "interrupted":
                        settle_due(database, name, due, result.run_id)

    # ---------------------------------------------------------------- arrivals
    def _run_arrived(self) -> None:
        found = scan(self.project.settings.landing, self.project.graph.sources.values()).by_source
        for name, flow in self.project.flows.items():
            if flow.spec.on_arrival is None or self.stop.is_set():
                continue
            sources = [source.name for table, source in self.project.graph.sources.items() if table in flow.tables]
            files = tuple(file for source in sources for file in found.get(source, ()))
            state = self._arrivals.setdefault(name, Arrivals())
            if files != state.files:
                self._arrivals[name] = Arrivals(files, self.clock.seconds())
            elif files and not state.tried and self.clock.seconds() - state.since >= flow.spec.on_arrival:
                state.tried = self.run(flow, "arrival") is not None

    # ---------------------------------------------------------------- a run
    def run(self, flow: Flow, why: str) -> RunResult | None:
        """Run a flow and log what came of it; None if another process holds the warehouse."""
        try:
            with self._open() as database:
                return self._run_in(database, flow, why)
        except WarehouseBusy as error:
            self.log.warning("waiting", flow=flow.name, reason=error.sentence())
            return None

    def _run_in(self, database: Database, flow: Flow, why: str) -> RunResult:
        self.running = flow.name
        try:
            order = Order(select=tuple(sorted(flow.tables)), flow=flow.name)
            result = execute(self.project, database, order, clock=self.clock, policy=policy_of(flow), stop=self.stop)
        finally:
            self.running = None
        self.runs += 1
        self._tell(self.log.bind(flow=flow.name, because=why), result)
        heard = {
            name: channel
            for name, channel in self.project.channels.items()
            if flow.spec.notify is None or name in flow.spec.notify
        }
        self.notifier.hear(result, heard, current(self.project.settings.published))
        return result

    def _tell(self, log: Any, result: RunResult) -> None:
        if result.status == "nothing_to_do":
            return
        log = log.bind(run=result.run_id)
        for task in result.tasks:
            facts = {"task": task.task, "status": task.status, "rows_in": task.rows_in, "rows_out": task.rows_out}
            if task.error:
                log.error(
                    "task",
                    **facts,
                    quarantined=task.rows_quarantined,
                    attempts=task.attempts,
                    error=without_values(task.error),
                )
            else:
                log.info("task", **facts, quarantined=task.rows_quarantined, seconds=task.seconds)
        tell = log.info if result.status == "succeeded" else log.error
        tell("run", status=result.status, version=result.version, seconds=round(result.seconds, 2))

    def _open(self) -> _Held:
        return _Held(self)

    # ---------------------------------------------------------------- for those who look
    @contextmanager
    def reading(self) -> Iterator[Database]:
        """The warehouse for a short look: beside the run under way, or opened for it between runs."""
        with self._door:
            settings = self.project.settings
            database = self._database.another() if self._database else open_database(settings, read_only=True)
            try:
                yield database
            finally:
                database.close()

    def memory(self) -> int:
        """Bytes the engine holds for the warehouse; 0 between runs."""
        if self._database is None:
            return 0
        with self.reading() as database:
            return int(database.value("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()"))

    def next_runs(self) -> dict[str, datetime | None]:
        """When each flow with a schedule is due next."""
        return dict(self._next)

    def turned(self) -> datetime:
        """When the loop last turned; now, while a run is on."""
        now = self.clock.now()
        return now if self.running else now - timedelta(seconds=self.clock.seconds() - self.alive_at)

    # ---------------------------------------------------------------- health
    def ready(self) -> tuple[bool, str]:
        """Whether readers have something to read, or a first run is under way; and a word on it."""
        if current(self.project.settings.published) is not None:
            return True, "published"
        return (True, "first run") if self.running else (False, "nothing is published yet")


class _Held:
    """The warehouse, open for as long as it is needed: between runs other processes may have it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __enter__(self) -> Database:
        with self._service._door:
            self._database = open_warehouse(self._service.project, self._service.clock)
            self._service._database = self._database
        return self._database

    def __exit__(self, *_: object) -> None:
        with self._service._door:
            self._service._database = None
            self._database.close()


def policy_of(flow: Flow) -> Policy:
    """What a flow says of retries and limits."""
    spec = flow.spec
    return Policy(spec.retries, spec.retry_wait, spec.retry_cap, spec.time_limit, spec.run_time_limit, spec.sla)


def missed(flow: Flow, since: datetime, now: datetime) -> list[tuple[datetime, str]]:
    """The times after `since` up to `now` at which a flow was due, each waiting or skipped as its `catch_up` says."""
    spec = flow.spec
    dues = list(takewhile(lambda due: due <= now, due_after(spec.schedule or "", spec.time_zone, since)))
    if not dues:
        return []
    if spec.catch_up == "all":
        kept = dues[-_AT_MOST:]
    elif spec.catch_up == "latest":
        kept = dues[-1:]
    else:
        kept = [due for due in dues[-1:] if now - due <= ON_TIME]
    return [(due, "waiting" if due in kept else "skipped") for due in dues]


def project_state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files a project is read from."""
    paths = [folder / "goldfeed.yml", *sorted((folder / "sql").glob("*/*"))]
    states = [(path, path.stat()) for path in paths if path.exists()]
    return tuple((str(path), info.st_size, info.st_mtime_ns) for path, info in states)
