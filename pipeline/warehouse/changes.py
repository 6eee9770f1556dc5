"""Change sets: the rows that each new version of a table removed and added.

The tables below find in them which of their keys are touched. A change set is
written in the transaction that changes the table, and dropped when every
table that reads it, and the publication, have taken it in. Tables that only
grow (bronze, append) need no copy: their change is a range of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.sql import columns_list, quoted, table_name
from pipeline.warehouse.database import Database, Row

_SIDE, _NET, _TIME = '"its side"', '"its surplus"', '"one time"'  # columns beside those of a table, which may be called _side
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


@dataclass
class Changes:
    """What the ledger says of change sets, read once in a run for each version of a table: up to ten ask for the same."""

    _held: dict[tuple[str, int], list[Row]] = field(default_factory=dict)

    def since(self, database: Database, name: str, seen: int, now: int) -> Change | None:
        """What happened to a table after version `seen` up to `now`; None if that is not known."""
        if (name, now) not in self._held:
            self._held[name, now] = database.rows(
                "SELECT version, first_batch, last_batch, removed, added FROM ledger.changes "
                "WHERE table_name = ? AND version <= ? ORDER BY version",
                [name, now],
            )
        return _change(name, [row for row in self._held[name, now] if row[0] > seen], seen, now)


def _change(name: str, found: list[Row], seen: int, now: int) -> Change | None:
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


def net_change(change: Change, columns: list[str]) -> str:
    """A SELECT of the rows that came and went, as far as these columns tell them apart.

    Each as `net_of` gives it.
    """
    names = columns_list(columns) or "*"
    return net_of(
        f"SELECT {names} FROM ({change.added})", change.removed and f"SELECT {names} FROM ({change.removed})"
    )


def net_of(came: str, went: str | None) -> str:
    """A SELECT of the rows that one of two SELECTs gives more often, each once, and by how much: less than nothing for `went`.

    In one pass over both: EXCEPT ALL, once for each, takes twice the time.
    """
    sides = [f"SELECT *, {sign} AS {_SIDE} FROM ({rows})" for rows, sign in ((came, 1), (went, -1)) if rows]
    return (
        f"SELECT * EXCLUDE ({_SIDE}), CAST(sum({_SIDE}) AS BIGINT) AS {_NET} FROM ({' UNION ALL BY NAME '.join(sides)}) "
        f"GROUP BY ALL HAVING sum({_SIDE}) <> 0"
    )


def of_sign(net: str, sign: str) -> str:
    """A SELECT of the rows of a relation that `net_of` gave which came (sign "") or went ("-"), each as often as it says."""
    times = f"unnest(range({sign}{_NET})) AS {_TIME}"
    return f"SELECT * EXCLUDE ({_NET}, {_TIME}) FROM (SELECT *, {times} FROM {net} WHERE {sign}{_NET} > 0)"


def touched_keys(change: Change, key: list[str]) -> str:
    """A SELECT of the keys of the rows that changed."""
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
        gone = [[name for name, _, _ in old], [version for _, version, _ in old]]
        database.run("DELETE FROM ledger.changes USING (SELECT unnest(?) AS n, unnest(?) AS v) WHERE table_name = n AND version = v", gone)
