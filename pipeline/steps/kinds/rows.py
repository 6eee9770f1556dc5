"""append and upsert: new rows through the SELECT and the rules; cost follows the new rows."""

from __future__ import annotations

from dataclasses import replace

from pipeline.project.model import Model
from pipeline.project.narrow import CARRIED, DELETED, carried_columns, new_rows
from pipeline.project.source import Operation
from pipeline.sql import PLACE, columns_list, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    Built,
    broken_rule,
    check_balance,
    count,
    file_rank,
    has_places,
    newest_first,
    rank_files,
    reasons,
    same_key,
    sorted_by_key,
    target,
    winning,
)
from pipeline.warehouse.connections import GROUP_ROWS
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState
from pipeline.warehouse.quarantine import set_aside_lines

_NEAR, _FEW = 8, 0.05  # rows that change are moved when they are in more groups than that, and fewer than that share of their rows


def build_rows(run: Run, model: Model, state: TableState, fresh: bool) -> Built:
    """Take in the rows above the state's watermark; with `fresh`, rebuild from the first row."""
    database, source_table = run.database, table_name(model.inputs[0])
    if fresh:
        state = TableState(model.name, version=state.version, fingerprint=model.fingerprint)
        database.run("DELETE FROM ledger.quarantine WHERE source = ?", [model.name])
    rank_files(database)
    before, above = state.watermark, f"{source_table} WHERE _batch > {state.watermark}"
    rows_in, last = database.rows(f"SELECT count(*), coalesce(max(_batch), 0) FROM {above}")[0]
    aside = set_aside(run, model, state.watermark)
    held = 0 if fresh else state.kept
    known = False
    if fresh:
        changed = _create(run, model)
    elif model.header.kind == "append":
        changed = int(database.value(f"INSERT INTO {target(model)} {_good_rows(run, model)}", [before]) or 0)
    else:
        changed, known = _upsert(run, model, before), True
    kept = count(database, target(model))
    superseded = rows_in - aside - (kept - held)
    state = replace(
        state,
        watermark=max(before, last),
        rows_in=state.rows_in + rows_in,
        kept=kept,
        superseded=state.superseded + superseded,
        quarantined=state.quarantined + aside,
    )
    _check(run, model, state, source_table)
    grown = (before, state.watermark) if model.header.kind == "append" and not fresh else None
    return Built(state, rows_in, changed, aside, superseded, changed > 0 or fresh, known, grown)


def _check(run: Run, model: Model, state: TableState, source_table: str) -> None:
    check_balance(state, count(run.database, source_table))
    if model.header.kind == "append" and state.superseded:
        check_balance(replace(state, superseded=0), state.rows_in)


def _operation(run: Run, model: Model) -> Operation | None:
    return run.project.graph.operation(model.name)


def set_aside(run: Run, model: Model, watermark: int) -> int:
    """Send the rows above a watermark that break a rule to quarantine. Returns how many."""
    operation = _operation(run, model)
    rule = broken_rule(model, keys=model.header.kind != "append", deletes=operation is not None)
    if rule.startswith("CAST(NULL"):
        return 0
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE aside AS SELECT _file_id, _line, {reasons(model, '_broken')} AS reason, "
        f"'' AS column_name FROM (SELECT *, {rule} AS _broken FROM ({new_rows(model, operation)})) "
        "WHERE _broken IS NOT NULL",
        [watermark],
    )
    graph, settings = run.project.graph, run.project.settings
    return set_aside_lines(
        run.database, model.name, "temp.aside", graph.sources, settings, run.numbers, run.run_id, run.now
    )


def _good_rows(run: Run, model: Model) -> str:
    """The new rows that break no rule, with lineage."""
    operation = _operation(run, model)
    rule = broken_rule(model, keys=model.header.kind == "upsert", deletes=operation is not None)
    names = columns_list([*model.outputs, *carried_columns(operation)])
    if rule.startswith("CAST(NULL"):
        return f"SELECT {names} FROM ({new_rows(model, operation)})"
    return f"SELECT {names} FROM ({new_rows(model, operation)}) WHERE {rule} IS NULL"


def _winners(run: Run, model: Model) -> str:
    """One row a key: the newest."""
    if model.header.kind == "append":
        return _good_rows(run, model)
    order = newest_first(winning(run.project, model))
    return (
        f"SELECT * FROM ({_good_rows(run, model)}) "
        f"QUALIFY row_number() OVER (PARTITION BY {columns_list(model.header.key)} ORDER BY {order}) = 1"
    )


# ---------------------------------------------------------------- the whole table
def _create(run: Run, model: Model) -> int:
    database, winners = run.database, _winners(run, model)
    if model.header.kind == "upsert" and _operation(run, model):
        database.run(f"CREATE OR REPLACE TEMP TABLE news AS {winners}", [0])
        for place, which in ((target(model), f"NOT {DELETED}"), (_gone(model), DELETED)):
            database.run(
                f"CREATE OR REPLACE TABLE {place} AS SELECT * EXCLUDE ({DELETED}) FROM temp.news WHERE {which}"
                f"{sorted_by_key(model)}"
            )
        database.run("DROP TABLE temp.news")
    else:
        database.run(f"CREATE OR REPLACE TABLE {target(model)} AS SELECT * FROM ({winners}){sorted_by_key(model)}", [0])
    return count(database, target(model))


def _gone(model: Model) -> str:
    """The table of the deleted keys: the row that took each away, so that an older one cannot bring it back."""
    return f"ledger.{quoted('gone_' + model.name)}"


def superseded_rows(run: Run, model: Model) -> str:
    """A SELECT of the lines (_file_id, _line) of an upsert table's input that lost to another version of their key.

    Its one parameter is the batch above which it looks, 0 for all.
    """
    names = "_file_id, _line"
    won = f"SELECT {names} FROM {target(model)}"
    if _operation(run, model):
        won += f" UNION ALL SELECT {names} FROM {_gone(model)}"
    return f"SELECT {names} FROM ({_good_rows(run, model)}) EXCEPT ({won})"


# ---------------------------------------------------------------- the new rows alone
def _upsert(run: Run, model: Model, watermark: int) -> int:
    """Let the new rows win over the older ones. Returns how many won; temp.removed and temp.added hold the change."""
    database, deletes = run.database, _operation(run, model) is not None
    key = model.header.key
    database.run(f"CREATE OR REPLACE TEMP TABLE news AS {_winners(run, model)}", [watermark])
    same = same_key(key, "t", "s")
    held = f"SELECT t.*, t.rowid AS {PLACE}, false AS _gone FROM {target(model)} t SEMI JOIN temp.news s ON {same}"
    if deletes:
        held += f" UNION ALL SELECT t.*, NULL AS {PLACE}, true AS _gone FROM {_gone(model)} t SEMI JOIN temp.news s ON {same}"
    database.run(f"CREATE OR REPLACE TEMP TABLE held AS {held}")
    won = database.made(
        f"CREATE OR REPLACE TEMP TABLE wins AS SELECT s.*, t.{PLACE} FROM temp.news s LEFT JOIN temp.held t ON {same} "
        f"WHERE t._file_id IS NULL OR {_newer(winning(run.project, model))}"
    )
    _note_change(run, model, deletes)
    if won:
        _write(run, model, deletes)
    for table in ("news", "held", "wins"):
        database.run(f"DROP TABLE temp.{table}")
    return won


def _note_change(run: Run, model: Model, deletes: bool) -> None:
    """What the winning rows change, apart from lineage, into temp.removed and temp.added."""
    names, key = model.outputs, model.header.key
    lives = f" WHERE NOT {DELETED}" if deletes else ""
    columns, facts = columns_list([*names, *CARRIED]), columns_list(names)
    old = f"SELECT {columns} FROM temp.held t SEMI JOIN temp.wins s ON {same_key(key, 't', 's')} WHERE NOT _gone"
    new = f"SELECT {columns} FROM temp.wins{lives}"
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE differing AS WITH old AS ({old}), new AS ({new}) "
        f"SELECT {columns_list(key)} FROM (SELECT {facts} FROM new EXCEPT SELECT {facts} FROM old) UNION "
        f"SELECT {columns_list(key)} FROM (SELECT {facts} FROM old EXCEPT SELECT {facts} FROM new)"
    )
    for table, rows in (("removed", old), ("added", new)):
        run.database.run(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT r.* FROM ({rows}) r "
            f"SEMI JOIN temp.differing d ON {same_key(key, 'r', 'd')}"
        )


def _write(run: Run, model: Model, deletes: bool) -> None:
    database = run.database
    if deletes:
        _part_from_gone(database, model)
    elif has_places(model) and _lie_scattered(database):
        _move_to_end(database, model)
    else:
        database.run(_merge(model, _differing_columns(database, model)))


def _part_from_gone(database: Database, model: Model) -> None:
    """Each key's newest row is in the table or, if that took it away, in the one of the deleted keys."""
    same = same_key(model.header.key, "t", "s")
    for place, which in ((target(model), f"NOT {DELETED}"), (_gone(model), DELETED)):
        database.run(f"DELETE FROM {place} t USING temp.wins s WHERE {same}")
        database.run(f"INSERT INTO {place} SELECT * EXCLUDE ({DELETED}, {PLACE}) FROM temp.wins WHERE {which}")


def _move_to_end(database: Database, model: Model) -> None:
    names = columns_list([*model.outputs, *CARRIED])
    database.run(f"DELETE FROM {target(model)} t USING temp.wins s WHERE t.rowid = s.{PLACE}")
    database.run(f"INSERT INTO {target(model)} ({names}) SELECT {names} FROM temp.wins")


def _lie_scattered(database: Database) -> bool:
    """Whether the rows that change are so few and so far apart that they had better move to the table's end.

    Where a row is set in place, its columns are packed anew for all rows of its group; of one that goes only the place is noted.
    """
    held = f"SELECT count(*), count(DISTINCT {PLACE} // {GROUP_ROWS}) FROM temp.wins WHERE {PLACE} IS NOT NULL"
    changed, groups = database.rows(held)[0]
    return bool(groups > _NEAR and changed < groups * GROUP_ROWS * _FEW)


def _differing_columns(database: Database, model: Model) -> list[str]:
    """The columns in which winning rows differ from those they win over: a checkpoint packs a column anew where one is set."""
    names = [name for name in (*model.outputs, *CARRIED) if name not in model.header.key]
    differ = ", ".join(f"bool_or(s.{quoted(name)} IS DISTINCT FROM t.{quoted(name)})" for name in names)
    same = same_key(model.header.key, "t", "s")
    found = database.rows(f"SELECT {differ} FROM temp.wins s JOIN temp.held t ON {same}")[0]
    return [name for name, differs in zip(names, found, strict=True) if differs]


def _merge(model: Model, changed: list[str]) -> str:
    names = [*model.outputs, *CARRIED]
    changes = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in changed)
    update = f"WHEN MATCHED THEN UPDATE SET {changes} " if changes else ""
    same = f"t.rowid = s.{PLACE}" if has_places(model) else same_key(model.header.key, "t", "s")
    return (
        f"MERGE INTO {target(model)} t USING temp.wins s ON {same} "
        f"{update}"
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
