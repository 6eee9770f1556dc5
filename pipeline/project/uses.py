"""What each output column of a SELECT is made of, and how: followed through CTEs, sub-queries, joins and unions.

Built on sqlglot's `qualify`, so every column bears the alias of its source. What
is not understood counts as made of everything it could be made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from pipeline.project.made_of import EVERY, Found, Use, Uses, after, merged
from pipeline.project.masks import MASKS

_COUNTS = (exp.Count, exp.CountIf, exp.ApproxDistinct, exp.RegrCount)
_SAME = (exp.Alias, exp.Paren)
_BY_OTHERS = (exp.ArgMax, exp.ArgMin)  # max_by(value, order)
_ROUNDS = 5  # of a recursive CTE; its columns' sources settle in two


@dataclass
class _Base(Found):
    table: str = ""

    def get(self, name: str) -> Uses:
        return self.columns.get(name) or {(self.table, name): "copy"}


@dataclass
class _Scope:
    sources: dict[str, Found]
    queries: Mapping[str, Found]
    tables: Mapping[str, Sequence[str]]
    outer: _Scope | None = None
    conditions: Uses = field(default_factory=dict)


def uses_of(select: exp.Query, tables: Mapping[str, Sequence[str]]) -> Found:
    """The lineage of a model's SELECT; `tables`: full name -> columns of what it reads, `*` among them if not all are known."""
    schema: dict[str, Any] = {}
    for name, columns in tables.items():
        layer, _, table = name.partition(".")
        if EVERY not in columns:
            schema.setdefault(layer, {})[table] = dict.fromkeys(columns, "varchar")
    try:
        query = qualify(
            select.copy(), schema=schema, dialect="duckdb", validate_qualify_columns=False, quote_identifiers=False
        )
    except SqlglotError:
        return _anything(select, tables)
    return _query(query, _Scope({}, {}, tables))


def _anything(select: exp.Query, tables: Mapping[str, Sequence[str]]) -> Found:
    every: Uses = {(table, column): "transform" for table, columns in tables.items() for column in columns}
    return Found(dict.fromkeys(select.named_selects or [EVERY], every))


# ---------------------------------------------------------------- ways joined
def _all(uses: Uses, then: Use) -> Uses:
    return {place: after(use, then) for place, use in uses.items()}


def _whole(source: Found) -> Uses:
    return _all(merged(source.columns.values()), "transform")


# ---------------------------------------------------------------- queries
def _query(query: exp.Expr, scope: _Scope) -> Found:
    if isinstance(query, exp.Subquery):
        return _query(query.this, scope)
    scope = _Scope(scope.sources, _with_ctes(query, scope), scope.tables, scope.outer)
    if isinstance(query, exp.SetOperation):
        return _side_by_side(query, scope)
    if isinstance(query, exp.Select):
        return _select(query, scope)
    return Found({EVERY: _everything(query, scope)})


def _everything(node: exp.Expr, scope: _Scope) -> Uses:
    """What a part of the SQL that is not understood may show: each column it names, each table it reads."""
    tables = (_whole(_plain_source(table, scope)) for table in node.find_all(exp.Table) if table is not node)
    return merged([*tables, *(_all(_uses(column, scope), "transform") for column in node.find_all(exp.Column))])


def _with_ctes(query: exp.Expr, scope: _Scope) -> Mapping[str, Found]:
    known = dict(scope.queries)
    for cte in getattr(query, "ctes", []):
        if not query.args["with_"].args.get("recursive"):
            known[cte.alias] = _query(cte.this, _Scope(scope.sources, known, scope.tables, scope.outer))
            continue
        known[cte.alias] = Found({})
        for _ in range(_ROUNDS):
            known[cte.alias] = _query(cte.this, _Scope(scope.sources, known, scope.tables, scope.outer))
    return known


def _side_by_side(query: exp.SetOperation, scope: _Scope) -> Found:
    left, right = _query(query.this, scope), _query(query.expression, scope)
    conditions = merged([left.conditions, right.conditions])
    if len(left.columns) == len(right.columns) and not query.args.get("by_name"):
        pairs = zip(left.columns, left.columns.values(), right.columns.values(), strict=True)
        return Found({name: merged([one, other]) for name, one, other in pairs}, conditions)
    names = dict.fromkeys([*left.columns, *right.columns])
    if query.args.get("by_name"):
        return Found({name: merged([left.get(name), right.get(name)]) for name in names}, conditions)
    every = merged([_whole(left), _whole(right)])
    return Found(dict.fromkeys(names, every), conditions)


def _select(select: exp.Select, scope: _Scope) -> Found:
    inner = _Scope({}, scope.queries, scope.tables, scope if scope.sources else scope.outer)
    for node in _read_from(select):
        inner.sources[node.alias_or_name] = _source(node, inner)
    columns: dict[str, Uses] = {}
    for projection in select.selects:
        many = _is_many(projection)
        name = EVERY if many else projection.alias_or_name
        columns[name] = merged([columns.get(name, {}), _all_of(inner) if many else _uses(projection, inner)])
    conditions = [_uses(node, inner) for node in _deciding(select)]
    below = [source.conditions for source in inner.sources.values()]
    return Found(columns, merged([inner.conditions, *below, *(_all(uses, "condition") for uses in conditions)]))


def _is_many(projection: exp.Expr) -> bool:
    """Whether a projection stands for columns that it does not name: `*`, `* LIKE 'e%'`, COLUMNS(...)."""
    stars = (star for star in projection.find_all(exp.Star) if not isinstance(star.parent, exp.Count))
    return projection.find(exp.Columns) is not None or any(stars)


def _all_of(scope: _Scope) -> Uses:
    return merged(_whole(source) for source in scope.sources.values())


def _read_from(select: exp.Select) -> Iterator[exp.Expr]:
    first = select.args.get("from_")
    if first is not None:
        yield first.this
    for join in select.args.get("joins") or []:
        yield join.this
    yield from select.args.get("laterals") or []


def _deciding(select: exp.Select) -> Iterator[exp.Expr]:
    for name in ("where", "group", "having", "qualify", "order", "distinct"):
        if select.args.get(name) is not None:
            yield select.args[name]
    for join in select.args.get("joins") or []:
        if join.args.get("on") is not None:
            yield join.args["on"]


def _source(node: exp.Expr, scope: _Scope) -> Found:
    found = _plain_source(node, scope)
    return Found({EVERY: _whole(found)}, found.conditions) if node.args.get("pivots") else found


def _plain_source(node: exp.Expr, scope: _Scope) -> Found:
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        if not node.db:
            return scope.queries.get(node.name, Found({}))
        name = f"{node.db}.{node.name}"
        columns: dict[str, Uses] = {column: {(name, column): "copy"} for column in scope.tables.get(name, ())}
        alias = node.args.get("alias")
        names = [column.name for column in alias.args.get("columns") or ()] if alias is not None else []
        columns.update(zip(names, list(columns.values()), strict=False))  # bronze.people AS p(a, b)
        return _Base(columns, table=name)
    if isinstance(node, exp.Subquery):
        return _query(node, scope)
    if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
        return _query(node.this, scope)
    return Found({EVERY: _everything(node, scope)})


# ---------------------------------------------------------------- expressions
def _uses(node: exp.Expr, scope: _Scope) -> Uses:
    """The columns an expression is made of, each by how much of it shows."""
    if isinstance(node, exp.Column):
        return _column(node, scope)
    if isinstance(node, exp.Star | exp.Columns | exp.PositionalColumn):
        return _all_of(scope)
    if isinstance(node, exp.TableColumn):  # a whole row as one value
        return _row(node.name, scope)
    if isinstance(node, exp.Query | exp.Subquery):
        found = _query(node, _Scope(scope.sources, scope.queries, scope.tables, scope))
        scope.conditions = merged([scope.conditions, found.conditions])
        return merged(found.columns.values())
    if isinstance(node, _SAME):
        return _uses(node.this, scope)
    if _is_mask(node):
        return _below(node, scope, "masked")
    if isinstance(node, _COUNTS):
        return _below(node, scope, "aggregate")
    if isinstance(node, exp.Predicate | exp.Ordered):
        return _below(node, scope, "condition")
    return merged(_part(node, name, part, scope) for name, part in _parts(node))


def _is_mask(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() in MASKS and not isinstance(node.parent, exp.Dot)


def _below(node: exp.Expr, scope: _Scope, use: Use) -> Uses:
    parts = (part for part in node.iter_expressions() if not isinstance(part, exp.Star))  # count(*) asks for no column
    return _all(merged(_uses(part, scope) for part in parts), use)


def _parts(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    for name, value in node.args.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, exp.Expr):
                yield name, part


def _part(node: exp.Expr, name: str, part: exp.Expr, scope: _Scope) -> Uses:
    decides = (
        (isinstance(node, exp.Window) and name != "this")
        or (isinstance(node, exp.Filter) and name == "expression")
        or (isinstance(node, exp.If | exp.Case) and name == "this")
        or (isinstance(node, _BY_OTHERS) and name == "expression")
    )
    return _all(_uses(part, scope), "condition" if decides else "transform")


def _column(column: exp.Column, scope: _Scope | None) -> Uses:
    alias, at = column.table, scope
    while at is not None:
        if isinstance(column.this, exp.Star):
            sources = [at.sources[alias]] if alias in at.sources else list(at.sources.values())
            return merged(_whole(source) for source in sources)
        if alias in at.sources:
            return at.sources[alias].get(column.name)
        if not alias and at.sources:
            holders = [source for source in at.sources.values() if column.name in source.columns]
            return merged(source.get(column.name) for source in holders or at.sources.values())
        at = at.outer
    return _row(alias, scope)


def _row(alias: str, scope: _Scope | None) -> Uses:
    """All columns of a source; of every source where none has this name (a field of a struct, say)."""
    scopes = []
    while scope is not None:
        if alias in scope.sources:
            return _whole(scope.sources[alias])
        scopes.append(scope)
        scope = scope.outer
    return merged(_all_of(one) for one in scopes)
