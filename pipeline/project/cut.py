"""A model's SELECT cut down to the touched keys, source by source, as far as its joins and groups allow."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from pipeline.errors import NotNarrowable
from pipeline.project.relations import TOUCHED, least_name
from pipeline.project.scopes import Part, Scope, open_scope, tables_in


def narrowed_to(
    query: exp.Query, ctes: Mapping[str, exp.Query], wanted: Mapping[str, str], whole: set[str]
) -> exp.Query:
    """The query with its sources cut down to the touched keys; `wanted`: column of `touched` -> output column."""
    if isinstance(query, exp.SetOperation):
        known = {**ctes, **{cte.alias: cte.this for cte in query.ctes}}
        columns = query.named_selects
        for side in ("this", "expression"):
            branch = query.args[side]
            inner = branch.this if isinstance(branch, exp.Subquery) else branch
            names = {key: inner.named_selects[columns.index(name)] for key, name in wanted.items()}
            branch.replace(narrowed_to(inner.copy(), known, names, whole))
        return query
    if not isinstance(query, exp.Select):
        whole |= tables_in(query, ctes)
        return query
    try:
        scope = open_scope(query, ctes)
    except NotNarrowable:
        whole |= tables_in(query, ctes)
        return query
    usable = {key: name for key, name in wanted.items() if scope.settled(name)}
    outputs = {key: scope.output(name).copy() for key, name in usable.items()}
    for part in scope.parts.values():
        over = {key: scope.over(expression, part.alias) for key, expression in outputs.items()}
        _narrow_part(scope, part, {key: value for key, value in over.items() if value is not None}, whole)
    return query


def _narrow_part(scope: Scope, part: Part, over: Mapping[str, exp.Expr], whole: set[str]) -> None:
    if part.table is not None:
        if over:
            part.node.replace(_only_touched(part.node.copy(), part.alias, over))
        else:
            whole.add(part.table)
        return
    assert part.query is not None
    plain = {key: value.name for key, value in over.items() if isinstance(value, exp.Column)}
    inner = narrowed_to(part.query.copy(), scope.ctes, plain, whole)
    part.node.replace(inner.subquery(part.alias))


def _only_touched(source: exp.Expr, alias: str, over: Mapping[str, exp.Expr]) -> exp.Subquery:
    """`source` without the rows whose values are not among the touched keys."""
    names = [exp.column(key, quoted=True) for key in over]
    keys = exp.select(*names).distinct().from_(exp.to_table(f"temp.{TOUCHED}")).subquery("_keys")
    on = [
        exp.EQ(this=value.copy(), expression=exp.column(key, table="_keys", quoted=True)) for key, value in over.items()
    ]
    rows = exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(alias, quoted=True))).from_(source)
    rows = rows.join(keys, on=exp.and_(*on), join_type="semi")
    for key, value in over.items():
        began = value if isinstance(value, exp.Column) else _truncated(value)
        if began is not None:
            rows = rows.where(exp.GTE(this=began.copy(), expression=least(key)))
    return rows.subquery(alias)


def least(key: str) -> exp.Expr:
    """It, in SQL: the engine knows it when it plans, and skips what lies before.

    A join alone tells it as much only while it runs, and not where it packs strings before they are joined.
    """
    return exp.func("getvariable", exp.Literal.string(least_name(key)), dialect="duckdb")


def _truncated(value: exp.Expr) -> exp.Column | None:
    """The time that a period is the beginning of (`date_trunc`, also as a date): it is not before the period's."""
    inner = value.this if isinstance(value, exp.Cast) and value.to.this == exp.DType.DATE else value
    found = inner.this if isinstance(inner, exp.DateTrunc | exp.TimestampTrunc) else None
    return found if isinstance(found, exp.Column) else None


def without_idle_ctes(query: exp.Query) -> exp.Query:
    """The CTEs that narrowing has put in place of their names are no longer asked for."""
    asked = {table.name for table in query.find_all(exp.Table) if not table.db}
    if not any(cte.alias in asked for cte in query.ctes):
        query.set("with_", None)
    return query
