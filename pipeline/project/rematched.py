"""The keys of the rows that a joined table's changed rows match otherwise than before, where a range joins it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from pipeline.errors import NotNarrowable
from pipeline.project.relations import came_name, changed_name, went_name
from pipeline.project.scopes import Part, Scope, owner
from pipeline.project.since import Span, span_of
from pipeline.project.touch import Touch, conditions, ever, relation
from pipeline.sql import quoted


def rematched(scope: Scope, part: Part, wanted: Sequence[str]) -> Touch | None:
    """The keys of the rows that a joined table's changed rows match otherwise than before; None if that is not shown.

    A version of a customer that ends today matches the orders of last year as it did before: they are not
    touched, though the row has changed. Rows of the other tables are compared with all their columns that
    the SELECT names, each with what it is matched to.
    """
    join = next((join for join in scope.select.args.get("joins") or [] if join.this is part.node), None)
    if join is None or (join.side or join.kind or "INNER") not in ("LEFT", "INNER"):
        return None
    on = join.args.get("on")
    if on is None or on.find(exp.Query) or not on.find(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between):
        return None  # without a range the net change says it all
    outputs = {name: scope.output(name) for name in wanted}
    owners = {column.table for value in outputs.values() for column in value.find_all(exp.Column)}
    others = (owners | {column.table for column in on.find_all(exp.Column)}) - {part.alias}
    if part.alias in owners or owners & scope.missing or any(scope.parts[name].table is None for name in others):
        return None
    try:
        order = scope.way(part.alias, others)
        said = [column for table, column in _named(scope, [part.alias], on, part.alias) if table == part.alias]
        span = span_of(on, part.alias, said, came_name(part.table or ""), went_name(part.table or ""))
        span = span if span and scope.parts[span.owner].table else None
        sides = [_matched(scope, part, order, outputs, on, name, span) for name in (went_name, came_name)]
    except NotNarrowable:
        return None
    names = [exp.column(name, quoted=True) for name in wanted]
    either = [
        exp.select(*(name.copy() for name in names)).from_(
            exp.except_(exp.select("*").from_(one), exp.select("*").from_(other), distinct=False).subquery("_differ")
        )
        for one, other in (("_before", "_after"), ("_after", "_before"))
    ]
    query = exp.union(*either, distinct=True)
    for name, side in zip(("_before", "_after"), sides, strict=True):
        query = query.with_(name, as_=side, materialized=True)
    found = exp.select(*(name.copy() for name in names)).from_(query.subquery("_rematched"))
    return Touch(part.table or "", found, since=_statements(scope, order, span))


def _statements(scope: Scope, order: Sequence[str], span: Span | None) -> tuple[str, ...]:
    """Those that set what the ways to the rows since the span's begin are bounded by."""
    if span is None:
        return ()
    bounds = [bound for alias in order if alias != span.owner and (bound := _bound(scope, alias, span))]
    return span.statement, *(bound.statement for bound in bounds)


@dataclass(frozen=True)
class _Bound:
    """The least value of a column in the rows that are joined to those since the span's begin."""

    column: exp.Column
    name: str
    statement: str


def _bound(scope: Scope, alias: str, span: Span) -> _Bound | None:
    """For a source that is joined to the span's: known before the engine plans, so that it skips what lies before.

    It joins in the order it likes, and for the items of a few products it would read all there are (24,000,000 in 0.7 s).
    """
    both_ways = [way for pair in scope.pairs for way in (pair, pair[::-1]) if (owner(way[0]), owner(way[1])) == (alias, span.owner)]
    pair = next(((column, other) for column, other in both_ways if isinstance(column, exp.Column)), None)
    if pair is None:
        return None
    late = exp.select(exp.func("min", pair[1].copy())).from_(_since(ever(scope, span.owner), span)).sql("duckdb")
    name = f"first {hashlib.sha256(late.encode()).hexdigest()[:12]}"
    return _Bound(pair[0], name, f"SET VARIABLE {quoted(name)} = ({late})")


def _named(scope: Scope, order: Sequence[str], on: exp.Expr, alias: str) -> set[tuple[str, str]]:
    """(source, column) of some sources that the SELECT names, those of one source only outside its join."""
    inside = {id(column) for column in on.find_all(exp.Column)}
    return {
        (column.table, column.name)
        for column in scope.select.find_all(exp.Column)
        if column.table in order and not (column.table == alias and id(column) in inside)
    }


def _matched(
    scope: Scope,
    part: Part,
    order: Sequence[str],
    outputs: Mapping[str, exp.Expr],
    on: exp.Expr,
    name: Callable[[str], str],
    span: Span | None,
) -> exp.Select:
    """The other tables' rows with the rows of one side of a change that they are joined to."""
    values = [value.copy().as_(key, quoted=True) for key, value in outputs.items()]
    for number, (table, column) in enumerate(sorted(_named(scope, order, on, part.alias))):
        values.append(exp.column(column, table=table, quoted=True).as_(f"_{number}"))
    select = exp.select(*values).from_(relation(name(part.table or ""), part.alias))
    joined = [part.alias]
    for alias in order:
        if alias != part.alias:
            equal = conditions(scope, alias, joined, part.alias, None)
            source = ever(scope, alias)
            if span and alias == span.owner:
                source = _since(source, span)
            if len(joined) == 1:  # the engine cannot guess how few rows are left, and joins the others first
                source = _reached(scope, source, alias, part, equal, span)
            select = select.join(source, on=exp.and_(*equal), join_type="inner")
            joined.append(alias)
    return select.where(on.copy())


def _since(source: exp.Expr, span: Span) -> exp.Subquery:
    """The rows of the range's source that changed rows can match otherwise than before."""
    late = exp.GTE(this=span.value.copy(), expression=span.since)
    return _all(span.owner).from_(source).where(late).subquery(span.owner)


def _all(alias: str) -> exp.Select:
    return exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(alias, quoted=True)))


def _reached(
    scope: Scope, source: exp.Expr, alias: str, part: Part, equal: Sequence[exp.Expr], span: Span | None
) -> exp.Subquery:
    """The rows of a source that changed rows reach, and the range's source too if it is joined to this one."""
    changed = relation(changed_name(part.table or ""), part.alias)
    rows = _all(alias).from_(source).join(changed, on=exp.and_(*(c.copy() for c in equal)), join_type="semi")
    bound = _bound(scope, alias, span) if span and span.owner != alias else None
    if span and bound:
        late = _since(ever(scope, span.owner), span)
        on = exp.and_(*conditions(scope, span.owner, [alias], part.alias, None))
        first = exp.func("getvariable", exp.Literal.string(bound.name), dialect="duckdb")
        rows = rows.join(late, on=on, join_type="semi").where(exp.GTE(this=bound.column.copy(), expression=first))
    return rows.subquery(alias)
