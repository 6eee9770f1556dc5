"""full and view: the whole table from its SELECT or its Polars function."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import PermanentError
from pipeline.project.model import Model
from pipeline.sql import literal, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    ADDED,
    REMOVED,
    Built,
    broken_rule,
    check_balance,
    count,
    give_keys,
    reasons,
    sorted_by_key,
    target,
    unknown_member,
    with_keys,
)
from pipeline.warehouse.database import Database, without_values
from pipeline.warehouse.ledger import TableState
from pipeline.warehouse.quarantine import set_aside_rows

_OF_VALUES = ("InvalidOperationError", "ComputeError", "OutOfBoundsError")  # of Polars, when data do not fit
_COMPARED = 1_000_000  # rows of a table that a rebuild is compared with


class Compared(NamedTuple):
    """Whether a rebuilt table has other rows than before; `known`: temp.removed and temp.added hold which."""

    changed: bool
    known: bool


def build_view(run: Run, model: Model, state: TableState) -> Built:
    """Nothing stored: the view runs when it is read."""
    assert model.select is not None
    run.database.run(f"CREATE OR REPLACE VIEW {target(model)} AS {model.select.sql('duckdb')}")
    state = replace(state, rows_in=0, kept=0, superseded=0, quarantined=0)
    return Built(state, 0, 0, 0, 0, True)


def build_full(run: Run, model: Model, state: TableState) -> Built:
    """Rebuild a table; rows that break a rule are set aside, and stay so until the next build."""
    if model.is_python:
        return _from_polars(run, model, state)
    assert model.select is not None
    query = model.select.sql("duckdb")
    if model.header.rules or model.header.surrogate_key:
        return _through_rules(run, model, state, query)
    return _written(run, model, state, query)


def _written(run: Run, model: Model, state: TableState, query: str) -> Built:
    found = write_whole(run, model, state, query)
    built = _built(run, model, state, count(run.database, target(model)), 0)
    return replace(built, changed=found.changed, known=found.known)


def _write_whole(run: Run, model: Model, query: str) -> None:
    run.database.run(f"CREATE OR REPLACE TABLE {target(model)} AS SELECT * FROM ({query}){sorted_by_key(model)}")


def write_whole(run: Run, model: Model, state: TableState, query: str) -> Compared:
    """Write the rows of a query as the table, unless they are those it has; tables of moderate size are compared."""
    database = run.database
    if not state.version or not 0 < state.kept <= _COMPARED:
        _write_whole(run, model, query)
        return Compared(True, False)
    held = database.columns_of(target(model))
    database.run(f"CREATE OR REPLACE TEMP TABLE rebuilt AS SELECT * FROM ({query})")
    try:
        if database.columns_of("temp.rebuilt") != held:
            found = Compared(True, False)
        elif run.project.graph.watched(model.name):
            found = _row_by_row(database, model)
        else:
            found = Compared(not _same_rows(database, target(model), "temp.rebuilt"), False)
        if found.changed:
            _write_whole(run, model, "SELECT * FROM temp.rebuilt")
    finally:
        database.run("DROP TABLE IF EXISTS temp.rebuilt")
    return found


def _row_by_row(database: Database, model: Model) -> Compared:
    for table, one, other in (("removed", target(model), "temp.rebuilt"), ("added", "temp.rebuilt", target(model))):
        database.run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}")
    return Compared(count(database, REMOVED) + count(database, ADDED) > 0, True)


def _same_rows(database: Database, one: str, other: str) -> bool:
    """Whether two tables have as many rows, whose hashes have the same sum and xor."""
    sums = [f"(SELECT row(count(*), sum(hash(r)), bit_xor(hash(r))) FROM {table} r)" for table in (one, other)]
    return bool(database.value(f"SELECT {' IS NOT DISTINCT FROM '.join(sums)}"))


def _through_rules(run: Run, model: Model, state: TableState, query: str) -> Built:
    database = run.database
    rule = broken_rule(model, keys=model.header.surrogate_key is not None)
    database.run(f"CREATE OR REPLACE TEMP TABLE whole AS SELECT *, {rule} AS _broken FROM ({query})")
    rows_in = count(database, "temp.whole")
    database.run(
        f"CREATE OR REPLACE TEMP TABLE aside AS SELECT {reasons(model, 'w._broken')} AS reason, "
        "CAST(to_json(w) AS VARCHAR) AS raw FROM temp.whole w WHERE w._broken IS NOT NULL"
    )
    aside = set_aside_rows(database, model.name, "temp.aside", run.numbers, run.run_id, run.now)
    database.run(
        "CREATE OR REPLACE TEMP TABLE whole AS SELECT * EXCLUDE (_broken) FROM temp.whole WHERE _broken IS NULL"
    )
    found = store(run, model, "temp.whole", state)
    database.run("DROP TABLE temp.whole")
    return replace(_built(run, model, state, rows_in, aside), changed=found.changed, known=found.known)


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


def _built(run: Run, model: Model, state: TableState, rows_in: int, aside: int) -> Built:
    kept = count(run.database, target(model)) - (1 if model.header.has_unknown_member else 0)
    state = replace(state, rows_in=rows_in, kept=kept, superseded=0, quarantined=aside)
    check_balance(state, rows_in)
    return Built(state, rows_in, kept, aside, 0, True)


def _from_polars(run: Run, model: Model, state: TableState) -> Built:
    """Inputs go out as Parquet, the function's LazyFrame streams back as Parquet: neither is held whole."""
    folder = run.project.settings.scratch / f"polars {model.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        result = folder / "result.parquet"
        _run_function(model, [_exported(run, name, folder) for name in model.inputs], result)
        return _written(run, model, state, f"SELECT * FROM read_parquet({literal(str(result))})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exported(run: Run, name: str, folder: Path) -> Path:
    path = folder / f"{name}.parquet"
    run.database.run(f"COPY {table_name(name)} TO {literal(str(path))} (FORMAT parquet, COMPRESSION lz4_raw)")
    return path


def _run_function(model: Model, inputs: list[Path], result: Path) -> None:
    import polars  # half a second: only when a Polars model runs

    function = _function(model)
    try:
        frame = function(*(polars.scan_parquet(path) for path in inputs))
        frame.sink_parquet(result)
    except Exception as error:  # the user's code may raise anything
        raise PermanentError(
            f"its function failed: {type(error).__name__}: {_said(error)}",
            where=str(model.path),
            do="correct it, then run again",
        ) from error


def _said(error: Exception) -> str:
    """The first line of an error of Polars; of one about values, without them."""
    text = str(error).splitlines()[0] if str(error) else "no message"
    return without_values(text) if type(error).__name__ in _OF_VALUES else text


def _function(model: Model) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"goldfeed_model_{model.path.stem}", model.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        raise PermanentError(
            f"it cannot be imported: {type(error).__name__}: {error}", where=str(model.path), do="correct it"
        ) from error
    function: Callable[..., Any] = module.model
    return function
