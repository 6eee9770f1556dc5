"""What the commands about quality do: the results of the contracts, and publishing in spite of one."""

from __future__ import annotations

from pipeline import show
from pipeline.clock import Clock
from pipeline.commands.base import dicts, reading, writing
from pipeline.commands.runs import run_in
from pipeline.errors import UsageError
from pipeline.project.project import Project
from pipeline.situation import Order
from pipeline.warehouse.audits import accept

_CHECKS = (
    'SELECT c.run_id, c.table_name AS "table", c.check_name AS "check", c.check_type AS type, c.dimension, c.severity, '
    "c.outcome, c.value, c.threshold, c.rows_failed, c.seconds, c.rows_looked_at, c.checked_at, x.why AS accepted "
    "FROM ledger.checks c LEFT JOIN ledger.acceptances x USING (table_name, check_name, run_id) "
)
_LATEST = (
    "JOIN (SELECT table_name, max(run_id) AS run_id FROM (SELECT table_name, run_id FROM ledger.audits UNION ALL "
    "SELECT table_name, run_id FROM ledger.profiles) GROUP BY table_name) a USING (table_name, run_id) "
)


def checks(project: Project, table: str | None, run_id: int | None, *, json_out: bool) -> None:
    """The latest result of every check, or those of one run."""
    with reading(project.settings) as database:
        _known(project, table)
        chosen = "" if run_id is not None else _LATEST
        rows = dicts(
            database,
            f"{_CHECKS}{chosen}WHERE (? IS NULL OR c.table_name = ?) AND (? IS NULL OR c.run_id = ?) "
            "ORDER BY c.outcome, c.table_name, c.check_name",
            [table, table, run_id, run_id],
        )
    if json_out:
        show.print_json(rows)
    elif not rows:
        show.out().print("Nothing has been checked: see docs/quality.md for how to write a contract.", highlight=False)
    else:
        names = ("table", "check", "dimension", "severity", "outcome", "value", "threshold", "rows_failed", "run_id")
        show.out().print(
            show.table(None, [name.replace("_", " ") for name in names], [[r[n] for n in names] for r in rows])
        )


def _known(project: Project, table: str | None) -> None:
    if table is not None and table not in project.graph.order:
        raise UsageError(f"there is no table {table}", where="checks", do="write it as gold.fact_orders")


def publish(project: Project, accepted: str | None, why: str | None, *, quiet: bool, json_out: bool) -> bool:
    """Build what waits, without new files, and publish; overrule one failure first. Returns whether it went well."""
    with writing(project) as database:
        if accepted is not None and why is not None:
            accept(database, accepted, why.strip(), Clock().now())
        order = Order(select=tuple(project.graph.models))
        return run_in(project, database, order, quiet=quiet, json_out=json_out)
