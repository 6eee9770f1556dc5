"""full and view: the whole table from its SELECT or its Polars function."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from pipeline.project.model import Model
from pipeline.sql import CHECKSUM, WHOLE_ROW, columns_list, quoted
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    ADDED,
    REMOVED,
    Built,
    broken_rule,
    check_balance,
    count,
    give_keys,
    net_rows,
    reasons,
    same_key,
    sorted_by_key,
    target,
    unknown_member,
    with_keys,
)
from pipeline.steps.kinds.functions import function_rows
from pipeline.steps.kinds.paired import Placed, pair
from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.ledger import TableState
from pipeline.warehouse.quarantine import set_aside_rows

_COMPARED = 1_000_000  # rows of a table that a rebuild is compared with, whatever the reason for it
REWRITTEN = 50_000  # rows up to which a rebuilt table is simply written anew
_AT_ONCE = 100  # rows up to which a table is written first and compared then, by the hashes of its rows
_FEW = 4  # at most one row in so many differs, or it is written anew


class Compared(NamedTuple):
    """Whether a rebuilt table has other rows than before; `known`: temp.removed and temp.added hold which. And how many it has.

    `placed`: temp.pairs holds where they are.
    """

    changed: bool
    known: bool
    rows: int
    placed: bool = False


def build_view(run: Run, model: Model, state: TableState) -> Built:
    """Nothing stored: the view runs when it is read."""
    run.database.run(f"CREATE OR REPLACE VIEW {target(model)} AS {model.said.sql}")
    state = replace(state, rows_in=0, kept=0, superseded=0, quarantined=0)
    return Built(state, 0, 0, 0, 0, True)


def build_full(run: Run, model: Model, state: TableState) -> Built:
    """Rebuild a table; rows that break a rule are set aside, and stay so until the next build."""
    if model.is_python:
        return _from_polars(run, model, state)
    query = model.said.sql
    if model.header.rules or model.header.surrogate_key:
        return _through_rules(run, model, state, query)
    return _written(run, model, state, query)


def _written(run: Run, model: Model, state: TableState, query: str, *, file: str | None = None) -> Built:
    found = write_whole(run, model, state, query, file=file)
    many = found.rows
    state = replace(state, rows_in=many, kept=many, superseded=0, quarantined=0)
    return Built(state, many, many, 0, 0, found.changed, known=found.known)


def _write_whole(run: Run, model: Model, query: str) -> int:
    """Write the rows of a query as the table. Returns how many."""
    ordered = f"SELECT * FROM ({query}){sorted_by_key(model)}"
    return run.database.made(f"CREATE OR REPLACE TABLE {target(model)} AS {ordered}")


def write_whole(run: Run, model: Model, state: TableState, query: str, *, file: str | None = None) -> Compared:
    """Write the rows of a query as the table; of a table that is there already, only those that differ.

    `file`: what the query reads, if that is only a file; it may be asked several times.
    """
    if not state.kept or not _worth_comparing(model, state):
        return Compared(True, False, _write_whole(run, model, query))
    if state.kept <= _AT_ONCE and not run.project.graph.watched(model.name):
        return _write_few(run, model, query)
    return _write_differing(run, model, state, query, file)


def _write_few(run: Run, model: Model, query: str) -> Compared:
    """A small table whose changed rows nobody asks for: half the statements of a comparison before it is written."""
    before = _hashes(run.database, target(model))
    rows = _write_whole(run, model, query)
    return Compared(rows > 2 * _AT_ONCE or _hashes(run.database, target(model)) != before, False, rows)


def _write_differing(run: Run, model: Model, state: TableState, query: str, file: str | None) -> Compared:
    database = run.database
    held = database.columns_of(target(model))
    rows = _show_rebuilt(database, query, filed=file is not None)
    fresh = Placed(file, "file_row_number", rows) if file else Placed("temp.rebuilt", "rowid", rows)
    try:
        if database.columns_of("temp.rebuilt") != held:
            found = Compared(True, False, rows)
        elif not _worth_knowing(run, model, state) and _same_rows(database, target(model), "temp.rebuilt"):
            return _nothing(database, rows)
        else:
            found = _differ(run, model, state, fresh, list(held))
            if not found.changed:
                return found
        if found.known and _patch(run, model, state, fresh, list(held), placed=found.placed):
            return found._replace(rows=count(database, target(model)))
        _write_whole(run, model, "SELECT * FROM temp.rebuilt")
    finally:
        database.run(f"DROP {'VIEW' if file else 'TABLE'} IF EXISTS temp.rebuilt")
    return found


def _show_rebuilt(database: Database, query: str, *, filed: bool) -> int:
    """Make the temporary relation `rebuilt` with the rows of a query. Returns how many they are."""
    if not filed:
        return database.made(f"CREATE OR REPLACE TEMP TABLE rebuilt AS SELECT * FROM ({query})")
    database.run(f"CREATE OR REPLACE TEMP VIEW rebuilt AS {query}")
    return count(database, "temp.rebuilt")


def _worth_comparing(model: Model, state: TableState) -> bool:
    """Whether it is likely that most rows are as they were: not where the model has changed, unless that costs little."""
    same_model = model.header.kind == "full" and state.fingerprint == model.fingerprint
    return bool(state.version) and (state.kept <= _COMPARED or same_model)


def _nothing(database: Database, rows: int) -> Compared:
    for table in (REMOVED, ADDED):
        database.run(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM temp.rebuilt LIMIT 0")
    return Compared(False, True, rows)


def _worth_knowing(run: Run, model: Model, state: TableState) -> bool:
    """Whether somebody gains by knowing which rows differ."""
    return run.project.graph.watched(model.name) or state.kept > REWRITTEN


def _differ(run: Run, model: Model, state: TableState, fresh: Placed, columns: list[str]) -> Compared:
    """Leave the rows that went in temp.removed, those that came in temp.added, where that is worth knowing."""
    if not _worth_knowing(run, model, state):
        return Compared(True, False, fresh.rows)
    database, held = run.database, _held(run, model)
    placed = state.kept > REWRITTEN and pair(database, fresh, held, model.header.key, columns, state.kept // _FEW)
    came, went = (fresh.found("came", columns), held.found("went", columns)) if placed else ("temp.rebuilt", target(model))
    return Compared(net_rows(database, came, went) > 0, True, fresh.rows, placed)


def _held(run: Run, model: Model) -> Placed:
    return Placed(target(model), "rowid", count(run.database, target(model)))


def _patch(run: Run, model: Model, state: TableState, fresh: Placed, columns: list[str], *, placed: bool) -> bool:
    """Put the rows that differ in the place of those they replace, if they are few and a key tells them."""
    database, key = run.database, model.header.key
    many = count(database, REMOVED) + count(database, ADDED)
    if not key or state.kept <= REWRITTEN or many * _FEW > state.kept:
        return False
    if placed:
        database.run(f"DELETE FROM {target(model)} WHERE rowid IN (SELECT unnest(went) FROM temp.pairs)")
        database.run(f"INSERT INTO {target(model)} FROM {fresh.found('came', columns)}{sorted_by_key(model)}")
        return True
    blank = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    if database.value(f"SELECT count(*) FROM (FROM {REMOVED} UNION ALL FROM {ADDED}) WHERE {blank}"):
        return False
    same = same_key(key, "t", "d")
    database.run(
        f"CREATE OR REPLACE TEMP TABLE differing AS SELECT {columns_list(key)} FROM {REMOVED} "
        f"UNION SELECT {columns_list(key)} FROM {ADDED}"
    )
    database.run(f"DELETE FROM {target(model)} t USING temp.differing d WHERE {same}")
    database.run(
        f"INSERT INTO {target(model)} SELECT t.* FROM temp.rebuilt t SEMI JOIN temp.differing d ON {same}{sorted_by_key(model)}"
    )
    return True


def _hashes(database: Database, table: str) -> list[Row]:
    """The hash of each row, and the names and types of the columns with it; in an order that does not depend on theirs."""
    return sorted(database.rows(f"SELECT hash({WHOLE_ROW}), typeof({WHOLE_ROW}) FROM {table} {WHOLE_ROW}"))


def _same_rows(database: Database, one: str, other: str) -> bool:
    """Whether two tables have as many rows, whose hashes have the same sum and xor."""
    sums = [f"(SELECT row({CHECKSUM}) FROM {table} {WHOLE_ROW})" for table in (one, other)]
    return bool(database.value(f"SELECT {' IS NOT DISTINCT FROM '.join(sums)}"))


def _through_rules(run: Run, model: Model, state: TableState, query: str) -> Built:
    database = run.database
    rule = broken_rule(model, keys=model.header.surrogate_key is not None)
    rows_in = database.made(f"CREATE OR REPLACE TEMP TABLE whole AS SELECT *, {rule} AS _broken FROM ({query})")
    database.run(
        f"CREATE OR REPLACE TEMP TABLE aside AS SELECT {reasons(model, '_broken')} AS reason, "
        f"CAST(to_json({WHOLE_ROW}) AS VARCHAR) AS raw FROM temp.whole AS w, LATERAL (SELECT w.* EXCLUDE (_broken)) AS {WHOLE_ROW} "
        "WHERE _broken IS NOT NULL"
    )
    aside = set_aside_rows(database, model.name, "temp.aside", run.numbers, run.run_id, run.now)
    database.run(
        "CREATE OR REPLACE TEMP TABLE whole AS SELECT * EXCLUDE (_broken) FROM temp.whole WHERE _broken IS NULL"
    )
    found = store(run, model, "temp.whole", state)
    database.run("DROP TABLE temp.whole")
    return replace(_built(model, state, found.rows, rows_in, aside), changed=found.changed, known=found.known)


def store(run: Run, model: Model, built: str, state: TableState) -> Compared:
    """Write the temporary table `built` as the model's table, with surrogate keys and the unknown member."""
    query = f"SELECT * FROM {built}"
    if model.header.surrogate_key:
        give_keys(run, model, built)
        query = with_keys(model, built)
        if model.header.has_unknown_member:
            columns = run.database.columns_of(built)
            query = f"{query} UNION ALL {unknown_member(run, model, columns)}"
    return write_whole(run, model, state, query)


def _built(model: Model, state: TableState, rows: int, rows_in: int, aside: int) -> Built:
    kept = rows - (1 if model.header.has_unknown_member else 0)
    state = replace(state, rows_in=rows_in, kept=kept, superseded=0, quarantined=aside)
    check_balance(state, rows_in)
    return Built(state, rows_in, kept, aside, 0, True)


def _from_polars(run: Run, model: Model, state: TableState) -> Built:
    with function_rows(run, model, model.said.sql) as file:
        return _written(run, model, state, f"SELECT * FROM {file}", file=file)
