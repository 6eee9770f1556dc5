"""Tables, promises, files, quarantine, checks and publications: what the ledger says of them, and the samples of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from pipeline.metrics.runs import named, shown, stamp
from pipeline.metrics.tally import Tally
from pipeline.metrics.text import Sheet
from pipeline.project.project import Project
from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.promises import as_of

REASONS = 40  # reasons of quarantine a source shows by name; they come from sql/, so there are few
_FILES = """
SELECT 'file' AS part, source AS name, sum(bytes) AS number, sum(header_lines) AS header, sum(blank_lines) AS blank,
    sum(bronze_rows) AS bronze, sum(quarantined_rows) AS quarantine FROM ledger.files GROUP BY source
UNION ALL BY NAME SELECT 'delivery' AS part, count(*) FILTER (outcome = 'loaded') AS number,
    count(*) FILTER (outcome = 'duplicate') AS header, count(*) FILTER (outcome = 'rejected') AS blank
    FROM ledger.deliveries
UNION ALL BY NAME SELECT 'lost' AS part, count(*) AS number FROM ledger.lost_files
"""
Promises = tuple[dict[str, datetime], set[Row]]


# ---------------------------------------------------------------- tables
def write_tables(rows: Mapping[str, Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Answer.tables`."""
    counts, updated = sheet.many("table_rows"), sheet.many("table_updated_timestamp_seconds")
    for table, (came, kept, superseded, quarantined, _, built_at) in rows.items():
        if shown(project, table):
            layer = table.partition(".")[0]
            counts[layer, table, "in"], counts[layer, table, "kept"] = came, kept
            counts[layer, table, "superseded"], counts[layer, table, "quarantined"] = superseded, quarantined
            updated[layer, table] = stamp(built_at)


def write_promises(found: Promises, project: Project, sheet: Sheet) -> None:
    """Of when what readers see of each gold table is, and which promises of tables are broken."""
    seen, broken = found
    for table, at in sorted(seen.items()):
        if shown(project, table):
            sheet.add("table_fresh_timestamp_seconds", stamp(at), table)
    for flow in project.flows.values():
        for table in sorted(table for table in flow.tables if table.startswith("gold.")):
            for kind in ("freshness", "deadline"):
                sheet.add("promise_broken", (kind, table) in broken, kind, table)


# ---------------------------------------------------------------- files
Found = tuple[Row, dict[str, Row], int]


class Files:
    """Deliveries by outcome; bytes and lines of files by source; lost ones. Asked again when a task on a source was done."""

    def __init__(self) -> None:
        self._asked_for: object = None
        self._found: Found = (0, 0, 0), {}, 0

    def read(self, database: Database, tally: Tally, states: dict[str, Row]) -> Found:
        """What is there, if `tally` and `states` are."""
        tasks = [row for (layer, _), row in tally.tables.items() if layer == "bronze"]
        bronze = [row for table, row in states.items() if table.startswith("bronze.")]
        if self._asked_for != (tally.runs, tasks, bronze):
            self._found = _files(database)
            self._asked_for = tally.runs, tasks, bronze
        return self._found


def _files(database: Database) -> Found:
    rows = database.rows_again(_FILES)
    delivered = next(row[2:5] for row in rows if row[0] == "delivery")
    sources = {row[1]: row[2:] for row in rows if row[0] == "file"}
    return delivered, sources, sum(row[2] for row in rows if row[0] == "lost")


def write_files(found: Found, project: Project, sheet: Sheet) -> None:
    """The samples of `Files`."""
    delivered, rows, lost = found
    for outcome, many in zip(("loaded", "duplicate", "rejected"), delivered, strict=True):
        sheet.add("files_total", many, outcome)
    sheet.add("lost_files_total", lost)
    for place, kind in enumerate(("header", "blank", "bronze", "quarantine"), 1):
        sheet.add("file_lines_total", sum(row[place] for row in rows.values()), kind)
    for source in project.graph.sources.values():
        sheet.add("read_bytes_total", rows[source.name][0] if source.name in rows else 0, source.name)


def write_quarantine(rows: list[Row], project: Project, sheet: Sheet) -> None:
    """The samples of `Answer.quarantine`. Reasons are sentences of ours; the rarest beyond a bound are shown together."""
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
Groups = Mapping[tuple[str, str, bool], Row]
OUTCOMES = (("passed", True), ("failed", False))
_NONE = (0, 0, 0, 0)


def checks(tally: Tally, project: Project) -> dict[str, Groups]:
    """Those of each table that is shown by name."""
    return {table: tally.checks.get(table, {}) for table in named(project)}


def write_check_totals(audited: Mapping[tuple[str, str, str, bool], int], project: Project, sheet: Sheet) -> None:
    """The samples of `Tally.audited`."""
    for layer, dimension, severity, _ in audited:
        for outcome, passed in OUTCOMES:
            many = audited.get((layer, dimension, severity, passed), 0)
            sheet.add("checks_total", many, layer, dimension, severity, outcome)


def write_checks(checks: Mapping[str, Groups], project: Project, sheet: Sheet) -> None:
    """The last audits: samples of `checks`. The groups that a table's last run gave count."""
    for table, groups in checks.items():
        layer = table.partition(".")[0]
        last = max((row[1] for row in groups.values()), default=0)
        audit = {key: row for key, row in groups.items() if row[1] == last}
        for dimension, severity, _ in groups:
            for outcome, passed in OUTCOMES:
                many = audit.get((dimension, severity, passed), _NONE)[2]
                sheet.add("contract_checks", many, layer, table, dimension, severity, outcome)
        if table != "gold":
            sheet.add("anomalies", sum(row[3] for (*_, passed), row in audit.items() if not passed), layer, table)


class Publications:
    """How many publications and rollbacks there were, and what the last one of each version holds."""

    def __init__(self) -> None:
        self.upto, self._kinds, self._last = 0, dict[str, int](), datetime.min
        self._versions: dict[str, tuple[str, datetime]] = {}

    def add(self, rows: Iterable[Row]) -> tuple[dict[str, int], datetime]:
        """kind -> how many, and when the last one was, with those that came since the last call."""
        for number, kind, version, held, at in rows:
            self.upto, self._last = number, max(self._last, at)
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
