"""Tables, promises, files, quarantine, checks and publications: what the ledger says of them, and the samples of it."""

from __future__ import annotations

import json
from datetime import datetime

from pipeline.metrics.runs import shown, stamp
from pipeline.metrics.tally import Tally
from pipeline.metrics.text import Sheet
from pipeline.project.project import Project
from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.promises import as_of, open_misses

REASONS = 40  # reasons of quarantine a source shows by name; they come from sql/, so there are few
_PUBLICATIONS = (
    "SELECT publication_id, kind, version, tables, published_at FROM ledger.publications WHERE publication_id > ?"
)
Promises = tuple[dict[str, datetime], set[tuple[str, str | None]]]


# ---------------------------------------------------------------- tables
def tables(database: Database) -> dict[str, Row]:
    """table -> how many rows came, what became of them, its version, and when it last changed."""
    rows = database.rows(
        "SELECT table_name, rows_in, kept, superseded, quarantined, version, built_at FROM ledger.tables"
    )
    return {row[0]: row[1:] for row in sorted(rows)}


def write_tables(rows: dict[str, Row], project: Project, sheet: Sheet) -> None:
    """The samples of `tables`."""
    counts, updated = sheet.many("table_rows"), sheet.many("table_updated_timestamp_seconds")
    for table, (came, kept, superseded, quarantined, _, built_at) in rows.items():
        if shown(project, table):
            layer = table.partition(".")[0]
            counts[layer, table, "in"], counts[layer, table, "kept"] = came, kept
            counts[layer, table, "superseded"], counts[layer, table, "quarantined"] = superseded, quarantined
            updated[layer, table] = stamp(built_at)


def promises(database: Database, seen: dict[str, datetime]) -> Promises:
    """Of when what readers see of each gold table is, and which promises of tables are broken."""
    return seen, {(miss.kind, miss.table) for miss in open_misses(database)}


def write_promises(found: Promises, project: Project, sheet: Sheet) -> None:
    """The samples of `promises`."""
    seen, broken = found
    for table, at in sorted(seen.items()):
        if shown(project, table):
            sheet.add("table_fresh_timestamp_seconds", stamp(at), table)
    for flow in project.flows.values():
        for table in sorted(table for table in flow.tables if table.startswith("gold.")):
            for kind in ("freshness", "deadline"):
                sheet.add("promise_broken", (kind, table) in broken, kind, table)


# ---------------------------------------------------------------- files
Found = tuple[list[Row], list[Row], list[Row]]


class Files:
    """Deliveries by outcome; bytes and lines of files by source; lost ones. Asked again when a task on a source was done."""

    def __init__(self) -> None:
        self._asked_for: object = None
        self._found: Found = [], [], []

    def read(self, database: Database, tally: Tally, states: dict[str, Row]) -> Found:
        """What is there, if `tally` and `states` are."""
        tasks = [row for (layer, _), row in tally.tables.items() if layer == "bronze"]
        bronze = [row for table, row in states.items() if table.startswith("bronze.")]
        if self._asked_for != (tally.runs, tasks, bronze):
            self._found = (
                database.rows("SELECT outcome, count(*) FROM ledger.deliveries GROUP BY outcome ORDER BY outcome"),
                database.rows(
                    "SELECT source, sum(bytes), sum(header_lines), sum(blank_lines), sum(bronze_rows), "
                    "sum(quarantined_rows) FROM ledger.files GROUP BY source ORDER BY source"
                ),
                database.rows("SELECT count(*) FROM ledger.lost_files"),
            )
            self._asked_for = tally.runs, tasks, bronze
        return self._found


def write_files(found: Found, project: Project, sheet: Sheet) -> None:
    """The samples of `Files`."""
    outcomes, rows = {row[0]: row[1] for row in found[0]}, {row[0]: row[1:] for row in found[1]}
    for outcome in ("loaded", "duplicate", "rejected"):
        sheet.add("files_total", outcomes.get(outcome, 0), outcome)
    sheet.add("lost_files_total", found[2][0][0] if found[2] else 0)
    for place, kind in enumerate(("header", "blank", "bronze", "quarantine"), 1):
        sheet.add("file_lines_total", sum(row[place] for row in rows.values()), kind)
    for source in project.graph.sources.values():
        sheet.add("read_bytes_total", rows[source.name][0] if source.name in rows else 0, source.name)


def quarantine(database: Database) -> list[Row]:
    """How many rows each source has in quarantine, by reason."""
    return database.rows("SELECT source, reason, count(*) FROM ledger.quarantine GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2")


def write_quarantine(rows: list[Row], project: Project, sheet: Sheet) -> None:
    """The samples of `quarantine`. Reasons are sentences of ours; the rarest beyond a bound are shown together."""
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
def write_checks(checks: dict[tuple[str, str, str, bool], Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Tally.checks`: of a table's last audit count the groups that its last run gave."""
    audits: dict[str, int] = {}
    for (table, *_), row in checks.items():
        audits[table] = max(audits.get(table, 0), row[1])
    totals, last = sheet.many("checks_total"), sheet.many("contract_checks")
    odd = sheet.many("anomalies")
    for table in (*project.graph.sources, *project.graph.models):
        odd[table.partition(".")[0], table] = 0
    for (table, dimension, severity, passed), (many, run_id, of_last, unusual) in checks.items():
        if not shown(project, table):
            continue
        layer, outcome, is_last = table.partition(".")[0], "passed" if passed else "failed", run_id == audits[table]
        for each in ("passed", "failed"):
            totals.setdefault((layer, dimension, severity, each), 0)
            last.setdefault((layer, table, dimension, severity, each), 0)
        totals[layer, dimension, severity, outcome] += many
        last[layer, table, dimension, severity, outcome] += of_last if is_last else 0
        if is_last and not passed and (layer, table) in odd:
            odd[layer, table] += unusual


class Publications:
    """How many publications and rollbacks there were, and what the last one of each version holds."""

    def __init__(self) -> None:
        self._upto, self._kinds, self._last = 0, dict[str, int](), datetime.min
        self._versions: dict[str, tuple[str, datetime]] = {}

    def read(self, database: Database) -> tuple[dict[str, int], datetime]:
        """kind -> how many, and when the last one was. Only those that came since the last call are read."""
        rows = database.rows(_PUBLICATIONS, [self._upto])
        for number, kind, version, held, at in sorted(rows):
            self._upto, self._last = number, max(self._last, at)
            self._kinds = {**self._kinds, kind: self._kinds.get(kind, 0) + 1}
            if held != "{}":
                self._versions[version] = held, at
        return self._kinds, self._last

    def seen(self, version: str | None, states: dict[str, Row]) -> dict[str, datetime]:
        """gold table -> when readers' state of it was last brought up to date, in the version that they see."""
        held, at = self._versions.get(version or "", ("{}", self._last))
        return as_of(json.loads(held), at, {table: (row[4], row[5]) for table, row in states.items()})


def write_publications(found: tuple[dict[str, int], datetime], project: Project, sheet: Sheet) -> None:
    """The samples of `Publications`."""
    kinds, last = found
    for kind, many in sorted(kinds.items()):
        sheet.add("publications_total", many, kind)
    if kinds:
        sheet.add("publication_timestamp_seconds", stamp(last))
