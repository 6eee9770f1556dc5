"""From the changed rows of an input to the keys that they touch, by the joins and groups of the SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from pipeline.errors import NotNarrowable
from pipeline.project.scopes import Part, Scope, constant, open_scope, tables_in
from pipeline.project.since import Span, span_of


def changed_name(table: str) -> str:
    """The temporary relation with the rows that went in or out of a table."""
    return f"changed {table}"


def came_name(table: str) -> str:
    """The temporary relation with the rows that came in."""
    return f"came {table}"


def went_name(table: str) -> str:
    """The temporary relation with the rows that went out."""
    return f"went {table}"


def ever_name(table: str) -> str:
    """The temporary relation with a table's rows as they are and as they were."""
    return f"ever {table}"


@dataclass(frozen=True)
class Touch:
    """The values of some output columns that changed rows of a table touch, or why they cannot be known.

    `since`: a statement to run before, which sets a variable that the SELECT asks for.
    """

    table: str
    select: exp.Query | None = None
    reason: str = ""
    since: str = ""


def touches_of(query: exp.Query, ctes: Mapping[str, exp.Query], wanted: Sequence[str]) -> Iterator[Touch]:
    """For each place where a table is read: the SELECT of the wanted output columns, by their names."""
    if isinstance(query, exp.SetOperation):
        known = {**ctes, **{cte.alias: cte.this for cte in query.ctes}}
        places = [query.named_selects.index(name) for name in wanted]
        for branch in (query.left, query.right):
            names = [branch.named_selects[place] for place in places]
            for touch in touches_of(branch, known, names):
                yield _renamed(touch, names, wanted)
        return
    if not isinstance(query, exp.Select):
        yield from (Touch(table, reason="its SQL is not understood") for table in tables_in(query, ctes))
        return
    try:
        scope = open_scope(query, ctes)
        unsettled = [name for name in wanted if not scope.settled(name)]
        if unsettled:
            raise NotNarrowable(f"{unsettled[0]} is not what its rows are grouped by")
    except NotNarrowable as error:
        yield from (Touch(table, reason=error.what) for table in tables_in(query, ctes))
        return
    for part in scope.parts.values():
        yield from _touches_by(scope, part, wanted)


def _touches_by(scope: Scope, part: Part, wanted: Sequence[str]) -> Iterator[Touch]:
    if part.table is not None:
        sharp = _rematched(scope, part, wanted)
        if sharp is not None:
            yield sharp
        else:
            yield _touch(scope, part, part.table, _relation(changed_name(part.table), part.alias), None, wanted)
        return
    assert part.query is not None
    needed = _needed(scope, part.alias, wanted)
    for touch in touches_of(part.query, scope.ctes, needed):
        if touch.select is None:
            yield touch
        else:
            outer = _touch(scope, part, touch.table, touch.select.subquery(part.alias), set(needed), wanted)
            yield replace(outer, since=touch.since)


def _relation(name: str, alias: str) -> exp.Table:
    return exp.to_table(f'temp."{name}"', alias=alias, dialect="duckdb")


def _rematched(scope: Scope, part: Part, wanted: Sequence[str]) -> Touch | None:
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
    return Touch(part.table or "", found, since=span.statement if span else "")


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
    select = exp.select(*values).from_(_relation(name(part.table or ""), part.alias))
    joined = [part.alias]
    for alias in order:
        if alias != part.alias:
            conditions = _conditions(scope, alias, joined, part.alias, None)
            source = _ever(scope, alias)
            if span and alias == span.owner:
                source = _since(source, span)
            if len(joined) == 1:  # the engine cannot guess how few rows are left, and joins the others first
                source = _reached(scope, source, alias, part, conditions, span)
            select = select.join(source, on=exp.and_(*conditions), join_type="inner")
            joined.append(alias)
    return select.where(on.copy())


def _since(source: exp.Expr, span: Span) -> exp.Subquery:
    """The rows of the range's source that changed rows can match otherwise than before."""
    late = exp.GTE(this=span.value.copy(), expression=span.since)
    return _all(span.owner).from_(source).where(late).subquery(span.owner)


def _all(alias: str) -> exp.Select:
    return exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(alias, quoted=True)))


def _reached(
    scope: Scope, source: exp.Expr, alias: str, part: Part, conditions: Sequence[exp.Expr], span: Span | None
) -> exp.Subquery:
    """The rows of a source that changed rows reach, and the range's source too if it is joined to this one."""
    changed = _relation(changed_name(part.table or ""), part.alias)
    rows = _all(alias).from_(source).join(changed, on=exp.and_(*(c.copy() for c in conditions)), join_type="semi")
    if span and span.owner != alias and any({one.table, two.table} == {alias, span.owner} for one, two in scope.pairs):
        late = _since(_ever(scope, span.owner), span)
        on = exp.and_(*_conditions(scope, span.owner, [alias], part.alias, None))
        rows = rows.join(late, on=on, join_type="semi")
    return rows.subquery(alias)


def _needed(scope: Scope, alias: str, wanted: Sequence[str]) -> list[str]:
    """Columns of a query in FROM that joins and wanted columns use, as far as its rows are settled by them."""
    used = {column.name for pair in scope.pairs for column in pair if column.table == alias}
    for name in wanted:
        used |= {column.name for column in scope.output(name).find_all(exp.Column) if column.table == alias}
    query = scope.parts[alias].query
    return [name for name in sorted(used) if query is not None and _settled(query, scope.ctes, name)]


def _settled(query: exp.Query, ctes: Mapping[str, exp.Query], name: str) -> bool:
    if isinstance(query, exp.SetOperation):
        place = query.named_selects.index(name)
        return all(_settled(side, ctes, side.named_selects[place]) for side in (query.left, query.right))
    try:
        return isinstance(query, exp.Select) and open_scope(query, ctes).settled(name)
    except NotNarrowable:
        return False


def _touch(
    scope: Scope, part: Part, table: str, changed: exp.Expr, there: set[str] | None, wanted: Sequence[str]
) -> Touch:
    """`there`: the columns `changed` has; None for all."""
    try:
        return Touch(table, _joined(scope, part, changed, there, wanted))
    except NotNarrowable as error:
        return Touch(table, reason=error.what)


def _joined(scope: Scope, part: Part, changed: exp.Expr, there: set[str] | None, wanted: Sequence[str]) -> exp.Select:
    values, goals = [], set[str]()
    for name in wanted:
        expression = scope.over(scope.output(name), part.alias)
        if constant(scope.output(name)):
            expression = scope.output(name).copy()
        elif expression is None or not _has(expression, part.alias, there):
            expression = scope.output(name).copy()
            owners = {column.table for column in expression.find_all(exp.Column)}
            if not owners or owners & scope.missing:
                raise NotNarrowable(f"{name} comes from the optional side of a join")
            goals |= owners - {part.alias}
        if not _has(expression, part.alias, there):
            raise NotNarrowable(f"{name} is not known for its changed rows")
        values.append(expression.as_(name, quoted=True))
    select = exp.select(*values).distinct().from_(changed)
    joined = [part.alias]
    for alias in scope.way(part.alias, goals) if goals else []:
        if alias != part.alias:
            conditions = _conditions(scope, alias, joined, part.alias, there)
            select = select.join(_ever(scope, alias), on=exp.and_(*conditions), join_type="inner")
            joined.append(alias)
    return select


def _has(expression: exp.Expr, alias: str, there: set[str] | None) -> bool:
    return there is None or all(c.name in there for c in expression.find_all(exp.Column) if c.table == alias)


def _conditions(scope: Scope, alias: str, joined: list[str], start: str, there: set[str] | None) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    for one, other in scope.pairs:
        tables = {one.table, other.table}
        if (
            alias in tables
            and tables - {alias} <= set(joined)
            and _has(one, start, there)
            and _has(other, start, there)
        ):
            found.append(exp.EQ(this=one.copy(), expression=other.copy()))
    if not found:
        raise NotNarrowable(f"no equality of known columns joins {alias}")
    return found


def _ever(scope: Scope, alias: str) -> exp.Expr:
    """A source with its rows of now and before; of a query over one table, the columns that settle its rows."""
    part = scope.parts[alias]
    if part.table is not None:
        return _relation(ever_name(part.table), alias)
    query = part.query
    if not isinstance(query, exp.Select):
        raise NotNarrowable(f"{alias} is not a plain SELECT")
    inner = open_scope(query, scope.ctes)
    names = [name for name in query.named_selects if inner.settled(name)]
    if len(inner.parts) != 1 or not names:
        raise NotNarrowable(f"{alias} reads several tables")
    (only,) = inner.parts
    values = [inner.output(name).copy().as_(name, quoted=True) for name in names]
    return exp.select(*values).distinct().from_(_ever(inner, only)).subquery(alias)


def _renamed(touch: Touch, names: Sequence[str], wanted: Sequence[str]) -> Touch:
    if touch.select is None or list(names) == list(wanted):
        return touch
    values = [exp.column(name, quoted=True).as_(new, quoted=True) for name, new in zip(names, wanted, strict=True)]
    return Touch(touch.table, exp.select(*values).from_(touch.select.subquery("branch")), since=touch.since)
