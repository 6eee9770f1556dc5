"""The ledger: what came, what ran and what was published, in the warehouse itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from pipeline.warehouse.database import Database

KEY_CHANGED = "another key"  # in place of the fingerprint of a table with tokens


@dataclass(frozen=True)
class TableState:
    """What the ledger knows of one table.

    `version` goes up by one with each change of its rows; `watermark` is the
    last bronze batch it has taken in; the counts are over its whole life
    since the last rebuild.
    """

    name: str
    version: int = 0
    fingerprint: str = ""
    watermark: int = 0
    rows_in: int = 0
    kept: int = 0
    superseded: int = 0
    quarantined: int = 0
    run_id: int = 0


@dataclass(frozen=True)
class TaskRecord:
    """One row of ledger.tasks."""

    run_id: int
    task: str
    layer: str
    table: str
    status: str
    attempts: int
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_superseded: int
    seconds: float
    started_at: datetime
    error: str | None


# ---------------------------------------------------------------- runs and tasks
def close_open_runs(database: Database, now: datetime) -> bool:
    """Mark runs that a crash cut off: only one process can hold the file, so none of them lives. Returns whether any was."""
    found = bool(database.value("SELECT count(*) FROM ledger.runs WHERE status = 'running'"))
    if found:
        database.run("UPDATE ledger.runs SET status = 'interrupted', finished_at = ? WHERE status = 'running'", [now])
    return found


def flows_whose_last_run(database: Database, status: str) -> list[str]:
    """The flows whose last run ended with a status, such as interrupted."""
    found = database.rows(
        "SELECT flow FROM (SELECT flow, status, row_number() OVER (PARTITION BY flow ORDER BY run_id DESC) AS place "
        "FROM ledger.runs) WHERE place = 1 AND status = ? ORDER BY flow",
        [status],
    )
    return [str(row[0]) for row in found]


def start_run(database: Database, flow: str, now: datetime) -> int:
    """Record that a run began. Returns its number."""
    number = database.value(
        "INSERT INTO ledger.runs SELECT coalesce(max(run_id), 0) + 1, ?, 'running', CAST(? AS TIMESTAMP), NULL, NULL, NULL "
        "FROM ledger.runs RETURNING run_id",
        [flow, now],
    )
    return int(number)


def finish_run(
    database: Database, run_id: int, status: str, now: datetime, version: str | None, error: str | None
) -> None:
    """Record how a run ended."""
    database.run(
        "UPDATE ledger.runs SET status = ?, finished_at = ?, version = ?, error = ? WHERE run_id = ?",
        [status, now, version, error, run_id],
    )


def record_task(database: Database, task: TaskRecord) -> None:
    """Add one task's row; inside the task's own transaction where it wrote something."""
    database.run(
        "INSERT INTO ledger.tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            task.run_id,
            task.task,
            task.layer,
            task.table,
            task.status,
            task.attempts,
            task.rows_in,
            task.rows_out,
            task.rows_quarantined,
            task.rows_superseded,
            task.seconds,
            task.started_at,
            task.error,
        ],
    )


# ---------------------------------------------------------------- tables
_STATE = "table_name, version, fingerprint, watermark, rows_in, kept, superseded, quarantined, run_id"
_STATES = f"SELECT {_STATE} FROM ledger.tables"


def table_states(database: Database) -> dict[str, TableState]:
    """Every table the ledger knows, by full name."""
    return {row[0]: TableState(*row) for row in database.rows(_STATES)}


def table_state(database: Database, name: str) -> TableState | None:
    """What the ledger knows of one table; None if it was never written."""
    rows = database.rows(f"{_STATES} WHERE table_name = ?", [name])
    return TableState(*rows[0]) if rows else None


def table_inputs(database: Database) -> dict[str, Mapping[str, int]]:
    """table -> {input: the version of it the table was built from}."""
    return _parsed(database.rows("SELECT table_name, inputs FROM ledger.tables WHERE inputs IS NOT NULL"))


def _parsed(rows: Iterable[tuple[str, str]]) -> dict[str, Mapping[str, int]]:
    return {table: _inputs(text) for table, text in rows}


_LATEST = 10_000  # states in memory: several runs' worth of the widest projects, some 5 MB


@lru_cache(maxsize=_LATEST)
def _inputs(text: str) -> Mapping[str, int]:
    """Remembered, as `_state`: of hundreds of flows that run in a row each looks at the tables of all (issue 4)."""
    return MappingProxyType(json.loads(text))


_state = lru_cache(maxsize=_LATEST)(TableState)


class Known:
    """What the ledger says of tables, held in memory while one run builds: `noted` after each commit."""

    def __init__(self, database: Database) -> None:
        rows = database.rows(f"SELECT inputs, {_STATE} FROM ledger.tables")
        self.states = {row[1]: _state(*row[1:]) for row in rows}
        self.inputs = _parsed((row[1], row[0]) for row in rows if row[0])

    def read_again(self, database: Database, names: list[str]) -> None:
        """Tables have a new state which was not `noted`."""
        found = database.rows(f"{_STATES} WHERE list_contains(?, table_name)", [names])
        self.states |= {row[0]: TableState(*row) for row in found}

    def noted(self, state: TableState, inputs: Mapping[str, int]) -> None:
        """A table has a new state, which is committed."""
        self.states[state.name], self.inputs[state.name] = state, inputs

    def stale(self, tables: list[str]) -> None:
        """Tables were marked to be rebuilt, as `mark_stale` does it."""
        for name in tables:
            if name in self.states:
                self.states[name] = replace(self.states[name], fingerprint="")


def save_table(
    database: Database, state: TableState, inputs: Mapping[str, int], now: datetime, *, new: bool = False
) -> None:
    """Replace a table's state; inside the transaction that changed the table. `new`: the ledger has none of it yet."""
    values = [
        state.version,
        state.fingerprint,
        state.watermark,
        state.rows_in,
        state.kept,
        state.superseded,
        state.quarantined,
        state.run_id,
        now,
        json.dumps(dict(inputs)) if inputs else None,
        state.name,
    ]
    if new or not database.rows(_REPLACE, values):
        database.run("INSERT INTO ledger.tables VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [state.name, *values[:-1]])


_REPLACE = (
    "UPDATE ledger.tables SET version = ?, fingerprint = ?, watermark = ?, rows_in = ?, kept = ?, superseded = ?, "
    "quarantined = ?, run_id = ?, built_at = ?, inputs = ? WHERE table_name = ? RETURNING table_name"
)


def mark_stale(database: Database, tables: list[str], mark: str = "") -> None:
    """Have tables rebuilt from their first row by the next build, also if this run does not come to it."""
    if tables:
        database.run("UPDATE ledger.tables SET fingerprint = ? WHERE list_contains(?, table_name)", [mark, tables])


def note_key(database: Database, tables: list[str]) -> None:
    """Remember by which key tokens are made; once it is another, the tables that hold tokens are rebuilt."""
    database.run("CREATE TABLE IF NOT EXISTS ledger.pii_key (key_id VARCHAR NOT NULL)")
    held, key = database.value("SELECT key_id FROM ledger.pii_key"), database.key_id()
    if held == key:
        return
    with database.transaction():
        if held is not None:
            mark_stale(database, tables, KEY_CHANGED)
        database.run("DELETE FROM ledger.pii_key")
        database.run("INSERT INTO ledger.pii_key VALUES (?)", [key])


# ---------------------------------------------------------------- files
def known_files(database: Database) -> dict[str, tuple[int, str, int]]:
    """sha256 -> (file_id, path, modified_ns) of every file taken in."""
    found = database.rows("SELECT sha256, file_id, path, modified_ns FROM ledger.files")
    return {sha: (file_id, path, modified) for sha, file_id, path, modified in found}


def source_of(database: Database, file_id: int) -> str:
    """The source that took a file in."""
    return str(database.value("SELECT source FROM ledger.files WHERE file_id = ?", [file_id]))


def last_file_id(database: Database) -> int:
    """The highest number given so far to a file or to a batch: replayed rows take one that no file bears."""
    return int(
        database.value(
            "SELECT greatest((SELECT coalesce(max(file_id), 0) FROM ledger.files), "
            "(SELECT coalesce(max(watermark), 0) FROM ledger.tables))"
        )
    )


def record_delivery(
    database: Database,
    run_id: int,
    path: str,
    sha256: str | None,
    outcome: str,
    now: datetime,
    *,
    file_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Add one row to ledger.deliveries: loaded, duplicate or rejected."""
    database.run(
        "INSERT INTO ledger.deliveries VALUES (?, ?, ?, ?, ?, ?, ?)",
        [run_id, path, sha256, outcome, file_id, reason, now],
    )


def files_since(database: Database, sources: list[str], batch: int) -> tuple[list[tuple[str, str]], int]:
    """(path, sha256) of the files of some sources that came after a batch, oldest first; and the last batch of all sources."""
    *files, (last, _, _) = database.rows(
        "SELECT batch, path, sha256 FROM ledger.files WHERE list_contains(?, source) AND batch > ? "
        "UNION ALL SELECT coalesce(max(batch), 0), NULL, NULL FROM ledger.files ORDER BY path IS NULL, batch",
        [sources, batch],
    )
    return [(path, sha256) for _, path, sha256 in files], last


def latest_batch(database: Database) -> int:
    """The last batch taken in, over all sources."""
    return int(database.value("SELECT coalesce(max(batch), 0) FROM ledger.files"))


def accounting(database: Database, run_id: int) -> dict[str, int]:
    """Promise 2 over the files of a run: lines = header + blank + bronze + quarantine."""
    rows = database.rows(
        "SELECT 1, lines, header_lines, blank_lines, bronze_rows, quarantined_rows FROM ledger.files WHERE run_id = ?",
        [run_id],
    )  # added up here: six sums cost the engine twice as much to plan as the rows to read
    names = ("files", "lines", "header", "blank", "bronze", "quarantine")
    return {name: sum(row[place] for row in rows) for place, name in enumerate(names)}


# ---------------------------------------------------------------- publications
_PUBLICATIONS = "SELECT publication_id, version, kind, run_id, tables, published_at FROM ledger.publications"


def publications(database: Database) -> list[dict[str, Any]]:
    """Every publication and rollback, oldest first."""
    names, _, rows = database.described(f"{_PUBLICATIONS} ORDER BY publication_id")
    return [dict(zip(names, row, strict=True)) for row in rows]


def newest_publication(database: Database) -> dict[str, Any] | None:
    """The last version written, not rolled back to."""
    names, _, rows = database.described(
        f"{_PUBLICATIONS} WHERE publication_id = "
        "(SELECT max(publication_id) FROM ledger.publications WHERE kind <> 'rollback')"
    )
    return dict(zip(names, rows[0], strict=True)) if rows else None


def record_publication(
    database: Database, version: str, kind: str, run_id: int | None, tables: str, now: datetime
) -> None:
    """Add a publication (kind publish, rollback or adopted); `tables` is JSON {table: version}."""
    database.run(
        "INSERT INTO ledger.publications SELECT coalesce(max(publication_id), 0) + 1, ?, ?, ?, ?, CAST(? AS TIMESTAMP) "
        "FROM ledger.publications",
        [version, kind, run_id, tables, now],
    )
