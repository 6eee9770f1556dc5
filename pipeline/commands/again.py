"""What `goldfeed retry` does."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands.base import reading
from pipeline.commands.runs import run
from pipeline.errors import UsageError
from pipeline.project.project import Project
from pipeline.situation import Order


def retry(project: Project, run_id: int, *, quiet: bool, json_out: bool) -> bool:
    """Run again what failed in a run, and what was skipped for it. Returns whether it went well."""
    flow, names = _unfinished(project, run_id)
    return run(project, Order(select=tuple(names), flow=flow), quiet=quiet, json_out=json_out)


def _unfinished(project: Project, run_id: int) -> tuple[str, list[str]]:
    """The flow of a run, and the tables that it did not finish."""
    missing = UsageError(f"there is no run {run_id}", where="retry", do="`goldfeed history` lists them")
    if not Path(project.settings.warehouse).exists():
        raise missing
    with reading(project.settings) as database:
        runs = database.rows("SELECT flow, status FROM ledger.runs WHERE run_id = ?", [run_id])
        rows = database.rows(
            "SELECT DISTINCT table_name FROM ledger.tasks WHERE run_id = ? AND status IN ('failed', 'skipped')",
            [run_id],
        )
    if not runs:
        raise missing
    flow, status = runs[0]
    names = sorted({name for (name,) in rows} & {*project.graph.sources, *project.graph.models})
    if status not in ("failed", "interrupted", "withheld") or (status == "failed" and not names):
        raise UsageError(
            f"run {run_id} {status}: there is nothing to do again",
            where="retry",
            do="`goldfeed history` lists the runs",
        )
    return str(flow), names or [*project.graph.order]
