"""Which keys of a table a changed row touches, and the model's SELECT narrowed to some keys.

Both follow from the SQL alone. A row that goes in or out of an input can only
change the output rows that it is joined or grouped into; their keys are found
by joining the changed rows to the other inputs as they are and as they were
(`ever`), along the equalities the SQL states. Conditions are dropped, never
added, so the keys found are those touched or more, and more does no harm:
they are computed again and found the same.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from pipeline.errors import NotNarrowable
from pipeline.project.cut import narrowed_to, without_idle_ctes
from pipeline.project.masks import MASKS
from pipeline.project.model import Model
from pipeline.project.narrow import DELETED
from pipeline.project.narrowings import Columns, Narrowing
from pipeline.project.scopes import tables_in
from pipeline.project.source import LINEAGE
from pipeline.project.touches import touches_of

_LINEAGE = {*LINEAGE, DELETED}
_UNSTEADY = (exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.Rand, exp.Uuid)
_UNSTEADY_NAMES = {"NOW", "TODAY", "RANDOM", "NEXTVAL", "GETVARIABLE", "GEN_RANDOM_UUID", "TRANSACTION_TIMESTAMP"}


def read_narrowing(model: Model, columns: Columns) -> Narrowing:
    """Read what the SQL of a model shows; raises NotNarrowable when it is nothing at all. Takes 10 to 30 ms: see narrowings.py."""
    query = _qualified(model.select, columns)
    _check_steady(query)
    _check_lineage(query)
    found = Narrowing(_by(query, model.header.key), used=_used(query))
    found.never_null = _never_null(query, found.by)
    for touch in touches_of(query, {}, found.by):
        if touch.reason:
            found.blind.setdefault(touch.table, touch.reason)
        elif touch.select is not None:
            found.touches.setdefault(touch.table, []).append(touch.select.sql("duckdb"))
            if touch.since:
                found.since.setdefault(touch.table, []).extend(touch.since)
    for table in _read_aside(query):
        found.blind.setdefault(table, "a sub-query inside an expression reads it")
    if set(model.inputs) <= set(found.blind):
        raise NotNarrowable(found.blind[model.inputs[0]], where=model.name)
    narrowed = narrowed_to(query.copy(), {}, {name: name for name in found.by}, found.whole)
    found.narrowed = without_idle_ctes(narrowed).sql("duckdb")
    return found


def _used(query: exp.Query) -> dict[str, list[str]]:
    """Columns named of each table, by the aliases it has anywhere in the query: all of them, maybe more."""
    aliases: dict[str, set[str]] = {}
    for table in query.find_all(exp.Table):
        if table.db:
            aliases.setdefault(f"{table.db}.{table.name}", set()).add(table.alias_or_name)
    named: dict[str, set[str]] = {}
    for column in query.find_all(exp.Column):
        named.setdefault(column.table, set()).add(column.name)
    return {
        table: sorted(set().union(*(named.get(alias, set()) for alias in among)) - {"*"})
        for table, among in aliases.items()
    }


def _never_null(query: exp.Query, names: list[str]) -> list[str]:
    """The output columns of which a WHERE says IS NOT NULL."""
    where = query.args.get("where") if isinstance(query, exp.Select) else None
    if where is None:
        return []
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    kept = [part.this.this for part in conditions if isinstance(part, exp.Not) and _is_null(part.this)]
    outputs = {value.alias_or_name: value.unalias() for value in query.selects}
    return [name for name in names if outputs.get(name) in kept]


def _is_null(part: exp.Expr) -> bool:
    return isinstance(part, exp.Is) and isinstance(part.expression, exp.Null)


def _by(query: exp.Query, key: list[str]) -> list[str]:
    """The whole key, or those columns of it by which the changes of most inputs can be followed."""

    def unseen(names: list[str]) -> set[str]:
        return {touch.table for touch in touches_of(query, {}, names) if touch.reason}

    if len(key) == 1 or not unseen(key):
        return key
    alone = {name: unseen([name]) for name in key}
    fewest = min(alone.values(), key=len)
    return [name for name in key if alone[name] == fewest]


def _qualified(select: exp.Query, columns: Columns) -> exp.Query:
    from sqlglot.optimizer.qualify import qualify  # 20 ms, and mostly what it would show is known

    schema: dict[str, Any] = {}
    for name, kinds in columns.items():
        layer, _, table = name.partition(".")
        schema.setdefault(layer, {})[table] = dict(kinds)
    try:
        query = qualify(select.copy(), schema=schema, dialect="duckdb", quote_identifiers=True, identify=True)
    except SqlglotError as error:
        raise NotNarrowable(f"its columns cannot be told apart: {str(error).splitlines()[0]}") from error
    if not isinstance(query, exp.Query):
        raise NotNarrowable("it is no SELECT")
    return query


def _check_lineage(query: exp.Query) -> None:
    """Which file a row is from may change while what it says does not, and change sets say nothing of it."""
    for column in query.find_all(exp.Column):
        if column.name in _LINEAGE:
            raise NotNarrowable(f"it reads {column.name}, by name, by * or by NATURAL")


def _check_steady(query: exp.Query) -> None:
    for call in query.find_all(*_UNSTEADY, exp.Anonymous):
        if not isinstance(call, exp.Anonymous):
            raise NotNarrowable(f"{call.sql_name()} gives another value in each run")
        if call.name.lower() in MASKS:
            continue
        if call.name.upper() in _UNSTEADY_NAMES:
            raise NotNarrowable(f"{call.name} gives another value in each run")
        select = call.parent_select
        if isinstance(select, exp.Select) and select.args.get("group") is None:
            raise NotNarrowable(f"{call.name}() may be an aggregate")
    if any(part.args.get("recursive") for part in query.find_all(exp.With)):
        raise NotNarrowable("it has WITH RECURSIVE")


def _read_aside(query: exp.Query) -> set[str]:
    """Tables read by sub-queries inside expressions."""
    ctes = {cte.alias: cte.this for cte in query.find_all(exp.CTE)}
    found: set[str] = set()
    for inner in query.find_all(exp.Subquery, exp.Exists, exp.In):
        if isinstance(inner, exp.In):
            nested = inner.args.get("query")
        elif isinstance(inner, exp.Subquery) and isinstance(inner.parent, exp.From | exp.Join | exp.SetOperation):
            nested = None
        else:
            nested = inner
        if nested is not None:
            found |= tables_in(nested, ctes)
    return found
