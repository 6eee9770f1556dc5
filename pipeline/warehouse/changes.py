"""Change sets: the rows that each new version of a table removed and added.

The tables below find in them which of their keys are touched. A change set is
written in the transaction that changes the table, and dropped when every
table that reads it, and the publication, have taken it in. Tables that only
grow (bronze, append) need no copy: their change is a range of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.sql import columns_list, quoted, table_name
from pipeline.warehouse.database import Database

KEPT = 60  # versions of one table remembered at most; what lags further behind is rebuilt whole


@dataclass(frozen=True)
class Change:
    """The rows that came and went between two versions of a table, as SELECTs; None if none went."""

    added: str
    removed: str | None
    count: int


def _stored(name: str, version: int) -> str:
    return f"changes.{quoted(f'{name}@{version}')}"


def record_rows(database: Database, name: str, version: int, removed: str, added: str) -> None:
    """Keep the rows of two relations as the change that made `version`; in the table's own transaction."""
    stored = _stored(name, version)
    database.run(
        f"CREATE OR REPLACE TABLE {stored} AS SELECT true AS _added, * FROM {added} "
        f"UNION ALL BY NAME SELECT false AS _added, * FROM {removed}"
    )
    counts = database.rows(f"SELECT count(*) FILTER (NOT _added), count(*) FILTER (_added) FROM {stored}")[0]
    database.run("INSERT INTO ledger.changes VALUES (?, ?, NULL, NULL, ?, ?)", [name, version, *counts])


def record_batches(database: Database, name: str, version: int, first: int, last: int, added: int) -> None:
    """Note that `version` added the rows of the batches after `first` up to `last`."""
    database.run("INSERT INTO ledger.changes VALUES (?, ?, ?, ?, 0, ?)", [name, version, first, last, added])


def changes_since(database: Database, name: str, seen: int, now: int) -> Change | None:
    """What happened to a table after version `seen` up to `now`; None if that is not known."""
    found = database.rows(
        "SELECT version, first_batch, last_batch, removed, added FROM ledger.changes "
        "WHERE table_name = ? AND version > ? AND version <= ? ORDER BY version",
        [name, seen, now],
    )
    if [row[0] for row in found] != list(range(seen + 1, now + 1)):
        return None
    kept = [(_stored(name, row[0]), row[3]) for row in found if row[1] is None]
    added = [f"SELECT * EXCLUDE (_added) FROM {table} WHERE _added" for table, _ in kept]
    added += [
        f"SELECT * FROM {table_name(name)} WHERE _batch > {int(row[1])} AND _batch <= {int(row[2])}"
        for row in found
        if row[1] is not None
    ]
    removed = [f"SELECT * EXCLUDE (_added) FROM {table} WHERE NOT _added" for table, many in kept if many]
    total = sum(row[3] + row[4] for row in found)
    return Change(" UNION ALL BY NAME ".join(added), " UNION ALL BY NAME ".join(removed) or None, total)


def net_change(change: Change, columns: list[str]) -> tuple[str, str]:
    """SELECTs of the rows that came and of those that went, as far as these columns tell them apart."""
    names = columns_list(columns) or "*"
    added = f"SELECT {names} FROM ({change.added})"
    if change.removed is None:
        return added, f"{added} LIMIT 0"
    removed = f"SELECT {names} FROM ({change.removed})"
    return f"{added} EXCEPT ALL {removed}", f"{removed} EXCEPT ALL {added}"


def touched_keys(database: Database, name: str, seen: int, now: int, key: list[str]) -> str | None:
    """A SELECT of the keys of the rows that changed between two versions; None if that is not known."""
    change = changes_since(database, name, seen, now)
    if change is None:
        return None
    rows = " UNION ALL BY NAME ".join(filter(None, [change.added, change.removed]))
    return f"SELECT {columns_list(key)} FROM ({rows})"


def forget(database: Database, floors: Mapping[str, int]) -> None:
    """Drop the change sets that nothing will ask for: those up to each table's floor, and very old ones."""
    found = database.rows("SELECT table_name, version, first_batch FROM ledger.changes")
    newest: dict[str, int] = {}
    for name, version, _ in found:
        newest[name] = max(version, newest.get(name, 0))
    old = [
        (name, version, first)
        for name, version, first in found
        if version <= max(floors.get(name, newest[name]), newest[name] - KEPT)
    ]
    if not old:
        return
    with database.transaction():
        for name, version, first in old:
            if first is None:
                database.run(f"DROP TABLE IF EXISTS {_stored(name, version)}")
            database.run("DELETE FROM ledger.changes WHERE table_name = ? AND version = ?", [name, version])
