"""What the ledger says, as samples: a handful of queries, whatever the number of tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipeline.metrics.families import RUN_BUCKETS, TASK_BUCKETS, Sheet
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.promises import open_misses, seen_as_of

STATUSES = ("succeeded", "failed", "withheld", "interrupted")
REASONS = 40  # reasons of quarantine a source shows by name; they come from sql/, so there are few


def stamp(time: datetime) -> float:
    """Seconds since 1970 of a time in the ledger, which is UTC and naive."""
    return time.replace(tzinfo=UTC).timestamp()


def read_ledger(database: Database, project: Project, sheet: Sheet) -> None:
    """Add everything the ledger knows. Only tables and flows of the project are shown by name."""
    _runs(database, project, sheet)
    _dues(database, project, sheet)
    _tasks(database, project, sheet)
    _last_tasks(database, project, sheet)
    _last_runs_tasks(database, project, sheet)
    _tables(database, project, sheet)
    _files(database, project, sheet)
    _quarantine(database, project, sheet)
    _checks(database, project, sheet)
    _publications(database, sheet)


# ---------------------------------------------------------------- runs
def _counts(column: str, bounds: tuple[float, ...]) -> str:
    """A list of counts by bucket, as SQL."""
    edges = zip((None, *bounds), (*bounds, None), strict=True)
    parts = []
    for low, high in edges:
        above = f"{column} > {low}" if low is not None else "true"
        below = f"{column} <= {high}" if high is not None else "true"
        parts.append(f"count(*) FILTER ({above} AND {below})")
    return f"[{', '.join(parts)}]"


def _runs(database: Database, project: Project, sheet: Sheet) -> None:
    took = "(epoch(finished_at) - epoch(started_at))"
    rows = database.rows(
        f"SELECT flow, status, count(*), {_counts(took, RUN_BUCKETS)}, sum({took}), list({took}), "
        f"max(finished_at), arg_max({took}, run_id), max(run_id), max(started_at) FROM ledger.runs GROUP BY flow, status"
    )
    for flow, spec in project.flows.items():
        _flow_runs([row for row in rows if row[0] == flow], flow, spec.spec.sla, sheet)


def _flow_runs(rows: list[Row], flow: str, sla: float, sheet: Sheet) -> None:
    ended = [row for row in rows if row[1] != "running"]
    for row in rows:
        if row[1] == "running":
            sheet.add("run_start_timestamp_seconds", stamp(row[9]), flow)
    for status in STATUSES:
        sheet.add("runs_total", sum(row[2] for row in ended if row[1] == status), flow, status)
    counts = [sum(many) for many in zip(*(row[3] for row in ended), strict=True)] or [0] * (len(RUN_BUCKETS) + 1)
    sheet.histogram("run_duration_seconds", RUN_BUCKETS, counts, sum(row[4] for row in ended), flow)
    late = sum(seconds > sla for row in ended for seconds in row[5] if seconds is not None)
    sheet.add("sla_breaches_total", late, flow)
    if ended:
        last = max(ended, key=lambda row: int(row[8]))
        sheet.add("last_run_timestamp_seconds", stamp(last[6]), flow)
        sheet.add("last_run_duration_seconds", last[7], flow)
        for status in STATUSES:
            sheet.add("last_run_status", status == last[1], flow, status)
    for row in ended:
        if row[1] == "succeeded":
            sheet.add("last_run_success_timestamp_seconds", stamp(row[6]), flow)


def _dues(database: Database, project: Project, sheet: Sheet) -> None:
    rows = {
        row[0]: row[1:]
        for row in database.rows(
            "SELECT flow, count(*) FILTER (state = 'skipped'), min(due_at) FILTER (state = 'waiting') "
            "FROM ledger.due GROUP BY flow"
        )
    }
    for flow in project.flows:
        skipped, waiting = rows.get(flow, (0, None))
        sheet.add("missed_runs_total", skipped, flow)
        if waiting is not None:
            sheet.add("scheduler_lag_timestamp_seconds", stamp(waiting), flow)


# ---------------------------------------------------------------- tasks
def _tasks(database: Database, project: Project, sheet: Sheet) -> None:
    rows = database.rows(
        f"SELECT r.flow, t.layer, t.status, count(*), sum(t.attempts), sum(greatest(t.attempts - 1, 0)), "
        f"{_counts('t.seconds', TASK_BUCKETS)}, sum(t.seconds) "
        "FROM ledger.tasks t JOIN ledger.runs r ON r.run_id = t.run_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row[0] in project.flows:
            sheet.add("tasks_total", row[3], *row[:3])
            groups.setdefault((row[0], row[1]), []).append(row)
    for labels, of in groups.items():
        sheet.add("task_attempts_total", sum(row[4] for row in of), *labels)
        sheet.add("task_retries_total", sum(row[5] for row in of), *labels)
        done = [row for row in of if row[2] != "skipped"]
        counts = [sum(many) for many in zip(*(row[6] for row in done), strict=True)] or [0] * (len(TASK_BUCKETS) + 1)
        sheet.histogram("task_duration_seconds", TASK_BUCKETS, counts, sum(row[7] for row in done), *labels)


def _known(project: Project, table: str) -> bool:
    return table == "gold" or table in project.graph.sources or table in project.graph.models


def _last_tasks(database: Database, project: Project, sheet: Sheet) -> None:
    rows = database.rows(
        "SELECT layer, table_name, arg_max(status, run_id) FILTER (status <> 'skipped'), "
        "arg_max(seconds, run_id) FILTER (status <> 'skipped'), "
        "sum(rows_in), sum(rows_out), sum(rows_quarantined) FROM ledger.tasks GROUP BY 1, 2 ORDER BY 1, 2"
    )
    for layer, table, status, seconds, rows_in, rows_out, quarantined in rows:
        if _known(project, table):
            sheet.add("task_failed", status == "failed", layer, table)
            sheet.add("task_last_duration_seconds", seconds or 0, layer, table)
            sheet.add("rows_in_total", rows_in, layer, table)
            sheet.add("rows_out_total", rows_out, layer, table)
            sheet.add("rows_quarantined_total", quarantined, layer, table)


def _last_runs_tasks(database: Database, project: Project, sheet: Sheet) -> None:
    rows = database.rows(
        "SELECT r.flow, t.task, t.table_name, epoch(t.started_at) - epoch(r.started_at), t.seconds "
        "FROM ledger.tasks t JOIN ledger.runs r ON r.run_id = t.run_id "
        "WHERE r.run_id IN (SELECT max(run_id) FROM ledger.runs WHERE status <> 'running' GROUP BY flow) "
        "AND t.status <> 'skipped' ORDER BY r.run_id, t.started_at"
    )
    for flow, task, table, offset, seconds in rows:
        if flow in project.flows and _known(project, table):
            sheet.add("last_run_task_offset_seconds", max(offset, 0), flow, task)
            sheet.add("last_run_task_duration_seconds", seconds, flow, task)


# ---------------------------------------------------------------- tables and files
def _tables(database: Database, project: Project, sheet: Sheet) -> None:
    rows = database.rows(
        "SELECT table_name, rows_in, kept, superseded, quarantined, built_at FROM ledger.tables ORDER BY table_name"
    )
    for table, rows_in, kept, superseded, quarantined, built_at in rows:
        if not _known(project, table):
            continue
        layer = table.partition(".")[0]
        outcomes = {"in": rows_in, "kept": kept, "superseded": superseded, "quarantined": quarantined}
        for outcome, many in outcomes.items():
            sheet.add("table_rows", many, layer, table, outcome)
        sheet.add("table_updated_timestamp_seconds", stamp(built_at), layer, table)
    _promises(database, project, sheet)


def _promises(database: Database, project: Project, sheet: Sheet) -> None:
    """Of when what readers see of each gold table is, and which promises of tables are broken."""
    for table, at in sorted(seen_as_of(database, current(project.settings.published)).items()):
        if _known(project, table):
            sheet.add("table_fresh_timestamp_seconds", stamp(at), table)
    broken = {(miss.kind, miss.table) for miss in open_misses(database)}
    for flow in project.flows.values():
        for table in sorted(table for table in flow.tables if table.startswith("gold.")):
            for kind in ("freshness", "deadline"):
                sheet.add("promise_broken", (kind, table) in broken, kind, table)


def _files(database: Database, project: Project, sheet: Sheet) -> None:
    found = database.rows("SELECT outcome, count(*) FROM ledger.deliveries GROUP BY outcome")
    outcomes = {str(outcome): int(many) for outcome, many in found}
    for outcome in ("loaded", "duplicate", "rejected"):
        sheet.add("files_total", outcomes.get(outcome, 0), outcome)
    rows = {
        row[0]: row[1:]
        for row in database.rows(
            "SELECT source, sum(bytes), sum(header_lines), sum(blank_lines), sum(bronze_rows), sum(quarantined_rows) "
            "FROM ledger.files GROUP BY source"
        )
    }
    for place, kind in enumerate(("header", "blank", "bronze", "quarantine"), 1):
        sheet.add("file_lines_total", sum(row[place] for row in rows.values()), kind)
    for source in project.graph.sources.values():
        sheet.add("read_bytes_total", rows[source.name][0] if source.name in rows else 0, source.name)


def _quarantine(database: Database, project: Project, sheet: Sheet) -> None:
    """Reasons are sentences of ours, made of names in sql/; the rarest beyond a bound are shown together."""
    rows = database.rows("SELECT source, reason, count(*) FROM ledger.quarantine GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2")
    sources = {name for table, source in project.graph.sources.items() for name in (table, source.name)}
    found: dict[str, dict[str, int]] = {}
    for source, reason, many in rows:
        if source in sources or source in project.graph.models:
            of = found.setdefault(source, {})
            reason = reason if len(of) < REASONS else "other"
            of[reason] = of.get(reason, 0) + many
    for source, of in found.items():
        for reason, many in of.items():
            sheet.add("quarantined_rows", many, source, reason)


# ---------------------------------------------------------------- checks and publications
def _checks(database: Database, project: Project, sheet: Sheet) -> None:
    rows = database.rows(
        "SELECT table_name, coalesce(dimension, 'other'), severity, outcome, count(*), "
        "count(*) FILTER (run_id = last), count(*) FILTER (run_id = last AND check_name LIKE 'unusual.%') FROM (SELECT *, "
        "max(run_id) OVER (PARTITION BY table_name) AS last FROM ledger.checks) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    totals: dict[tuple[str, ...], int] = {}
    last: dict[tuple[str, ...], int] = {}
    odd: dict[str, int] = {}
    for table, dimension, severity, outcome, many, of_last, odd_ones in rows:
        if not _known(project, table):
            continue
        layer, good = table.partition(".")[0], "passed" if outcome == "passed" else "failed"
        for known in ("passed", "failed"):
            totals.setdefault((layer, dimension, severity, known), 0)
            last.setdefault((layer, table, dimension, severity, known), 0)
        totals[layer, dimension, severity, good] += many
        last[layer, table, dimension, severity, good] += of_last
        odd[table] = odd.get(table, 0) + (odd_ones if good == "failed" else 0)
    _add_all(sheet, "checks_total", totals)
    _add_all(sheet, "contract_checks", last)
    for table in (*project.graph.sources, *project.graph.models):
        sheet.add("anomalies", odd.get(table, 0), table.partition(".")[0], table)


def _add_all(sheet: Sheet, name: str, values: dict[tuple[str, ...], Any]) -> None:
    for labels, value in values.items():
        sheet.add(name, value, *labels)


def _publications(database: Database, sheet: Sheet) -> None:
    rows = database.rows(
        "SELECT kind, count(*), max(published_at) FROM ledger.publications GROUP BY kind ORDER BY kind"
    )
    for kind, many, _ in rows:
        sheet.add("publications_total", many, kind)
    if rows:
        sheet.add("publication_timestamp_seconds", max(stamp(row[2]) for row in rows))
    withheld = database.value(
        "SELECT status = 'withheld' FROM ledger.runs WHERE status = 'withheld' OR version IS NOT NULL "
        "ORDER BY run_id DESC LIMIT 1"
    )
    sheet.add("publication_withheld", bool(withheld))
