"""incremental: the keys that changed rows of the inputs touch are computed again and replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import NotNarrowable
from pipeline.project.cut import TOUCHED, least_name
from pipeline.project.keys import Narrowing, narrowing
from pipeline.project.model import Model
from pipeline.project.touches import came_name, changed_name, ever_name, went_name
from pipeline.sql import quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    Built,
    check_balance,
    count,
    give_keys,
    replace_rows,
    same_key,
    target,
    with_keys,
)
from pipeline.steps.kinds.whole import build_full
from pipeline.warehouse.changes import Change, changes_since, net_change
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState

Versions = Mapping[str, int]


def build_incremental(run: Run, model: Model, state: TableState, fresh: bool, seen: Versions, now: Versions) -> Built:
    """Bring the touched keys up to date; the whole table where the SQL or the change sets do not show them.

    `seen` and `now`: {input: version} of the last build and of this one.
    """
    if fresh or not state.version:
        return build_full(run, model, state)
    try:
        found = narrowing(model, table_columns(run.database, model))
        changes = _changes(run, model, found, seen, now)
        if not _find_touched(run, model, state, found, changes):
            return Built(state, 0, 0, 0, 0, False)
    except NotNarrowable as error:
        built = build_full(run, model, state)
        return replace(built, note=f"{model.name} was rebuilt whole: {error.what}")
    return _replace_touched(run, model, state, found)


def table_columns(database: Database, model: Model) -> dict[str, dict[str, str]]:
    """Column -> type of each input."""
    return {name: database.columns_of(table_name(name)) for name in model.inputs}


def not_incremental(model: Model) -> str | None:
    """Why a model's header alone keeps it from being narrowed, or None."""
    if model.is_python:
        return "a Polars function shows no keys"
    return "it has rules" if model.header.rules else None


def _changes(run: Run, model: Model, found: Narrowing, seen: Versions, now: Versions) -> dict[str, Change]:
    """The change of each input that has one. Raises NotNarrowable when one is unknown or touches nobody knows what."""
    reason = not_incremental(model)
    if reason:
        raise NotNarrowable(reason)
    changes = {}
    for name in model.inputs:
        if now[name] == seen.get(name):
            continue
        change = changes_since(run.database, name, seen.get(name, 0), now[name])
        if change is None:
            raise NotNarrowable(f"{name} was itself rebuilt whole")
        if not change.count or not _show_change(run.database, name, change, found.used.get(name, [])):
            continue
        if name in found.blind:
            raise NotNarrowable(f"{name} has changed, and {found.blind[name]}")
        changes[name] = change
    return changes


def _show_change(database: Database, name: str, change: Change, used: list[str]) -> int:
    """Make temporary relations of an input's changed rows, as far as the SQL looks at them. Returns how many."""
    came, went = quoted(came_name(name)), quoted(went_name(name))
    rows = [
        database.made(f"CREATE OR REPLACE TEMP TABLE {table} AS {select}")
        for table, select in zip((came, went), net_change(change, used), strict=True)
    ]
    database.run(
        f"CREATE OR REPLACE TEMP VIEW {quoted(changed_name(name))} AS FROM temp.{came} UNION ALL FROM temp.{went}"
    )
    return sum(rows)


def _find_touched(run: Run, model: Model, state: TableState, found: Narrowing, changes: Mapping[str, Change]) -> int:
    """Make the temporary table `touched`. Returns its rows; raises NotNarrowable when a rebuild is cheaper."""
    database = run.database
    for name in model.inputs:
        _show_ever(database, name, changes.get(name))
    for statement in [one for name in changes for one in found.since.get(name, [])]:
        database.run(statement)
    selects = [select for name in changes for select in found.touches.get(name, [])]
    if not selects:
        return 0
    database.run(f"CREATE OR REPLACE TEMP TABLE {TOUCHED} AS {' UNION '.join(f'({select})' for select in selects)}")
    blank = " OR ".join(f"{quoted(name)} IS NULL" for name in found.by)
    touched, blanks = database.rows(f"SELECT count(*), count(*) FILTER ({blank}) FROM temp.{TOUCHED}")[0]
    if blanks:
        raise NotNarrowable("a touched key is NULL")
    for name in found.by:
        least = f"SELECT min({quoted(name)}) FROM temp.{TOUCHED}"
        database.run(f"SET VARIABLE {quoted(least_name(name))} = ({least})")
    if found.by == model.header.key and touched > 1000 and touched * 2 > state.kept:
        raise NotNarrowable("most of its keys are touched")
    return int(touched)


def _show_ever(database: Database, name: str, change: Change | None) -> None:
    """A temporary view of an input: its rows as they are and as they were."""
    gone = f" UNION ALL BY NAME {change.removed}" if change and change.removed else ""
    database.run(f"CREATE OR REPLACE TEMP VIEW {quoted(ever_name(name))} AS SELECT * FROM {table_name(name)}{gone}")


def _replace_touched(run: Run, model: Model, state: TableState, found: Narrowing) -> Built:
    database, key = run.database, found.by
    only = f"SEMI JOIN temp.{TOUCHED} k ON {same_key(key, 'n', 'k')}"
    computed = database.made(f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT n.* FROM ({found.narrowed}) n {only}")
    if model.header.surrogate_key:
        give_keys(run, model, "temp.fresh")
        database.run(f"CREATE OR REPLACE TEMP TABLE fresh AS {with_keys(model, 'temp.fresh')}")
    database.run(f"CREATE OR REPLACE TEMP TABLE stale AS SELECT n.* FROM {target(model)} n {only}")
    differing = replace_rows(run, model, key, "temp.stale", "temp.fresh")
    kept = count(database, target(model)) - (1 if model.header.has_unknown_member else 0)
    state = replace(state, rows_in=kept, kept=kept, superseded=0, quarantined=0)
    check_balance(state, kept)
    return Built(state, computed, count(database, "temp.added"), 0, 0, differing > 0, known=True)
