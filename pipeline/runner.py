"""Does a plan: in order, with retries, each task in the ledger; nothing that the plan did not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pipeline.abreast import abreast, is_light
from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, TransientError
from pipeline.failpoints import failpoint
from pipeline.landing.scan import FoundFile, Landing, scan
from pipeline.planner import PlannedTask, Situation, plan
from pipeline.project.graph import select
from pipeline.project.personal import with_tokens
from pipeline.project.project import Project
from pipeline.published import known_damage
from pipeline.results import RunResult, TaskResult
from pipeline.steps.again import Period, archived_files, files_of
from pipeline.steps.build import build
from pipeline.steps.check import check_again, expect_contracts, stopped
from pipeline.steps.context import Policy, Reporter, Run, Silent, StepResult
from pipeline.steps.forgetting import forget_changes
from pipeline.steps.gate import in_the_way, unchecked, withheld
from pipeline.steps.ingest import ingest
from pipeline.steps.limits import within
from pipeline.steps.lost import lost_files, note_lost, together, told
from pipeline.steps.profile import find_anomalies
from pipeline.steps.publish import is_whole, last_publication, publish, reconcile, remarked
from pipeline.steps.replay import Replay, replay, tables_to_replay
from pipeline.steps.state import tell_readers, tell_readers_again
from pipeline.warehouse import ledger
from pipeline.warehouse.audits import Audits
from pipeline.warehouse.compact import forget_copy
from pipeline.warehouse.database import Database, open_database
from pipeline.warehouse.mends import take_in_mends


@dataclass(frozen=True)
class Order:
    """What a person asked for: which tables, rebuilt or not, from landing/ or from archive/."""

    select: Sequence[str] = ()
    full_refresh: bool = False
    from_archive: bool = False
    again: Period | None = None
    replay: Replay | None = None
    flow: str | None = None


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
        ledger.migrate(database, clock.now())
        ledger.note_key(database, with_tokens(project.graph))
        ledger.close_open_runs(database, clock.now())
        reconcile(database, settings, clock.now())
        note_lost(database, settings)
        take_in_mends(database, settings.archive)
    except BaseException:
        database.close()
        raise
    return database


def look(project: Project, database: Database, order: Order, now: datetime) -> tuple[Situation, Landing]:
    """What is there: the files, the ledger and the last publication."""
    settings, graph = project.settings, project.graph
    landing = scan(settings.landing, graph.sources.values())
    selected = select(graph, order.select) if order.select else None
    files: Mapping[str, list[FoundFile]] = together(landing.by_source, lost_files(database, project))
    if order.from_archive:
        files = archived_files(settings.archive, database)
    elif order.again:
        wanted = graph.upstream(selected) if selected else set(graph.sources)
        files = files_of(
            database, settings.archive, order.again, [graph.sources[n] for n in graph.sources if n in wanted]
        )
    replayed = tables_to_replay(database, graph, order.replay) if order.replay else {}
    if order.replay:
        files, selected = {}, graph.downstream(replayed)
    last = last_publication(database)
    there = last is not None and is_whole(settings.published, last["version"])
    situation = Situation(
        files=files,
        states=ledger.table_states(database),
        inputs=ledger.table_inputs(database),
        published=last["tables"] if last and there else None,
        selected=None if order.again else selected,
        refresh=order.full_refresh,
        again=order.again is not None,
        rebuilt=frozenset(selected or ()).difference(graph.sources) if order.again else frozenset(),
        replayed=replayed,
        remarked=there and last is not None and remarked(project, last["version"]),
        damaged=tuple(known_damage(settings.published, last["version"])) if last is not None else (),
    )
    due = unchecked(project, Audits().load(database), situation.states, now)
    return replace(situation, unchecked=due), landing


def empty_situation(project: Project, order: Order) -> Situation:
    """What is there when there is no warehouse yet."""
    landing = scan(project.settings.landing, project.graph.sources.values())
    return Situation(
        files=landing.by_source,
        states={},
        inputs={},
        published=None,
        selected=select(project.graph, order.select) if order.select else None,
        refresh=order.full_refresh,
    )


def execute(
    project: Project,
    database: Database,
    order: Order,
    *,
    clock: Clock | None = None,
    reporter: Reporter | None = None,
    policy: Policy | None = None,
    stop: Event | None = None,
) -> RunResult:
    """Look, plan, do. Writes nothing when there is nothing to do.

    When `stop` is set the tasks that have not begun are left, and the run is `interrupted`.
    """
    clock = clock or Clock()
    began, now = clock.seconds(), clock.now()
    flow = order.flow or project.flow
    situation, landing = look(project, database, order, now)
    tasks = plan(project.graph, situation)
    notes = tuple(
        f"{name} matches several sources ({', '.join(takers)}) and was left"
        for name, takers in landing.ambiguous.items()
    )
    notes += told(_from_archive(project, situation)) if not (order.from_archive or order.again) else ()
    if not tasks:
        tell_readers_again(database, project, now)
        return RunResult(None, flow, "nothing_to_do", None, clock.seconds() - began, notes=notes)
    run = Run(ledger.next_run_id(database), now, project, database, clock, reporter or Silent())
    run = replace(run, policy=policy or Policy(), stop=stop or Event(), began=began)
    run.audits.load(database)
    ledger.start_run(database, run.run_id, flow, now)
    results = _do_all(run, tasks, order)
    unusual = find_anomalies(run)
    failed = [result for result, _ in results if result.status == "failed"]
    held_back = [result for result, _ in results if result.status in ("withheld", "skipped")]
    left = run.stop.is_set() and any(result.status in ("skipped", "failed") for result, _ in results)
    status = "interrupted" if left else "failed" if failed else "withheld" if held_back else "succeeded"
    version = next((step.version for _, step in results if step.version), None)
    forget_changes(project, database)
    failpoint("run.before_finish")
    error = next((result.error for result in (*failed, *held_back)), None)
    ended = max(clock.now(), now)  # the clock may have been set back meanwhile
    ledger.finish_run(database, run.run_id, status, ended, version, error)
    failpoint("run.after_finish")
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


def _from_archive(project: Project, situation: Situation) -> dict[str, list[FoundFile]]:
    archive = project.settings.archive
    return {name: [f for f in files if f.path.is_relative_to(archive)] for name, files in situation.files.items()}


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
        done[task.name] = _do_or_skip(replace(run, database=database, known=known), task, order, failed)

    known: ledger.Known | None = None
    expect_contracts(run, [task.table for task in tasks])
    for task in tasks:
        if task.action in ("ingest", "replay"):
            one(task, run.database)
    for task in tasks:
        if task.action == "check":
            one(task, run.database)
    builds = [task for task in tasks if task.action == "build"]
    known = ledger.Known(run.database)
    if is_light(tasks, known.states):
        abreast(run, builds, one)
    else:
        for task in builds:
            one(task, run.database)
    for task in tasks:
        if task.action == "publish":
            one(task, run.database)
    return [done[task.name] for task in tasks]


def _do_or_skip(run: Run, task: PlannedTask, order: Order, failed: dict[str, str]) -> Outcome:
    cause = _cause(run, task, failed)
    if run.stop.is_set() or cause:
        why = stopped(run.audits.errors(cause)) if cause and run.audits.errors(cause) else f"{cause} failed"
        step = StepResult("skipped", error=why if cause else "the service was stopped first")
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
        step = StepResult("failed", error=error.sentence())
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
        return ingest(run, source, task.files, from_archive=order.from_archive, again=task.again)
    if task.action == "replay":
        return replay(run, graph.sources[task.table], order.replay or Replay())
    if task.action == "build":
        return build(run, graph.models[task.table], refresh=task.refresh, record=record)
    if task.action == "check":
        return check_again(run, task.table)
    error = withheld(run.audits, graph.layer("gold"))
    if error:
        return StepResult("withheld", error=error)
    states, last = ledger.table_states(run.database), last_publication(run.database)
    held = {name: states[name].version for name in graph.layer("gold") if name in states}
    folder = run.project.settings.published
    there = last is not None and held == last["tables"] and is_whole(folder, last["version"])
    there = there and last is not None and not known_damage(folder, last["version"])
    if last is not None and there and not remarked(run.project, last["version"]):
        return StepResult("unchanged")
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
