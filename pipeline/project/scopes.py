"""A model's SQL taken apart: the sources of each SELECT, which columns are equal, which may be missing.

Built on sqlglot's `qualify`, so every column bears the alias of its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from pipeline.errors import NotNarrowable

Pair = tuple[exp.Expr, exp.Expr]


@dataclass(frozen=True)
class Part:
    """One source of a SELECT: a table of the warehouse, or a query (CTE or derived table)."""

    alias: str
    node: exp.Expr
    table: str | None = None
    query: exp.Query | None = None


@dataclass
class Scope:
    """One SELECT.

    `edges` holds equalities between columns of two sources; a step may go from
    left to right, and back only where the join is an inner one. `pairs` holds all
    equalities by which two sources are joined, of expressions of one source each.
    `missing` are the sources that outer joins may leave without a row.
    """

    select: exp.Select
    parts: dict[str, Part]
    edges: dict[exp.Column, list[exp.Column]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    full: list[tuple[exp.Column, exp.Column]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    ctes: Mapping[str, exp.Query] = field(default_factory=dict)

    def output(self, name: str) -> exp.Expr:
        """The expression of an output column."""
        for projection in self.select.selects:
            if projection.alias_or_name == name:
                return projection.unalias()
        raise NotNarrowable(f"its SELECT gives no column {name}")

    def settled(self, name: str) -> bool:
        """Whether rows with another value of this output column have no part in a row's other values."""
        expression = self.output(name)
        if constant(expression):
            return True
        group = self.select.args.get("group")
        grouped = [] if group is None else list(group.expressions)
        if group is not None and any(group.args.get(part) for part in ("grouping_sets", "cube", "rollup", "all")):
            return False
        if (grouped or _aggregates(self.select)) and expression not in grouped:
            return False
        distinct = self.select.args.get("distinct")
        first_of = distinct.args.get("on") if distinct else None
        if first_of is not None and expression not in first_of.expressions:
            return False
        windows = [window for window in self.select.find_all(exp.Window) if window.parent_select is self.select]
        return all(expression in (window.args.get("partition_by") or []) for window in windows)

    def over(self, expression: exp.Expr, alias: str) -> exp.Expr | None:
        """The expression in columns of one source alone, by the equalities of the joins; None if there is no way."""
        both = self._coalesced(expression)
        if both is not None:
            return next((column for column in both if column.table == alias), None)
        owners = {column.table for column in expression.find_all(exp.Column)}
        if not owners or owners & self.missing:
            return None
        found = expression.copy()
        for column in list(found.find_all(exp.Column)):
            equal = self._equal(column, alias)
            if equal is None:
                return None
            if column is found:
                return equal.copy()
            column.replace(equal.copy())
        return found

    def _coalesced(self, expression: exp.Expr) -> tuple[exp.Column, exp.Column] | None:
        """The two sides of coalesce(a.x, b.y) where a full join says a.x = b.y."""
        if isinstance(expression, exp.Coalesce) and len(expression.expressions) == 1:
            sides = {expression.this, expression.expressions[0]}
            for pair in self.full:
                if sides == set(pair):
                    return pair
        return None

    def _equal(self, column: exp.Column, alias: str) -> exp.Column | None:
        waiting, seen = [column], {column}
        while waiting:
            at = waiting.pop(0)
            if at.table == alias:
                return at
            for other in self.edges.get(at, []):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return None

    def way(self, start: str, goals: set[str]) -> list[str]:
        """The sources to join, in order, to get from one source to others. Raises NotNarrowable."""
        before: dict[str, str] = {start: start}
        waiting = [start]
        while waiting:
            at = waiting.pop(0)
            for one, other in self.pairs:
                ends = owner(one), owner(other)
                for here, there in (ends, ends[::-1]):
                    if here == at and there not in before:
                        before[there] = at
                        waiting.append(there)
        order: list[str] = []
        for goal in sorted(goals):
            if goal not in before:
                raise NotNarrowable(f"no equality joins {start} to {goal}")
            steps = [goal]
            while steps[-1] != start:
                steps.append(before[steps[-1]])
            order += [step for step in reversed(steps) if step not in order]
        return order


def constant(expression: exp.Expr) -> bool:
    """Whether an expression is the same for every row."""
    return not any(expression.find_all(exp.Column, exp.Func, exp.Window, exp.Query))


def _aggregates(select: exp.Select) -> bool:
    """Whether a SELECT aggregates: aggregates that are not windows, outside its sub-queries."""
    for projection in [*select.selects, *filter(None, [select.args.get("having")])]:
        for found in projection.find_all(exp.AggFunc):
            if found.parent_select is select and not isinstance(_bare(found).parent, exp.Window):
                return True
    return False


def _bare(call: exp.Expr) -> exp.Expr:
    """A call with its FILTER, IGNORE NULLS and the like around it."""
    while isinstance(call.parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
        call = call.parent
    return call


def open_scope(select: exp.Select, ctes: Mapping[str, exp.Query]) -> Scope:
    """Read the sources and joins of one SELECT. Raises NotNarrowable for what is not understood."""
    known = {**ctes, **{cte.alias: cte.this for cte in select.ctes}}
    scope = Scope(select, {}, ctes=known)
    _check(select)
    first = select.args.get("from_")
    if first is None:
        raise NotNarrowable("it reads no table")
    _add(scope, first.this)
    for join in select.args.get("joins") or []:
        _join(scope, join)
    where = select.args.get("where")
    for one, other in _equalities(where.this if where else None):
        if {owner(one), owner(other)} <= set(scope.parts) - scope.missing:
            _both_ways(scope, one, other)
    return scope


def _check(select: exp.Select) -> None:
    for part, word in (("limit", "LIMIT"), ("offset", "OFFSET"), ("laterals", "LATERAL"), ("pivots", "PIVOT")):
        if select.args.get(part):
            raise NotNarrowable(f"its SELECT has {word}")


def _add(scope: Scope, node: exp.Expr) -> Part:
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        name = node.name
        if node.db:
            part = Part(node.alias_or_name, node, table=f"{node.db}.{name}")
        elif name in scope.ctes:
            part = Part(node.alias_or_name, node, query=scope.ctes[name])
        else:
            raise NotNarrowable(f"it reads {name}, which is no table")
    elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query) and node.alias:
        part = Part(node.alias, node, query=node.this)
    else:
        raise NotNarrowable("it reads from something that is neither a table nor a query")
    scope.parts[part.alias] = part
    return part


def _join(scope: Scope, join: exp.Join) -> None:
    if join.args.get("using") or join.args.get("method"):
        raise NotNarrowable("it joins by USING, NATURAL or ASOF")
    earlier = set(scope.parts)
    alias = _add(scope, join.this).alias
    kind = (join.side or join.kind or "INNER").upper()
    equal = [
        (one, other) if owner(one) in earlier else (other, one)
        for one, other in _equalities(join.args.get("on"))
        if {owner(one), owner(other)} - earlier == {alias} and owner(one) != owner(other)
    ]
    columns = [(one, other) for one, other in equal if isinstance(one, exp.Column) and isinstance(other, exp.Column)]
    if kind in ("LEFT", "SEMI", "ANTI"):
        scope.missing.add(alias)
        for column, its in columns:
            scope.edges.setdefault(column, []).append(its)
    elif kind == "FULL":
        scope.missing |= {*earlier, alias}
        scope.full += columns
    elif kind in ("INNER", "CROSS"):
        for one, other in equal:
            _both_ways(scope, one, other)
    else:
        raise NotNarrowable(f"it has a {kind} JOIN")
    scope.pairs += [pair for pair in equal if pair not in scope.pairs and pair[::-1] not in scope.pairs]


def _both_ways(scope: Scope, one: exp.Expr, other: exp.Expr) -> None:
    if isinstance(one, exp.Column) and isinstance(other, exp.Column):
        scope.edges.setdefault(one, []).append(other)
        scope.edges.setdefault(other, []).append(one)
    if (one, other) not in scope.pairs and (other, one) not in scope.pairs:
        scope.pairs.append((one, other))


def owner(expression: exp.Expr) -> str:
    """The one source whose columns an expression is made of; "" if it has none or several, or asks a query."""
    owners = {column.table for column in expression.find_all(exp.Column)}
    return owners.pop() if len(owners) == 1 and not expression.find(exp.Query) else ""


def conditions_of(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """The conditions that must all hold."""
    if condition is not None:
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            yield part.unnest() if isinstance(part, exp.Paren) else part


def _equalities(condition: exp.Expr | None) -> Iterator[Pair]:
    """Expressions of one source each that must be equal."""
    for part in conditions_of(condition):
        if isinstance(part, exp.EQ) and owner(part.left) and owner(part.right):
            yield part.left, part.right


def tables_in(node: exp.Expr, ctes: Mapping[str, exp.Query]) -> set[str]:
    """Every table of the warehouse that a part of the SQL reads, through CTEs too."""
    found: set[str] = set()
    for table in node.find_all(exp.Table):
        if table.db:
            found.add(f"{table.db}.{table.name}")
        elif table.name in ctes:
            rest = {name: query for name, query in ctes.items() if name != table.name}
            found |= tables_in(ctes[table.name], rest)
    return found
