"""Runs, dues and tasks: the samples of them."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.metrics.families import RUN_BUCKETS, TASK_BUCKETS
from pipeline.metrics.tally import Tally
from pipeline.metrics.text import Sheet
from pipeline.project.project import Project
from pipeline.warehouse.database import Row

STATUSES = ("succeeded", "failed", "withheld", "interrupted")


def stamp(time: datetime) -> float:
    """Seconds since 1970 of a time in the ledger, which is UTC and naive."""
    return time.replace(tzinfo=UTC).timestamp()


def named(project: Project) -> tuple[str, ...]:
    """What is shown by name, as tables are."""
    return *project.graph.sources, *project.graph.models, "gold"


def shown(project: Project, table: str) -> bool:
    """Whether a table is shown by name: only those of the project are."""
    return table == "gold" or table in project.graph.sources or table in project.graph.models


# ---------------------------------------------------------------- runs
Runs = tuple[dict[tuple[str, str], Row], dict[tuple[str, int], int], dict[str, tuple[int, str]]]


def runs(tally: Tally) -> Runs:
    """What is told of runs."""
    return tally.runs, tally.lengths, tally.published


def write_runs(found: Runs, project: Project, sheet: Sheet) -> None:
    """The samples of `runs`."""
    rows, lengths, published = found
    by_flow: dict[str, dict[str, Row]] = {flow: {} for flow in project.flows}
    counts = {flow: [0] * (len(RUN_BUCKETS) + 1) for flow in project.flows}
    for (flow, status), row in rows.items():
        by_flow.get(flow, {})[status] = row
    for (flow, bucket), many in lengths.items():
        if flow in counts:
            counts[flow][bucket] += many
    for flow in project.flows:
        _write_flow(flow, by_flow[flow], counts[flow], sheet)
    sheet.add("publication_withheld", published.get("", (0, ""))[1] == "withheld")


def _write_flow(flow: str, rows: dict[str, Row], counts: list[int], sheet: Sheet) -> None:
    ended = {status: row for status, row in rows.items() if status != "running"}
    if "running" in rows:
        sheet.add("run_start_timestamp_seconds", stamp(rows["running"][6]), flow)
    for status in STATUSES:
        sheet.add("runs_total", ended[status][0] if status in ended else 0, flow, status)
    sheet.histogram("run_duration_seconds", RUN_BUCKETS, counts, sum(row[1] for row in ended.values()), flow)
    sheet.add("sla_breaches_total", sum(row[2] for row in ended.values()), flow)
    if ended:
        last = max(ended, key=lambda status: int(ended[status][3]))
        sheet.add("last_run_timestamp_seconds", stamp(ended[last][4]), flow)
        sheet.add("last_run_duration_seconds", ended[last][5], flow)
        for status in STATUSES:
            sheet.add("last_run_status", status == last, flow, status)
    if "succeeded" in ended:
        sheet.add("last_run_success_timestamp_seconds", stamp(ended["succeeded"][4]), flow)


def write_dues(rows: list[Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Answer.dues`."""
    skipped, waiting = sheet.many("missed_runs_total"), dict[str, datetime]()
    skipped.update({(flow,): 0 for flow in project.flows})
    for flow, state, at in rows:
        if flow in project.flows and state == "skipped":
            skipped[flow,] += 1
        elif flow in project.flows:
            waiting[flow] = min(at, waiting.get(flow, at))
    for flow, at in waiting.items():
        sheet.add("scheduler_lag_timestamp_seconds", stamp(at), flow)


# ---------------------------------------------------------------- tasks
def write_tasks(tasks: dict[tuple[str, str, str, int], Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Tally.tasks`."""
    totals, attempts, retries = (
        sheet.many(name) for name in ("tasks_total", "task_attempts_total", "task_retries_total")
    )
    counts: dict[tuple[str, str], list[int]] = {}
    seconds: dict[tuple[str, str], float] = {}
    for (flow, layer, status, bucket), (many, tries, again, spent) in sorted(tasks.items()):
        if flow not in project.flows:
            continue
        labels = (flow, layer)
        totals[*labels, status] = totals.get((*labels, status), 0) + many
        attempts[labels] = attempts.get(labels, 0) + tries
        retries[labels] = retries.get(labels, 0) + again
        of = counts.setdefault(labels, [0] * (len(TASK_BUCKETS) + 1))
        if status != "skipped":
            of[bucket] += many
            seconds[labels] = seconds.get(labels, 0.0) + spent
    for labels, of in counts.items():
        sheet.histogram("task_duration_seconds", TASK_BUCKETS, of, seconds.get(labels, 0.0), *labels)


def write_last_tasks(rows: dict[tuple[str, str], Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Tally.tables`."""
    names = ("task_failed", "task_last_duration_seconds", "rows_in_total", "rows_out_total", "rows_quarantined_total")
    failed, seconds, rows_in, rows_out, aside = (sheet.many(name) for name in names)
    for key, (_, status, took, came, gave, set_aside) in rows.items():
        if shown(project, key[1]):
            failed[key], seconds[key] = status == "failed", took
            rows_in[key], rows_out[key], aside[key] = came, gave, set_aside


def write_tasks_of_runs(runs: dict[str, tuple[int, tuple[Row, ...]]], project: Project, sheet: Sheet) -> None:
    """The samples of `Tally.of_runs`."""
    offsets, seconds = sheet.many("last_run_task_offset_seconds"), sheet.many("last_run_task_duration_seconds")
    for flow, (_, tasks) in runs.items():
        for task, table, offset, took in tasks:
            if flow in project.flows and shown(project, table):
                offsets[flow, task], seconds[flow, task] = max(offset, 0), took
