"""What a table looks like after a run, in one query, kept in the ledger; and what of it is out of line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC

from pipeline.sql import literal, quoted, table_name
from pipeline.steps.context import Run
from pipeline.warehouse.audits import FAILED, CheckRecord, add_checks
from pipeline.warehouse.database import Database

_COUNTED = 500_000  # rows above which only the rows and the newest time are looked at, so that a day costs the day
_TOLD_APART = 250_000  # rows above which values are not told apart
_RUNS = 14  # runs of a table before anything about it can be usual
_NUMBERS = ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL")


def profile(run: Run, table: str, version: int, rows: int, where: str = "") -> None:
    """Keep row count, null shares, distinct values, sums and age (hours) of a table; in the transaction that wrote it.

    `where`: of a table that only grows, the rows that came.
    """
    held_now = run.shapes[table, version] = run.database.columns_of(table_name(table))  # for all who ask for this version after it
    columns = {key: kind for key, kind in held_now.items() if not key.startswith("_")}
    source = f"{table_name(table)} WHERE {where}" if where else table_name(table)
    wanted = [("rows", "", "count(*)"), *_measures(run, columns, rows, source)]
    found = run.database.rows(f"SELECT {', '.join(expression for _, _, expression in wanted)} FROM {source}")[0]
    held = [
        (run.run_id, table, measure, column, _value(measure, value, found[0]), run.now)
        for (measure, column, _), value in zip(wanted, found, strict=True)
    ]
    run.database.insert_many("INSERT INTO ledger.profiles SELECT * FROM", None, held)


def _value(measure: str, found: float | None, rows: int) -> float | None:
    """What is kept of a number found. The share of nulls is worked out here: the engine takes a quarter of a millisecond to plan it."""
    if measure == "nulls":
        return 1 - (found or 0) / rows if rows else None
    return None if found is None else float(found)


def _measures(run: Run, columns: dict[str, str], rows: int, source: str) -> Iterator[tuple[str, str, str]]:
    """(measure, column, expression); the whole is one pass over the table, or a look at its zone maps if it is large."""
    now = run.now.replace(tzinfo=UTC).timestamp()
    for column, kind in columns.items():
        name = quoted(column)
        if kind in ("TIMESTAMP", "DATE"):
            newest = f"max({name}) FILTER (isfinite({name}))"
            if rows > _COUNTED:
                # as max(), which reads a table with rows changed since the last checkpoint from end to end (24 ms for 6,000,000; this 2)
                finite = f"{name} < {kind} 'infinity' AND {name} > {kind} '-infinity'"
                newest = f"(SELECT {name} FROM (FROM {source}) WHERE {finite} ORDER BY {name} DESC LIMIT 1)"
            yield "age", column, f"({now} - epoch({newest})) / 3600"
        if rows > _COUNTED:
            continue
        yield "nulls", column, f"count({name})"
        if rows <= _TOLD_APART:
            yield "distinct", column, f"approx_count_distinct({name})"
        if kind.startswith(_NUMBERS) and not column.endswith(("_key", "_id")):
            yield "sum", column, f"sum(CAST({name} AS DOUBLE))"


def find_anomalies(run: Run, looked: Sequence[str]) -> tuple[str, ...]:
    """Judge what this run profiled, of the tables it looked at, against the runs before.

    A warning in the ledger, and a note, for each surprise.
    """
    database, states = run.database, run.known.states if run.known else {}
    if states and all(states[table].version <= _RUNS for table in looked if table in states):
        return ()  # what has seldom changed has seldom been profiled
    profiled = database.rows(
        "SELECT table_name, count(*), max(run_id) FROM ledger.profiles "
        "WHERE measure = 'rows' AND list_contains(?, table_name) GROUP BY table_name",
        [list(looked)],
    )
    tables = sorted(str(table) for table, many, last in profiled if many > _RUNS and last == run.run_id)
    if not tables:
        return ()
    notes: list[str] = []
    with database.transaction():
        for table, records in _surprises(database, tables).items():
            add_checks(database, run.run_id, table, records, run.now)
            notes += [f"unusual: {record.sentence(table)}" for record in records]
    return tuple(notes)


def _surprises(database: Database, tables: list[str]) -> dict[str, list[CheckRecord]]:
    import polars as pl  # a third of a second, and only when there is enough history

    from pipeline.quality.anomalies import anomalies

    names = ", ".join(literal(table) for table in tables)
    rows = database.rows(
        "SELECT table_name || '|' || column_name || '|' || measure, profiled_at, value FROM ledger.profiles "
        f"WHERE table_name IN ({names})"
    )
    schema = {"series": pl.String, "at": pl.Datetime, "value": pl.Float64}
    found: dict[str, list[CheckRecord]] = {}
    for one in anomalies(pl.DataFrame(rows, schema=schema, orient="row")):
        table, column, measure = one.series.split("|")
        name = f"anomaly.{column}.{measure}" if column else f"anomaly.{measure}"
        band = f"expected {one.low:,.6g} to {one.high:,.6g}"
        dimension = "timeliness" if measure == "age" else "completeness" if measure in ("rows", "nulls") else "accuracy"
        record = CheckRecord(name, "anomaly", dimension, "warn", FAILED, one.value, band, None, 0.0)
        found.setdefault(table, []).append(record)
    return found
