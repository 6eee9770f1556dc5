"""Whether the numbers can be trusted: per table the version, when it was built, up to when its data go, what failed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from pipeline.feed.catalog import Catalog, Table
from pipeline.feed.snapshot import Snapshot
from pipeline.published import read_state
from pipeline.settings import Settings
from pipeline.sql import quoted

_KEPT = 500


@dataclass(frozen=True)
class TableFreshness:
    """A row of `_freshness`. Times are UTC as text; None where it is not known."""

    table: str
    version: str
    built_at: str | None
    data_through: str | None
    last_good_run: str | None
    checks_failed: int
    rows_quarantined: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


class Freshness:
    """What the manifest, the files and published/state.json say. Thread-safe; `data_through` is computed once a version."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._through: OrderedDict[tuple[str, str, str], str | None] = OrderedDict()

    def tables(self, snapshot: Snapshot, catalog: Catalog) -> list[TableFreshness]:
        """One row for each table that the reader sees. Runs small queries: call it in a thread."""
        state = read_state(self._settings.published).get("tables", {})
        return [self._table(snapshot, table, state.get(name, {})) for name, table in catalog.tables.items()]

    def word(self) -> dict[str, Any]:
        """The last run, the last good one, the publication that is withheld, if one is, and what was set aside in all."""
        state = read_state(self._settings.published)
        names = ("last_run", "last_good_run", "withheld", "checks_failed", "rows_quarantined")
        return {name: state.get(name) for name in names}

    def _table(self, snapshot: Snapshot, table: Table, state: dict[str, Any]) -> TableFreshness:
        return TableFreshness(
            table=table.name,
            version=snapshot.version,
            built_at=state.get("built_at") or snapshot.manifest["published_at"],
            data_through=self._data_through(snapshot, table),
            last_good_run=state.get("last_good_run"),
            checks_failed=int(state.get("checks_failed", 0)),
            rows_quarantined=int(state.get("rows_quarantined", 0)),
        )

    def _data_through(self, snapshot: Snapshot, table: Table) -> str | None:
        column = date_column(table)
        if column is None:
            return None
        key = (snapshot.manifest["tables"][table.name]["sha256"], table.relation, column)
        with self._lock:
            if key in self._through:
                return self._through[key]
        found = _latest(snapshot.connection.cursor(), table, column)
        with self._lock:
            self._through[key] = found
            while len(self._through) > _KEPT:
                self._through.popitem(last=False)
        return found


def date_column(table: Table) -> str | None:
    """The first column with a date or a time: the one that a fact is cut into months by."""
    return next((column.name for column in table.columns if column.type.startswith(("DATE", "TIMESTAMP"))), None)


def _latest(cursor: duckdb.DuckDBPyConnection, table: Table, column: str) -> str | None:
    try:
        found = cursor.execute(f"SELECT CAST(max({quoted(column)}) AS VARCHAR) FROM {table.relation}").fetchone()
    finally:
        cursor.close()
    return str(found[0]).replace(" ", "T") if found and found[0] is not None else None
