"""append and upsert: new rows through the SELECT and the rules; cost follows the new rows."""

from __future__ import annotations

from dataclasses import replace

from pipeline.project.model import Model
from pipeline.project.narrow import CARRIED, new_rows, output_columns
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    Built,
    broken_rule,
    check_balance,
    count,
    file_rank,
    newest_first,
    rank_files,
    reasons,
    sorted_by_key,
    target,
    winning,
)
from pipeline.warehouse.ledger import TableState, latest_batch
from pipeline.warehouse.quarantine import set_aside_lines


def build_rows(run: Run, model: Model, state: TableState, fresh: bool) -> Built:
    """Take in the rows above the state's watermark; with `fresh`, rebuild from the first row."""
    database, source_table = run.database, table_name(model.inputs[0])
    if fresh:
        state = TableState(model.name, version=state.version, fingerprint=model.fingerprint)
        database.run("DELETE FROM ledger.quarantine WHERE source = ?", [model.name])
    rank_files(database)
    last = latest_batch(database)
    rows_in = count(database, f"{source_table} WHERE _batch > {state.watermark}")
    aside = _set_aside(run, model, state)
    before = 0 if fresh else count(database, target(model))
    changed = _create(run, model) if fresh else _add(run, model, state)
    kept = count(database, target(model))
    superseded = rows_in - aside - (kept - before)
    state = replace(
        state,
        watermark=last,
        rows_in=state.rows_in + rows_in,
        kept=kept,
        superseded=state.superseded + superseded,
        quarantined=state.quarantined + aside,
    )
    _check(run, model, state, source_table)
    return Built(state, rows_in, changed, aside, superseded, changed > 0 or fresh)


def _check(run: Run, model: Model, state: TableState, source_table: str) -> None:
    check_balance(state, count(run.database, source_table))
    if model.header.kind == "append" and state.superseded:
        check_balance(replace(state, superseded=0), state.rows_in)


def _set_aside(run: Run, model: Model, state: TableState) -> int:
    rule = broken_rule(model, keys=model.header.kind == "upsert")
    if rule.startswith("CAST(NULL"):
        return 0
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE aside AS SELECT _file_id, _line, {reasons(model, '_broken')} AS reason, "
        f"'' AS column_name FROM (SELECT *, {rule} AS _broken FROM ({new_rows(model)})) WHERE _broken IS NOT NULL",
        [state.watermark],
    )
    graph, settings = run.project.graph, run.project.settings
    return set_aside_lines(run.database, model.name, "temp.aside", graph.sources, settings, run.run_id, run.now)


def _good_rows(model: Model) -> str:
    """The new rows that break no rule, with lineage."""
    rule = broken_rule(model, keys=model.header.kind == "upsert")
    names = columns_list([*output_columns(model), *CARRIED])
    if rule.startswith("CAST(NULL"):
        return f"SELECT {names} FROM ({new_rows(model)})"
    return f"SELECT {names} FROM ({new_rows(model)}) WHERE {rule} IS NULL"


def _winners(run: Run, model: Model) -> str:
    """One row a key: the newest."""
    if model.header.kind == "append":
        return _good_rows(model)
    order = newest_first(winning(run.project, model))
    return (
        f"SELECT * FROM ({_good_rows(model)}) "
        f"QUALIFY row_number() OVER (PARTITION BY {columns_list(model.header.key)} ORDER BY {order}) = 1"
    )


def _create(run: Run, model: Model) -> int:
    run.database.run(
        f"CREATE OR REPLACE TABLE {target(model)} AS SELECT * FROM ({_winners(run, model)}){sorted_by_key(model)}", [0]
    )
    return count(run.database, target(model))


def _add(run: Run, model: Model, state: TableState) -> int:
    if model.header.kind == "append":
        statement = f"INSERT INTO {target(model)} {_good_rows(model)}"
    else:
        statement = _merge(run, model)
    return int(run.database.value(statement, [state.watermark]) or 0)


def _merge(run: Run, model: Model) -> str:
    names = [*output_columns(model), *CARRIED]
    on = " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in model.header.key)
    changes = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in names if name not in model.header.key)
    return (
        f"MERGE INTO {target(model)} t USING ({_winners(run, model)}) s ON {on} "
        f"WHEN MATCHED AND {_newer(winning(run.project, model))} THEN UPDATE SET {changes} "
        f"WHEN NOT MATCHED THEN INSERT ({columns_list(names)}) VALUES ({columns_list(names, 's')})"
    )


def _newer(columns: list[str]) -> str:
    """A condition: the row `s` wins over the row `t`, by the same order as `newest_first`."""
    test = f"({file_rank('s.')} > {file_rank('t.')} OR (s._file_id = t._file_id AND s._line > t._line))"
    for name in reversed(columns):
        s, t = f"s.{quoted(name)}", f"t.{quoted(name)}"
        larger = f"coalesce({s} > {t}, {s} IS NOT NULL AND {t} IS NULL)"
        test = f"({larger} OR ({s} IS NOT DISTINCT FROM {t} AND {test}))"
    return test
