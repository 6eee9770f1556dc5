"""From the changed rows of an input to the keys that they touch, by the joins and groups of the SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from pipeline.errors import NotNarrowable
from pipeline.project.relations import changed_name
from pipeline.project.rematched import rematched
from pipeline.project.scopes import Part, Scope, constant, open_scope, tables_in
from pipeline.project.touch import Touch, conditions, ever, fitting, has, relation


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
        sharp = rematched(scope, part, wanted)
        if sharp is not None:
            yield sharp
        else:
            yield _touch(scope, part, part.table, relation(changed_name(part.table), part.alias), None, wanted)
        return
    assert part.query is not None
    needed = _needed(scope, part.alias, wanted)
    for touch in touches_of(part.query, scope.ctes, needed):
        if touch.select is None:
            yield touch
        else:
            outer = _touch(scope, part, touch.table, touch.select.subquery(part.alias), set(needed), wanted)
            yield replace(outer, since=touch.since)


def _needed(scope: Scope, alias: str, wanted: Sequence[str]) -> list[str]:
    """Columns of a query in FROM that joins and wanted columns use, as far as its rows are settled by them."""
    sides = [column for pair in scope.pairs for side in pair for column in side.find_all(exp.Column)]
    used = {column.name for column in sides if column.table == alias}
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
        elif expression is None or not has(expression, part.alias, there):
            expression = scope.output(name).copy()
            owners = {column.table for column in expression.find_all(exp.Column)}
            if not owners or owners & scope.missing:
                raise NotNarrowable(f"{name} comes from the optional side of a join")
            goals |= owners - {part.alias}
        if not has(expression, part.alias, there):
            raise NotNarrowable(f"{name} is not known for its changed rows")
        values.append(expression.as_(name, quoted=True))
    select = exp.select(*values).distinct().from_(changed)
    joined = [part.alias]
    for alias in scope.way(part.alias, goals) if goals else []:
        if alias != part.alias:
            on = exp.and_(*conditions(scope, alias, joined, part.alias, there))
            select = select.join(ever(scope, alias), on=on, join_type="inner")
            joined.append(alias)
    return select.where(*fitting(scope, part, there))


def _renamed(touch: Touch, names: Sequence[str], wanted: Sequence[str]) -> Touch:
    if touch.select is None or list(names) == list(wanted):
        return touch
    values = [exp.column(name, quoted=True).as_(new, quoted=True) for name, new in zip(names, wanted, strict=True)]
    return Touch(touch.table, exp.select(*values).from_(touch.select.subquery("branch")), since=touch.since)
