"""scd2: every version of a key with the time it was valid (Kimball's type 2 slowly changing dimension)."""

from __future__ import annotations

from dataclasses import replace

from pipeline.project.model import Model
from pipeline.project.narrow import DELETED, new_rows
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    OPEN_END,
    Built,
    broken_rule,
    check_balance,
    count,
    give_keys,
    held_rows,
    identity,
    newest_first,
    rank_files,
    replace_rows,
    same_identity,
    same_key,
    target,
    with_keys,
)
from pipeline.steps.kinds.rows import set_aside
from pipeline.steps.kinds.whole import store
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState

_FIRST = '"its first start"'  # a column beside those of a key, which may be called first


def build_scd2(run: Run, model: Model, state: TableState, fresh: bool) -> Built:
    """Rebuild the versions of the keys that new rows bring, from the first new start on; with `fresh`, all of them.

    Of rows with the same key and start the newest delivery stands; rows that
    change nothing but the time are joined to the version before them; a row
    that deletes its key ends the version before it.
    """
    database = run.database
    if fresh:
        state = TableState(model.name, version=state.version, fingerprint=model.fingerprint)
        database.run("DELETE FROM ledger.quarantine WHERE source = ?", [model.name])
    rank_files(database)
    source, before = table_name(model.inputs[0]), state.watermark
    rows_in, last = database.rows(f"SELECT count(*), coalesce(max(_batch), 0) FROM {source} WHERE _batch > {before}")[0]
    aside = set_aside(run, model, before)
    changed, known, written = _whole(run, model, state) if fresh else _touched(run, model, before)
    kept = count(database, target(model)) - (1 if model.header.has_unknown_member else 0)
    taken, quarantined = state.rows_in + rows_in, state.quarantined + aside
    after = replace(
        state,
        watermark=max(before, last),
        rows_in=taken,
        kept=kept,
        superseded=taken - quarantined - kept,
        quarantined=quarantined,
    )
    check_balance(after, count(database, source))
    superseded = after.superseded - state.superseded
    return Built(after, rows_in, written, aside, superseded, changed, known)


def _whole(run: Run, model: Model, state: TableState) -> tuple[bool, bool, int]:
    """(whether rows are said to have changed, whether it is known which, versions written)"""
    kept = run.database.made(f"CREATE OR REPLACE TEMP TABLE versions AS {_versions(run, model, _good(run, model, ''))}", [0])
    known = store(run, model, "temp.versions", state).known
    run.database.run("DROP TABLE temp.versions")
    return True, known, kept


def _touched(run: Run, model: Model, watermark: int) -> tuple[bool, bool, int]:
    """The versions of the keys in the new rows, in place of those they had. As `_whole`; versions may go and none come."""
    database, key = run.database, model.header.key
    names, start = columns_list(key), quoted(model.header.valid_from or "")
    database.run(
        f"CREATE OR REPLACE TEMP TABLE touched AS SELECT {names}, min({start}) AS {_FIRST} FROM ({_good(run, model, '')}) GROUP BY {names}",
        [watermark],
    )
    only = f" SEMI JOIN temp.touched k ON {same_key(key, 'n', 'k')}"
    since = _first_start(database)
    stale = held_rows(model, f"{only} WHERE n.valid_to >= {since}" if since else only)
    database.run(f"CREATE OR REPLACE TEMP TABLE stale AS {stale}")
    good = f"{_good(run, model, only, since)} UNION ALL BY NAME {_then(run, model, since)}" if since else _good(run, model, only)
    database.run(f"CREATE OR REPLACE TEMP TABLE versions AS {_versions(run, model, good)}", [0])
    query = _with_kept_keys(run, model) if model.header.surrogate_key else "SELECT * FROM temp.versions"
    database.run(f"CREATE OR REPLACE TEMP TABLE fresh AS {query}")
    version = [model.header.surrogate_key] if model.header.surrogate_key else identity(model)
    differing = replace_rows(run, model, version, "temp.stale", "temp.fresh")
    return differing > 0, True, count(database, "temp.added")


def _with_kept_keys(run: Run, model: Model) -> str:
    """A SELECT of the versions with their surrogate keys: those of `stale`, and for versions that it lacks those of the registry.

    Mostly these begin on the last day, and the registry is not read from end to end.
    """
    held = f"temp.stale k ON {same_identity(model, 'b', 'k')}"
    run.database.run(f"CREATE OR REPLACE TEMP TABLE lacking AS SELECT b.* FROM temp.versions b ANTI JOIN {held}")
    give_keys(run, model, "temp.lacking", few=True)
    key = quoted(model.header.surrogate_key or "")
    return f"SELECT k.{key}, b.* FROM temp.versions b JOIN {held} UNION ALL {with_keys(model, 'temp.lacking')}"


def _first_start(database: Database) -> str | None:
    """The first start of the new rows, as SQL: no version that ended before it changes. None where it is no time: then all is read.

    It is put into a variable, for a constant lets the engine skip what lies before.
    """
    database.run(f"SET VARIABLE first_start = (SELECT min({_FIRST}) FROM temp.touched)")
    kind = database.value("SELECT typeof(getvariable('first_start'))")
    return "CAST(getvariable('first_start') AS TIMESTAMP)" if kind in ("DATE", "TIMESTAMP") else None


def _then(run: Run, model: Model, since: str) -> str:
    """A SELECT of what the touched keys were just before `since`, from temp.stale, as rows of the model's SELECT."""
    names = (f"valid_from AS {quoted(name)}" if name == model.header.valid_from else quoted(name) for name in model.outputs)
    gone = f", false AS {DELETED}" if run.project.graph.operation(model.name) else ""
    return f"SELECT {', '.join(names)}{gone} FROM temp.stale WHERE valid_from < {since}"


def _good(run: Run, model: Model, only: str, since: str | None = None) -> str:
    """A SELECT of the rows joined to `only` that break no rule, the newest delivery of each key and start; a parameter for the batch above which."""
    header, operation = model.header, run.project.graph.operation(model.name)
    start = quoted(header.valid_from or "")
    rule = broken_rule(model, keys=True, deletes=operation is not None)
    late = f" AND {start} >= {since}" if since else ""
    return (
        f"SELECT n.* FROM ({new_rows(model, operation)}) n{only} WHERE {rule} IS NULL{late} QUALIFY row_number() OVER "
        f"(PARTITION BY {columns_list(header.key)}, {start} ORDER BY {newest_first([])}) = 1"
    )


def _versions(run: Run, model: Model, good: str) -> str:
    """A SELECT of the versions that good rows make."""
    header, operation = model.header, run.project.graph.operation(model.name)
    names = model.outputs
    start = quoted(header.valid_from or "")
    facts = [name for name in names if name not in header.key and name != header.valid_from]
    gone = DELETED if operation else "false"
    fact_row = f"row({gone}, {columns_list(facts)})" if facts else f"row({gone})"
    shown = ", ".join(
        f"CAST({start} AS TIMESTAMP) AS valid_from" if name == header.valid_from else quoted(name) for name in names
    )
    over = f"OVER (PARTITION BY {columns_list(header.key)} ORDER BY {start})"
    return (
        f"WITH good AS ({good}), "
        f"steps AS (SELECT *, {fact_row} AS _facts, lag({fact_row}) {over} AS _before, row_number() {over} AS _number "
        "FROM good), "
        "kept AS (SELECT * FROM steps WHERE _number = 1 OR _before IS DISTINCT FROM _facts), "
        f"ended AS (SELECT *, lead(CAST({start} AS TIMESTAMP)) {over} AS _next FROM kept) "
        f"SELECT {shown}, coalesce(_next, {OPEN_END}) AS valid_to, _next IS NULL AS is_current FROM ended WHERE NOT {gone}"
    )
