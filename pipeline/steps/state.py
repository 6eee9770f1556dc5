"""published/state.json: what the feed cannot know by itself, told by each run when it ends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.project.project import Project
from pipeline.published import current, read_state, write_state
from pipeline.warehouse.database import Database

_WITHHELD = (
    "AND status = 'withheld' AND run_id > (SELECT coalesce(max(run_id), 0) FROM ledger.runs WHERE version IS NOT NULL)"
)
_RUN = "SELECT run_id, flow, status, finished_at, version FROM ledger.runs WHERE finished_at IS NOT NULL"


def tell_readers(database: Database, project: Project, now: datetime) -> None:
    """Write the last run, the last good one, a publication that is withheld, and the facts of each gold table."""
    last, good = _run(database, ""), _run(database, "AND status = 'succeeded'")
    state = {
        "written_at": _text(now),
        "version": current(project.settings.published),
        "last_run": last,
        "last_good_run": good,
        "withheld": _run(database, _WITHHELD),
        **_totals(database),
        "tables": _tables(database, project),
    }
    project.settings.published.mkdir(parents=True, exist_ok=True)
    write_state(project.settings.published, state)


def tell_readers_again(database: Database, project: Project, now: datetime) -> None:
    """Write it anew if a crash, or a rollback, has left it behind the ledger."""
    told, last = read_state(project.settings.published) or {}, _run(database, "")
    if last and (told.get("last_run"), told.get("version")) != (last, current(project.settings.published)):
        tell_readers(database, project, now)


def _run(database: Database, condition: str) -> dict[str, Any] | None:
    rows = database.rows(f"{_RUN} {condition} ORDER BY run_id DESC LIMIT 1")
    if not rows:
        return None
    run_id, flow, status, ended, version = rows[0]
    return {"run_id": run_id, "flow": flow, "status": status, "ended_at": _text(ended), "version": version}


def _totals(database: Database) -> dict[str, int]:
    """Of the whole warehouse, each counted once: the tables' own numbers hold those of every table above them."""
    ((quarantined,),) = database.rows("SELECT count(*) FROM ledger.quarantine")
    failed = sum(number for _, number in database.rows(_FAILED))
    return {"checks_failed": int(failed), "rows_quarantined": int(quarantined)}


def _tables(database: Database, project: Project) -> dict[str, Any]:
    built: dict[str, datetime] = dict(database.rows("SELECT table_name, built_at FROM ledger.tables"))
    quarantined: dict[str, int] = dict(database.rows("SELECT source, count(*) FROM ledger.quarantine GROUP BY source"))
    failed: dict[str, int] = dict(database.rows(_FAILED))
    good = _good_runs(database, project)
    found: dict[str, Any] = {}
    for name in project.graph.layer("gold"):
        above = project.graph.upstream([name])
        names = above | {
            table.partition(".")[2] for table in project.graph.sources_of(name)
        }  # sources go without a layer
        found[name.partition(".")[2]] = {
            "built_at": _text(built.get(name)),
            "last_good_run": good.get(name),
            "checks_failed": sum(failed.get(table, 0) for table in above),
            "rows_quarantined": sum(quarantined.get(source, 0) for source in names),
        }
    return found


_FAILED = (
    "SELECT table_name, count(*) FROM ledger.checks WHERE outcome = 'failed' AND run_id = ("
    "SELECT max(run_id) FROM ledger.checks latest WHERE latest.table_name = checks.table_name) GROUP BY table_name"
)


def _good_runs(database: Database, project: Project) -> dict[str, str | None]:
    """For each table the end of the last good run of a flow that holds it."""
    ends: dict[str, datetime] = dict(
        database.rows("SELECT flow, max(finished_at) FROM ledger.runs WHERE status = 'succeeded' GROUP BY flow")
    )
    latest: dict[str, datetime] = dict.fromkeys(project.graph.order, ends[project.flow]) if project.flow in ends else {}
    for flow in project.flows.values():
        if flow.name in ends:
            latest |= {name: max(ends[flow.name], latest.get(name, ends[flow.name])) for name in flow.tables}
    return {name: _text(latest.get(name)) for name in project.graph.layer("gold")}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds") + "Z"
