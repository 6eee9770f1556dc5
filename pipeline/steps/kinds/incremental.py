"""incremental: the keys that changed rows of the inputs touch are computed again and replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.errors import NotNarrowable
from pipeline.project.model import Model
from pipeline.project.narrowings import Narrowing, narrowing
from pipeline.project.relations import TOUCHED, came_name, changed_name, ever_name, least_name, went_name
from pipeline.sql import literal, quoted, table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.common import (
    Built,
    check_balance,
    count,
    give_keys,
    held_rows,
    replace_rows,
    same_key,
    target,
    with_keys,
)
from pipeline.steps.kinds.functions import function_rows
from pipeline.steps.kinds.whole import build_full
from pipeline.warehouse.changes import Change, net_change, of_sign
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState

Versions = Mapping[str, int]
_LARGE = 1_000_000  # rows of a table from which on it is read beside a full run what the models' SQL shows (0.13 s of CPU for the shop)


def build_incremental(run: Run, model: Model, state: TableState, fresh: bool, seen: Versions, now: Versions) -> Built:
    """Bring the touched keys up to date; the whole table where the SQL or the change sets do not show them.

    `seen` and `now`: {input: version} of the last build and of this one.
    """
    if fresh or not state.version:
        built = build_full(run, model, state)
        if _is_large(run) and not not_incremental(model):  # or the first day would have to
            run.draft.writer.submit(narrowing, model, _shapes(run, model), _folder(run))
        return built
    try:
        found = _narrowing(run, model)
        changes = _changes(run, model, found, seen, now)
        if not _find_touched(run, model, state, found, changes):
            return Built(state, 0, 0, 0, 0, False)
        computed = _compute(run, model, found)
    except NotNarrowable as error:
        built = build_full(run, model, state)
        return replace(built, note=f"{model.name} was rebuilt whole: {error.what}")
    return _replace_touched(run, model, state, found, computed)


def _narrowing(run: Run, model: Model) -> Narrowing:
    """What the SQL shows. Raises NotNarrowable when it, or the header, shows nothing."""
    reason = not_incremental(model)
    if reason:
        raise NotNarrowable(reason)
    return narrowing(model, _shapes(run, model), _folder(run))


def _is_large(run: Run) -> bool:
    """Whether a table has so many rows that a day will be a small part of this run, and nobody wants it longer than need be."""
    return any(state.kept > _LARGE for state in run.known.states.values()) if run.known else False


def _folder(run: Run) -> Path:
    """Where it is kept what models show."""
    return run.project.settings.scratch / "narrowed"


def _shapes(run: Run, model: Model) -> dict[str, dict[str, str]]:
    return {name: run.shape(name) for name in model.inputs}


def table_columns(database: Database, model: Model) -> dict[str, dict[str, str]]:
    """Column -> type of each input."""
    return {name: database.columns_of(table_name(name)) for name in model.inputs}


def not_incremental(model: Model) -> str | None:
    """Why a model's header alone keeps it from being narrowed, or None."""
    if not model.has_select:
        return "a Polars function shows no keys"
    return "it has rules" if model.header.rules else None


def _changes(run: Run, model: Model, found: Narrowing, seen: Versions, now: Versions) -> dict[str, Change]:
    """The change of each input that has one. Raises NotNarrowable when one is unknown or touches nobody knows what."""
    changes = {}
    for name in model.inputs:
        if now[name] == seen.get(name):
            continue
        change = run.changes.since(run.database, name, seen.get(name, 0), now[name])
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
    came, went, net = quoted(came_name(name)), quoted(went_name(name)), "temp.net_change"
    if not database.made(f"CREATE OR REPLACE TEMP TABLE {net} AS {net_change(change, used)}"):
        return 0
    rows = [
        database.made(f"CREATE OR REPLACE TEMP TABLE {table} AS {of_sign(net, sign)}")
        for table, sign in ((came, ""), (went, "-"))
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
    touched = _make_touched(database, found, selects)
    blank = " OR ".join(f"{quoted(name)} IS NULL" for name in found.by if name not in found.never_null)
    if blank and database.value(f"SELECT EXISTS (FROM temp.{TOUCHED} WHERE {blank})"):
        raise NotNarrowable("a touched key is NULL")
    for name in found.by:
        if literal(least_name(name)) in found.narrowed:
            least = f"SELECT min({quoted(name)}) FROM temp.{TOUCHED}"
            database.run(f"SET VARIABLE {quoted(least_name(name))} = ({least})")
    if found.by == model.header.key and touched > 1000 and touched * 2 > state.kept:
        raise NotNarrowable("most of its keys are touched")
    return touched


def _make_touched(database: Database, found: Narrowing, selects: list[str]) -> int:
    """Make the temporary table, without the NULLs that are the key of no row. Returns its rows."""
    rows = " UNION ".join(f"({select})" for select in selects)
    kept = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in found.never_null)
    if kept:
        rows = f"SELECT * FROM ({rows}) WHERE {kept}"
    return database.made(f"CREATE OR REPLACE TEMP TABLE {TOUCHED} AS {rows}")


def _show_ever(database: Database, name: str, change: Change | None) -> None:
    """A temporary view of an input: its rows as they are and as they were."""
    gone = f" UNION ALL BY NAME {change.removed}" if change and change.removed else ""
    database.run(f"CREATE OR REPLACE TEMP VIEW {quoted(ever_name(name))} AS SELECT * FROM {table_name(name)}{gone}")


def _compute(run: Run, model: Model, found: Narrowing) -> int:
    """Make the temporary table `fresh`: the rows of the touched keys as they must be. Returns how many."""
    database, rows = run.database, f"SELECT n.* FROM ({found.narrowed}) n {_only(found)}"
    if model.is_python:
        return _compute_by_function(run, model, found, rows)
    computed = database.made(f"CREATE OR REPLACE TEMP TABLE fresh AS {rows}")
    if model.header.surrogate_key:
        give_keys(run, model, "temp.fresh")
        database.run(f"CREATE OR REPLACE TEMP TABLE fresh AS {with_keys(model, 'temp.fresh')}")
    return computed


def _compute_by_function(run: Run, model: Model, found: Narrowing, given: str) -> int:
    """By the model's function, whose result may be other than it was of all rows. Raises NotNarrowable then."""
    database = run.database
    with function_rows(run, model, given, narrowed=True) as file:
        computed = database.made(f"CREATE OR REPLACE TEMP TABLE fresh AS FROM {file}")
    if database.columns_of("temp.fresh") != database.columns_of(target(model)):
        raise NotNarrowable("its function gives the touched keys other columns")
    if database.value(f"SELECT EXISTS (FROM temp.fresh n ANTI JOIN temp.{TOUCHED} k ON {same_key(found.by, 'n', 'k')})"):
        raise NotNarrowable("its function gives rows of keys that it was not asked for")
    return computed


def _only(found: Narrowing) -> str:
    """The join that leaves the rows n of the touched keys."""
    return f"SEMI JOIN temp.{TOUCHED} k ON {same_key(found.by, 'n', 'k')}"


def _replace_touched(run: Run, model: Model, state: TableState, found: Narrowing, computed: int) -> Built:
    database = run.database
    database.run(f"CREATE OR REPLACE TEMP TABLE stale AS {held_rows(model, _only(found))}")
    differing = replace_rows(run, model, found.by, "temp.stale", "temp.fresh")
    kept = count(database, target(model)) - (1 if model.header.has_unknown_member else 0)
    state = replace(state, rows_in=kept, kept=kept, superseded=0, quarantined=0)
    check_balance(state, kept)
    return Built(state, computed, count(database, "temp.added"), 0, 0, differing > 0, known=True)
