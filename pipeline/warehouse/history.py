"""The part of retention that is the ledger's alone: old history goes, what anything still asks for stays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.warehouse.database import Database

_OLD_RUNS = (
    "SELECT run_id FROM ledger.runs r WHERE started_at < ? AND status <> 'running' "
    "AND run_id <> (SELECT max(run_id) FROM ledger.runs l WHERE l.flow = r.flow) "
    "AND run_id <> (SELECT max(run_id) FROM ledger.runs) AND NOT list_contains(?, coalesce(version, ''))"
)
_NOT_LAST = (  # what the last audit of a table found still closes the gate, or opens it
    "run_id <> coalesce((SELECT max(a.run_id) FROM ledger.audits a WHERE a.table_name = ledger.{0}.table_name), -1)"
)


def forget_history(database: Database, before: datetime, kept_versions: Sequence[str]) -> dict[str, int]:
    """Remove what happened before a time. Returns table -> rows removed.

    The last run of each flow and the last audit of each table stay, and so do the runs of versions that readers can still see, what is due, promises that
    are still broken, and every file: by its hash a file counts once, however late it is delivered again.
    """
    versions = list(kept_versions)
    database.run(f"CREATE OR REPLACE TEMP TABLE old_runs AS {_OLD_RUNS}", [before, versions])
    old = "run_id IN (FROM temp.old_runs)"
    removed = {
        "tasks": _delete(database, "tasks", old, []),
        "checks": _delete(database, "checks", f"{old} AND {_NOT_LAST.format('checks')}", []),
        "audits": _delete(database, "audits", f"{old} AND {_NOT_LAST.format('audits')}", []),
        "runs": _delete(database, "runs", old, []),
    }
    removed["profiles"] = _delete(database, "profiles", "profiled_at < ?", [before])
    database.run("DROP TABLE temp.old_runs")
    removed["deliveries"] = _delete(database, "deliveries", "delivered_at < ?", [before])
    removed["retentions"] = _delete(database, "retentions", "done_at < ?", [before])
    removed["misses"] = _delete(database, "misses", "noted_at < ? AND (kind = 'sla' OR kept_at IS NOT NULL)", [before])
    last = "due_at < (SELECT max(due_at) FROM ledger.due l WHERE l.flow = due.flow)"
    removed["due"] = _delete(database, "due", f"due_at < ? AND state <> 'waiting' AND {last}", [before])
    newest = "(SELECT max(publication_id) FROM ledger.publications WHERE kind <> 'rollback')"
    removed["publications"] = _delete(
        database,
        "publications",
        f"published_at < ? AND NOT list_contains(?, version) AND publication_id < {newest}",
        [before, versions],
    )
    return removed


def _delete(database: Database, table: str, condition: str, values: Sequence[object]) -> int:
    return int(database.value(f"DELETE FROM ledger.{table} WHERE {condition}", list(values)) or 0)


def note_retention(database: Database, removed: Sequence[tuple[str, str, int]], now: datetime) -> None:
    """Write down what went: (layer, table, how many); also when it was nothing."""
    rows = [(now, *row) for row in (*removed, ("all", "", sum(row[2] for row in removed)))]
    database.insert_many("INSERT INTO ledger.retentions SELECT * FROM", None, rows)


def last_retention(database: Database) -> datetime | None:
    """When it was last looked what may go."""
    found: datetime | None = database.value("SELECT max(done_at) FROM ledger.retentions")
    return found


def retired(database: Database) -> dict[str, int]:
    """sha256 -> file_id of the files that have left archive/."""
    return dict(database.rows("SELECT sha256, file_id FROM ledger.retired"))
