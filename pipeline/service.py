"""The long-running process: what is due or has arrived is run, one run at a time; what was missed is caught up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, WarehouseBusy
from pipeline.keeper import Keeper
from pipeline.landing.scan import FoundFile, scan
from pipeline.notify import Notifier, channels_of, log_run
from pipeline.outbox import Outbox
from pipeline.project.almanac import due_after
from pipeline.project.flow import Flow
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.results import RunResult
from pipeline.runner import Order, execute
from pipeline.steps.context import Run
from pipeline.steps.retain import retain
from pipeline.terms import late_in, missed, policy_of
from pipeline.warehouse.compact import compact, is_wasteful
from pipeline.warehouse.database import Database
from pipeline.warehouse.dues import last_dues, note_dues, settle_due, waiting_dues
from pipeline.warehouse.history import last_retention
from pipeline.warehouse.ledger import flows_whose_last_run
from pipeline.warehouse.promises import Miss, note_misses
from pipeline.watch import Watch

_TICK = timedelta(seconds=1)
_JUMP = 30.0  # seconds between two looks by which the clocks may differ
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
        self._retained = self.clock.now()
        self._looked: tuple[datetime, float] | None = None
        self._next: dict[str, datetime | None] = {}
        self._arrivals: dict[str, Arrivals] = {}
        outbox = Outbox(self.project.settings.home / "outbox")
        self.notifier = Notifier(self.log, self.stop, outbox, lambda: self.project.channels)
        self.keeper = Keeper(self.clock)
        self.watch = Watch(self.keeper, self.notifier, self.log, self.clock.now(), lambda: self.running is not None)
        self.calls: set[threading.Event] = set()  # set one to end a command that is done for somebody else
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._database: Database | None = None

    # ---------------------------------------------------------------- the loop
    def serve(self, poll: float = 1.0) -> None:
        """Go on until `stop` is set; a flow's due time wakes the loop, arrivals are looked for every `poll` seconds."""
        self._scheduler.start()
        try:
            self.begin()
            threading.Thread(target=self._watch, daemon=True).start()
            while not self.stop.is_set():
                self.alive_at = self.clock.seconds()
                self.wake.clear()
                self.turn(self.clock.now())
                self.wake.wait(poll)
        finally:
            self._scheduler.shutdown(wait=False)

    def _watch(self) -> None:
        """Judge promises also while a run keeps the loop busy."""
        while not self.stop.wait(1.0):
            try:
                self.watch.look(self.project, self.clock.now())
            except (GoldfeedError, OSError) as error:
                self.log.error("promises could not be judged", error=str(error))

    def end(self) -> None:
        """Stop: the task under way may finish within seconds, then it is interrupted; the next start goes on from there."""
        self.stop.set()
        self.wake.set()
        for call in list(self.calls):
            call.set()
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
        with self.keeper.reading(self.project) as database:
            last = last_dues(database)
            flows = self.project.flows.items()
            new = [name for name, flow in flows if flow.spec.schedule and name not in last]
            note_dues(database, [(name, now, "begun") for name in new], now)
            last |= dict.fromkeys(new, now)
            self._retained = last_retention(database) or now
            cut_off = flows_whose_last_run(database, "interrupted")
            bad = [(status, flows_whose_last_run(database, status)) for status in ("failed", "withheld")]
            self.notifier.begin({flow: status for status, flows in bad for flow in flows})
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
            self._check_clock(now)
            self._reload()
            self._run_due(now)
            self._run_arrived()
            self._retain(now)
            self.watch.look(self.project, now)
        except WarehouseBusy as error:
            self.log.warning("waiting", reason=error.sentence())
        except (GoldfeedError, OSError) as error:
            self.log.error("this turn failed", error=str(error))

    def _check_clock(self, now: datetime) -> None:
        """Say so when the wall clock has jumped, against the one that only goes on."""
        seconds = self.clock.seconds()
        if self._looked is not None:
            before, then = self._looked
            jump = (now - before).total_seconds() - (seconds - then)
            if abs(jump) > _JUMP:
                self.log.warning("the clock has jumped", seconds=round(jump))
                self.watch.changed()
        self._looked = now, seconds

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
        self.watch.changed()
        with self.keeper.reading(self.project) as database:
            last = last_dues(database)
        self._next.clear()
        self._plan_next(last)

    # ---------------------------------------------------------------- due
    def _run_due(self, now: datetime) -> None:
        late = {name: due for name, due in self._next.items() if due is not None and due <= now}
        if not late:
            return
        with self.keeper.lingering():
            with self.keeper.reading(self.project) as database:
                last = last_dues(database)
                dues = [self._missed(name, last.get(name, due - _TICK), now) for name, due in late.items()]
                note_dues(database, [due for of_flow in dues for due in of_flow], now)
                waiting = waiting_dues(database)
            for name, due in waiting:
                if name in self.project.flows and not self.stop.is_set():
                    self._run_one_due(name, due)

    def _run_one_due(self, name: str, due: datetime) -> None:
        result = self.run(self.project.flows[name], "schedule")
        if result is not None and result.status != "interrupted":
            with self.keeper.reading(self.project) as database:
                settle_due(database, name, due, result.run_id)

    def _missed(self, name: str, since: datetime, now: datetime) -> list[tuple[str, datetime, str]]:
        """When a flow was due up to now, to be written down; and see to when it is next."""
        spec = self.project.flows[name].spec
        dues = missed(self.project.flows[name], since, now)
        skipped = sum(state == "skipped" for _, state in dues)
        if skipped:
            self.log.warning("missed runs were skipped", flow=name, skipped=skipped, catch_up=spec.catch_up)
        self._next[name] = next(due_after(spec.schedule or "", spec.time_zone, now), None)
        self._set_alarm(name)
        return [(name, due, state) for due, state in dues]

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

    # ---------------------------------------------------------------- what may go
    def _retain(self, now: datetime) -> None:
        """Once a night: let go what retention: says, and write the warehouse anew if much of it is free then."""
        windows = self.project.retention
        if not windows.removes or self.stop.is_set():
            return
        due = next(due_after(windows.schedule, windows.time_zone, self._retained), None)
        if due is None or now < due:
            return
        self._retained = now
        with self.keeper.writing(self.project, stop=self.stop) as database:
            found = retain(Run(0, now, self.project, database, self.clock))
            wasteful = is_wasteful(self.project.settings, database)
        removed = {f"{row.layer} {row.table}": row.removed for row in found if row.removed}
        self.log.info("what is old was let go", removed=removed)
        if wasteful:
            with self.keeper.alone():
                compact(self.project.settings)

    # ---------------------------------------------------------------- a run
    def run(self, flow: Flow, why: str) -> RunResult | None:
        """Run a flow and log what came of it; None if another process holds the warehouse."""
        try:
            with (
                self.keeper.writing(self.project, stop=self.stop) as database,
                self.working(database, flow.name),
            ):
                order = Order(select=tuple(sorted(flow.tables)), flow=flow.name)
                result = execute(
                    self.project, database, order, clock=self.clock, policy=policy_of(flow), stop=self.stop
                )
        except WarehouseBusy as error:
            self.log.warning("waiting", flow=flow.name, reason=error.sentence())
            return None
        self.runs += 1
        self.told(result, why)
        return result

    @contextmanager
    def working(self, database: Database, flow: str) -> Iterator[None]:
        """A run is under way on a connection: health says so, and the end of the service interrupts it."""
        self.running, self._database = flow, database
        try:
            yield
        finally:
            self.running, self._database = None, None

    def told(self, result: RunResult, why: str) -> None:
        """A run has ended: log it, and tell the people who hear of its flow."""
        log_run(self.log.bind(flow=result.flow, because=why), result)
        self._note_late(result)
        heard = channels_of(self.project, result.flow)
        self.notifier.hear(result, heard, current(self.project.settings.published))
        self.watch.changed()

    def _note_late(self, result: RunResult) -> None:
        """Write down which SLAs a run did not keep, its own and those of its tasks."""
        flow, now = self.project.flows.get(result.flow), self.clock.now()
        if flow is None or result.run_id is None:
            return
        misses = [
            Miss("sla", flow.name, table, now, said, True, result.run_id) for table, said in late_in(result, flow)
        ]
        if misses:
            with self.keeper.reading(self.project) as database:
                note_misses(database, misses, now)

    # ---------------------------------------------------------------- for the metrics
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


def project_state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files a project is read from."""
    paths = [folder / "goldfeed.yml", *sorted((folder / "sql").glob("*/*"))]
    states = [(path, path.stat()) for path in paths if path.exists()]
    return tuple((str(path), info.st_size, info.st_mtime_ns) for path, info in states)
