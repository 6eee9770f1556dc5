"""The long-running process: what is due or has arrived is run, one run at a time; what was missed is caught up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.again import Again
from pipeline.arrivals import Arrivals
from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, TransientError, WarehouseBusy
from pipeline.health import Health
from pipeline.keeper import Keeper
from pipeline.notify import Notifier, channels_of, log_run, log_task
from pipeline.outbox import Outbox
from pipeline.project.almanac import due_after
from pipeline.project.flow import Flow
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.results import RunResult
from pipeline.runner import end_row, execute
from pipeline.schedules import Schedules
from pipeline.situation import Order
from pipeline.steps.context import Run
from pipeline.steps.retain import retain
from pipeline.terms import late_in, policy_of
from pipeline.warehouse.compact import compact, is_wasteful
from pipeline.warehouse.database import Database
from pipeline.warehouse.dues import last_dues, note_dues, waiting_dues
from pipeline.warehouse.history import last_retention
from pipeline.warehouse.ledger import flows_whose_last_run
from pipeline.warehouse.promises import Miss, note_misses
from pipeline.watch import Watch

_TICK = timedelta(seconds=1)
_JUMP = 30.0  # seconds between two looks by which the clocks may differ
_LEFT = 10.0  # seconds until runs that could not be done are tried again
_TOLD = 2.0  # seconds after which readers are told what has become of a row of runs
_GRACE = 5.0  # seconds that a statement may go on after SIGTERM before it is interrupted


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
        self._arrivals, self._again = Arrivals(), Again()
        self._left: float | None = None  # when to look again for runs that were due and could not be done
        outbox = Outbox(self.project.settings.home / "outbox")
        self.notifier = Notifier(self.log, self.stop, outbox, lambda: self.project.channels)
        self.keeper = Keeper(self.clock)
        self.health = Health(self.keeper, self.clock)
        self.watch = Watch(self.keeper, self.notifier, self.log, self.clock.now(), lambda: self.running is not None)
        self.calls: set[threading.Event] = set()  # set one to end a command that is done for somebody else
        self.schedules = Schedules(self.log, self.wake.set)
        self._database: Database | None = None

    # ---------------------------------------------------------------- the loop
    def serve(self, poll: float = 1.0) -> None:
        """Go on until `stop` is set; a flow's due time wakes the loop, arrivals are looked for every `poll` seconds."""
        self.schedules.begin()
        try:
            self.begin()
            threading.Thread(target=self._watch, daemon=True).start()
            while not self.stop.is_set():
                self.alive_at = self.clock.seconds()
                self.wake.clear()
                self.turn(self.clock.now())
                self.wake.wait(poll)
        finally:
            self.schedules.end()

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
            self._left = self.clock.seconds() if waiting_dues(database) else None  # what a stop left undone
            cut_off = flows_whose_last_run(database, "interrupted")
            bad = [(status, flows_whose_last_run(database, status)) for status in ("failed", "withheld")]
            self.notifier.begin({flow: status for status, flows in bad for flow in flows})
        self.schedules.plan(self.project.flows, last, now)
        for name in cut_off:
            if name in self.project.flows and not self.stop.is_set():
                self.log.info("resuming the run that was cut off", flow=name)
                self.run(self.project.flows[name], "resumed")

    def turn(self, now: datetime) -> None:
        """One look at the time and at landing/: run what is due, then what has arrived."""
        try:
            self._check_clock(now)
            self._reload()
            self._run_due(now)
            self._run_arrived()
            self._run_again()
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
        self.schedules.plan(self.project.flows, last, self.clock.now())

    # ---------------------------------------------------------------- due
    def _run_due(self, now: datetime) -> None:
        late, flows = self.schedules.late(now), self.project.flows
        if not late and (self._left is None or self.clock.seconds() < self._left):
            return
        self._left = self.clock.seconds() + _LEFT  # taken back when all of them are done
        with self.keeper.lingering():
            with self.keeper.reading(self.project) as database:
                last = last_dues(database)
                dues = [self.schedules.missed(flows[name], last.get(name, due - _TICK), now) for name, due in late.items()]
                note_dues(database, [due for of_flow in dues for due in of_flow], now)
                waiting = waiting_dues(database)
            try:
                self._run_row([(name, due) for name, due in waiting if name in self.project.flows])
            finally:
                with self.keeper.reading(self.project) as database:
                    end_row(self.project, database, now)
                    if not waiting_dues(database):
                        self._left = None

    def _run_row(self, waiting: Sequence[tuple[str, datetime]]) -> None:
        """Runs one after another; readers are told of them every two seconds, not after each one."""
        told = self.clock.seconds()
        for name, due in waiting:
            if self.stop.is_set():
                return
            in_a_row = len(waiting) > 1 and self.clock.seconds() - told < _TOLD
            if self.run(self.project.flows[name], "schedule", due, in_a_row=in_a_row) is None:
                return
            if not in_a_row:
                told = self.clock.seconds()


    # ---------------------------------------------------------------- arrivals
    def _run_arrived(self) -> None:
        for flow, held in self._arrivals.ready(self.project, self.clock.seconds()):
            if self.stop.is_set():
                return
            held.tried = self.run(flow, "arrival") is not None or self._again.owes(flow.name)

    def _run_again(self) -> None:
        """The flows that met an error that may pass, when there is room again or some time has gone by."""
        for name in self._again.due(self.project.settings.home, self.clock.seconds()):
            if name in self.project.flows and not self.stop.is_set():
                self.run(self.project.flows[name], "again")

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
    def run(
        self, flow: Flow, why: str, due: datetime | None = None, *, in_a_row: bool = False
    ) -> RunResult | None:
        """Run a flow, as it was due, and log what came of it; None if it could not be done now."""
        try:
            with (
                self.keeper.writing(self.project, stop=self.stop) as database,
                self.working(database, flow.name),
            ):
                order = Order(select=tuple(sorted(flow.tables)), flow=flow.name, due=due, in_a_row=in_a_row)
                log = self.log.bind(flow=flow.name, because=why)
                result = execute(
                    self.project,
                    database,
                    order,
                    clock=self.clock,
                    policy=policy_of(flow),
                    stop=self.stop,
                    hear=partial(log_task, log),
                )
        except WarehouseBusy as error:
            self.log.warning("waiting", flow=flow.name, reason=error.sentence())
            return None
        except TransientError as error:
            self.log.error("the run could not be done, and is tried again", flow=flow.name, error=error.sentence())
            self._again.heard(flow.name, None, self.project.settings.home, self.clock.seconds())
            return None
        self.runs += 1
        self._again.heard(flow.name, result, self.project.settings.home, self.clock.seconds())
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

    def asked_for(self, result: RunResult) -> None:
        """A run that somebody asked for at the door has ended."""
        log = self.log.bind(flow=result.flow, because="asked for")
        for task in result.tasks:
            log_task(log, result.run_id, task)
        self.told(result, "asked for")

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
    def turned(self) -> datetime:
        """When the loop last turned; now, while a run is on."""
        now = self.clock.now()
        return now if self.running else now - timedelta(seconds=self.clock.seconds() - self.alive_at)

    # ---------------------------------------------------------------- health
    def well(self) -> tuple[bool, str]:
        """Whether the warehouse answers, its volume has room and the schedules are watched; and a word on it."""
        wrong = self.health.wrong(self.project)
        if wrong is None and not self.schedules.watched:
            wrong = "the schedules are not watched"
        return wrong is None, wrong or "well"

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
