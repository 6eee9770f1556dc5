"""Does a plan: in order, with retries, each task in the ledger; nothing that the plan did not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pipeline.abreast import abreast, import_early, is_light, longest_first
from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, TransientError
from pipeline.failpoints import failpoint
from pipeline.planner import PlannedTask, plan
from pipeline.project.personal import with_tokens
from pipeline.project.project import Project
from pipeline.results import RunResult, TaskResult
from pipeline.situation import Order, look
from pipeline.steps.build import build
from pipeline.steps.check import check_again, expect_contracts, stopped
from pipeline.steps.context import Policy, Reporter, Run, Silent, StepResult
from pipeline.steps.draft import abandon, write_early
from pipeline.steps.forgetting import forget_changes
from pipeline.steps.gate import in_the_way, withheld
from pipeline.steps.ingest import ingest
from pipeline.steps.limits import within
from pipeline.steps.lost import note_lost, told
from pipeline.steps.profile import find_anomalies
from pipeline.steps.publish import prune, publish, reconcile
from pipeline.steps.replay import Replay, replay
from pipeline.steps.state import tell_readers, tell_readers_again
from pipeline.warehouse import ledger
from pipeline.warehouse.compact import forget_copy
from pipeline.warehouse.database import Database, open_database
from pipeline.warehouse.dues import settle_due
from pipeline.warehouse.mends import take_in_mends
from pipeline.warehouse.migrations import migrate

_LOG = 64_000_000  # bytes of the engine's log up to which a row of runs goes on without a checkpoint


def open_warehouse(project: Project, clock: Clock) -> Database:
    """Open the warehouse with its ledger up to date, and finish what a crash cut off."""
    settings = project.settings
    for folder in (
        settings.home,
        settings.landing,
        settings.archive,
        settings.rejected,
        settings.published,
        settings.scratch,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    database = open_database(settings)
    try:
        forget_copy(settings)
        migrate(database, clock.now())
        ledger.note_key(database, with_tokens(project.graph))
        cut_off = ledger.close_open_runs(database, clock.now())
        reconcile(database, settings, clock.now())
        if cut_off:  # perhaps between the swap and this
            prune(settings.published, settings.keep_versions, project.retention.versions, clock.now())
        note_lost(database, settings)
        take_in_mends(database, settings.archive)
    except BaseException:
        database.close()
        raise
    return database


def end_row(project: Project, database: Database, now: datetime) -> None:
    """After the last run of a row: readers are told what has become of all."""
    tell_readers_again(database, project, now)


def _log_size(project: Project) -> int:
    """Bytes that the next checkpoint writes into the warehouse file."""
    log = Path(f"{project.settings.warehouse}.wal")
    return log.stat().st_size if log.exists() else 0


def execute(
    project: Project,
    database: Database,
    order: Order,
    *,
    clock: Clock | None = None,
    reporter: Reporter | None = None,
    policy: Policy | None = None,
    stop: Event | None = None,
    hear: Callable[[int, TaskResult], None] | None = None,
) -> RunResult:
    """Look, plan, do. Writes nothing when there is nothing to do. `hear` is told of each task when it has ended.

    When `stop` is set the tasks that have not begun are left, and the run is `interrupted`.
    """
    clock = clock or Clock()
    began, now = clock.seconds(), clock.now()
    flow = order.flow or project.flow
    looked = look(project, database, order, now)
    tasks = plan(project.graph, looked.situation)
    notes = tuple(
        f"{name} matches several sources ({', '.join(takers)}) and was left"
        for name, takers in looked.landing.ambiguous.items()
    )
    notes += told(looked.lost)
    if not tasks:
        if not order.in_a_row:
            tell_readers_again(database, project, now)
        if order.due is not None:
            settle_due(database, flow, order.due, None)
        return RunResult(None, flow, "nothing_to_do", None, clock.seconds() - began, notes=notes)
    run_id = ledger.start_run(database, flow, now)
    run = Run(run_id, now, project, database, clock, reporter or Silent(), audits=looked.audits, last=looked.last)
    run = replace(run, policy=policy or Policy(), stop=stop or Event(), began=began, hear=hear or run.hear)
    run = replace(run, known=looked.known, in_a_row=order.in_a_row and _log_size(project) < _LOG)
    try:
        results = _do_all(run, tasks, order)
    finally:
        abandon(run)
        run.draft.writer.shutdown()
    unusual = find_anomalies(run, [result.table for result, _ in results])
    failed = [result for result, _ in results if result.status == "failed"]
    held_back = [result for result, _ in results if result.status in ("withheld", "skipped")]
    left = run.stop.is_set() and any(result.status in ("skipped", "failed") for result, _ in results)
    status = "interrupted" if left else "failed" if failed else "withheld" if held_back else "succeeded"
    version = next((step.version for _, step in results if step.version), None)
    forget_changes(project, database)
    failpoint("run.before_finish")
    error = next((result.error for result in (*failed, *held_back)), None)
    ended = max(clock.now(), now)  # the clock may have been set back meanwhile
    with database.transaction():
        ledger.finish_run(database, run.run_id, status, ended, version, error)
        if order.due is not None and status != "interrupted":
            settle_due(database, flow, order.due, run.run_id)
    failpoint("run.after_finish")
    if not order.in_a_row:
        tell_readers(database, project, clock.now())
    return RunResult(
        run.run_id,
        flow,
        status,
        version,
        clock.seconds() - began,
        tuple(result for result, _ in results),
        (*notes, *(note for _, step in results for note in step.notes), *unusual, *_lateness(run, results)),
        ledger.accounting(database, run.run_id),
    )


def _lateness(run: Run, results: Sequence[Outcome]) -> tuple[str, ...]:
    """The run and the tasks that took longer than was promised."""
    took = [("the run", run.clock.seconds() - run.began, run.policy.sla)]
    slas = run.policy.slas
    took += [(task.task, task.seconds, slas[task.table]) for task, _ in results if task.table in slas]
    return tuple(f"{what} took {s:.0f} s, longer than its SLA of {sla:.0f} s" for what, s, sla in took if s > sla)


Outcome = tuple[TaskResult, StepResult]


def _do_all(run: Run, tasks: Sequence[PlannedTask], order: Order) -> list[Outcome]:
    """Every task; those that depend on a failed one are skipped with the cause, the others go on."""
    failed: dict[str, str] = {}
    done: dict[str, Outcome] = {}

    def one(task: PlannedTask, database: Database) -> None:
        if task.action == "build" and light:
            import_early(run, tasks)
        with run.turns.beside() if task.action == "build" else nullcontext():
            done[task.name] = _do_or_skip(replace(run, database=database), task, order, failed)
        if task.action == "ingest" and done[task.name][0].status == "failed":  # after some of its files, perhaps
            known.read_again(database, [task.table])
        if light and task.table in updated and done[task.name][0].status == "succeeded":
            write_early(run, run.project.graph.models[task.table])
        run.hear(run.run_id, done[task.name][0])

    known = run.known or ledger.Known(run.database)
    updated = _brought_up_to_date(tasks, known.states)
    expect_contracts(run, [task.table for task in tasks])
    coming, builds = _of(tasks, "ingest", "replay"), _of(tasks, "build")
    light = is_light(tasks, known.states)
    together = light and not _marks_others(coming) and not _of(tasks, "check")
    if not together:
        for task in (*coming, *_of(tasks, "check")):
            one(task, run.database)
    if _marks_others(coming):
        known.states = ledger.table_states(run.database)
    if light:
        abreast(run, [*(coming if together else ()), *longest_first(run, builds)], one)
        builds = []
    for task in (*builds, *_of(tasks, "publish")):
        one(task, run.database)
    return [done[task.name] for task in tasks]


def _brought_up_to_date(tasks: Sequence[PlannedTask], states: Mapping[str, ledger.TableState]) -> set[str]:
    """The gold tables that are neither made nor rebuilt: a rebuild uses every core, and readers beside it would wait longer."""
    builds = [task for task in _of(tasks, "build") if task.layer == "gold"]
    return {task.table for task in builds if not task.refresh and task.table in states}


def _of(tasks: Sequence[PlannedTask], *actions: str) -> list[PlannedTask]:
    return [task for task in tasks if task.action in actions]


def _marks_others(coming: Sequence[PlannedTask]) -> bool:
    """Whether files are read again: what is built from them is marked then, so nothing is built before."""
    return any(task.again or task.action == "replay" for task in coming)


def _do_or_skip(run: Run, task: PlannedTask, order: Order, failed: dict[str, str]) -> Outcome:
    cause = _cause(run, task, failed)
    if run.stop.is_set() or cause:
        why = stopped(run.audits.errors(cause)) if cause and run.audits.errors(cause) else f"{cause} failed"
        step = StepResult("skipped", error="the service was stopped first" if run.stop.is_set() else why)
        result = _result(task, step, 0, 0.0)
        _record(run, result, step, run.clock.now())
    else:
        result, step = _do(run, task, order)
    if step.status in ("failed", "skipped"):
        failed[task.table] = cause or task.table
    return result, step


def _cause(run: Run, task: PlannedTask, failed: dict[str, str]) -> str | None:
    """The failed table that stands in a task's way."""
    if task.action == "publish":
        return next((cause for table, cause in failed.items()), None)
    inputs = run.project.graph.inputs(task.table)
    return next((failed[table] for table in inputs if table in failed), in_the_way(run.audits, inputs))


def _do(run: Run, task: PlannedTask, order: Order) -> tuple[TaskResult, StepResult]:
    started, began, attempts = run.clock.now(), run.clock.seconds(), 0
    recorded: list[TaskResult] = []

    def record(step: StepResult) -> None:
        result = _result(task, step, attempts, run.clock.seconds() - began)
        _record(run, result, step, started)
        recorded[:] = [result]

    total = sum(file.size for file in task.files) or None
    run.reporter.task_started(task.name, total, run.database.progress)
    try:
        for attempt in _retrying(run):
            with attempt:
                attempts += 1
                recorded.clear()
                with within(run, task.name, task.table):
                    step = _step(run, task, order, record)
    except GoldfeedError as error:
        recorded.clear()
        step = StepResult("failed", error=error.sentence(), may_pass=isinstance(error, TransientError))
    if not recorded:
        record(step)
    run.reporter.task_ended(task.name, step.status, step.rows_in, recorded[0].seconds)
    return recorded[0], step


def _retrying(run: Run) -> Retrying:
    """Try again after errors that may pass, waiting twice as long each time; not when the service is stopping."""
    policy = run.policy
    return Retrying(
        stop=stop_after_attempt(policy.retries + 1),
        wait=wait_exponential_jitter(multiplier=policy.retry_wait, max=policy.retry_cap, jitter=policy.retry_wait),
        retry=retry_if_exception(lambda error: isinstance(error, TransientError) and not run.stop.is_set()),
        sleep=run.clock.sleep,
        reraise=True,
    )


def _step(run: Run, task: PlannedTask, order: Order, record: Callable[[StepResult], None]) -> StepResult:
    graph = run.project.graph
    if task.action == "ingest":
        source = graph.sources[task.table]
        return ingest(run, source, task.files, from_archive=order.from_archive, again=task.again, record=record)
    if task.action == "replay":
        return replay(run, graph.sources[task.table], order.replay or Replay())
    if task.action == "build":
        return build(run, graph.models[task.table], refresh=task.refresh, record=record)
    if task.action == "check":
        return check_again(run, task.table)
    error = withheld(run.audits, graph.layer("gold"))
    if error:
        return StepResult("withheld", error=error)
    return publish(run)


def _result(task: PlannedTask, step: StepResult, attempts: int, seconds: float) -> TaskResult:
    return TaskResult(
        task.name,
        task.layer,
        task.table,
        step.status,
        step.rows_in,
        step.rows_out,
        step.rows_quarantined,
        attempts,
        round(seconds, 3),
        step.error,
        step.may_pass,
    )


def _record(run: Run, result: TaskResult, step: StepResult, started: datetime) -> None:
    row = ledger.TaskRecord(
        run.run_id,
        result.task,
        result.layer,
        result.table,
        result.status,
        result.attempts,
        result.rows_in,
        result.rows_out,
        result.rows_quarantined,
        step.rows_superseded,
        result.seconds,
        started,
        result.error,
    )
    ledger.record_task(run.database, row)
