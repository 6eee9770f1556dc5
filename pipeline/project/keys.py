"""Which keys of a table a changed row touches, and the model's SELECT narrowed to some keys.

Both follow from the SQL alone. A row that goes in or out of an input can only
change the output rows that it is joined or grouped into; their keys are found
by joining the changed rows to the other inputs as they are and as they were
(`ever`), along the equalities the SQL states. Conditions are dropped, never
added, so the keys found are those touched or more, and more does no harm:
they are computed again and found the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from pipeline.errors import NotNarrowable
from pipeline.project.model import Model
from pipeline.project.scopes import Columns, Part, Scope, constant, open_scope

TOUCHED = "touched"  # temporary table: the keys to compute again
_UNSTEADY = (exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTime, exp.Rand, exp.Uuid)
_UNSTEADY_NAMES = {"NOW", "TODAY", "RANDOM", "NEXTVAL", "GETVARIABLE", "GEN_RANDOM_UUID", "TRANSACTION_TIMESTAMP"}


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


@dataclass
class Narrowing:
    """What a model's SQL shows.

    `by`: the columns of the key that rows can be told apart by, mostly all. `touches`: for each input, the SELECTs that give the touched keys from its
    changed rows. `blind`: inputs whose changes touch nobody knows what, each
    with the reason. `narrowed`: the model's SELECT for the keys in the table
    `touched`. `whole`: inputs that it reads from end to end all the same.
    `used`: the columns of each input that the SQL names; a change of others changes nothing.
    """

    by: list[str] = field(default_factory=list)
    touches: dict[str, list[str]] = field(default_factory=dict)
    blind: dict[str, str] = field(default_factory=dict)
    narrowed: str = ""
    whole: set[str] = field(default_factory=set)
    used: dict[str, list[str]] = field(default_factory=dict)


def narrowing(model: Model, columns: Columns) -> Narrowing:
    """Read what the SQL of a model shows; raises NotNarrowable when it is nothing at all."""
    assert model.select is not None
    query = _qualified(model.select, columns)
    _check_steady(query)
    found = Narrowing(_by(query, model.header.key), used=_used(query))
    for touch in _touches(query, {}, found.by):
        if touch.reason:
            found.blind.setdefault(touch.table, touch.reason)
        elif touch.select is not None:
            found.touches.setdefault(touch.table, []).append(touch.select.sql("duckdb"))
    for table in _read_aside(query):
        found.blind.setdefault(table, "a sub-query inside an expression reads it")
    if set(model.inputs) <= set(found.blind):
        raise NotNarrowable(found.blind[model.inputs[0]], where=model.name)
    narrowed = _narrowed(query.copy(), {}, {name: name for name in found.by}, found.whole)
    found.narrowed = _without_idle_ctes(narrowed).sql("duckdb")
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


def _by(query: exp.Query, key: list[str]) -> list[str]:
    """The whole key, or those columns of it by which the changes of most inputs can be followed."""

    def unseen(names: list[str]) -> set[str]:
        return {touch.table for touch in _touches(query, {}, names) if touch.reason}

    if len(key) == 1 or not unseen(key):
        return key
    alone = {name: unseen([name]) for name in key}
    fewest = min(alone.values(), key=len)
    return [name for name in key if alone[name] == fewest]


def _without_idle_ctes(query: exp.Query) -> exp.Query:
    """The CTEs that narrowing has put in place of their names are no longer asked for."""
    asked = {table.name for table in query.find_all(exp.Table) if not table.db}
    if not any(cte.alias in asked for cte in query.ctes):
        query.set("with_", None)
    return query


def _qualified(select: exp.Query, columns: Columns) -> exp.Query:
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


def _check_steady(query: exp.Query) -> None:
    for call in query.find_all(*_UNSTEADY, exp.Anonymous):
        if not isinstance(call, exp.Anonymous):
            raise NotNarrowable(f"{call.sql_name()} gives another value in each run")
        if call.name.upper() in _UNSTEADY_NAMES:
            raise NotNarrowable(f"{call.name} gives another value in each run")
        select = call.parent_select
        if isinstance(select, exp.Select) and select.args.get("group") is None:
            raise NotNarrowable(f"{call.name}() may be an aggregate")
    if any(part.args.get("recursive") for part in query.find_all(exp.With)):
        raise NotNarrowable("it has WITH RECURSIVE")


# ---------------------------------------------------------------- the touched keys
@dataclass(frozen=True)
class Touch:
    """The values of some output columns that changed rows of a table touch, or why they cannot be known."""

    table: str
    select: exp.Query | None = None
    reason: str = ""


def _touches(query: exp.Query, ctes: Mapping[str, exp.Query], wanted: Sequence[str]) -> Iterator[Touch]:
    """For each place where a table is read: the SELECT of the wanted output columns, by their names."""
    if isinstance(query, exp.SetOperation):
        known = {**ctes, **{cte.alias: cte.this for cte in query.ctes}}
        places = [query.named_selects.index(name) for name in wanted]
        for branch in (query.left, query.right):
            names = [branch.named_selects[place] for place in places]
            for touch in _touches(branch, known, names):
                yield _renamed(touch, names, wanted)
        return
    if not isinstance(query, exp.Select):
        yield from (Touch(table, reason="its SQL is not understood") for table in _tables(query, ctes))
        return
    try:
        scope = open_scope(query, ctes)
        unsettled = [name for name in wanted if not scope.settled(name)]
        if unsettled:
            raise NotNarrowable(f"{unsettled[0]} is not what its rows are grouped by")
    except NotNarrowable as error:
        yield from (Touch(table, reason=error.what) for table in _tables(query, ctes))
        return
    for part in scope.parts.values():
        yield from _touches_by(scope, part, wanted)


def _touches_by(scope: Scope, part: Part, wanted: Sequence[str]) -> Iterator[Touch]:
    if part.table is not None:
        sharp = _rematched(scope, part, wanted)
        if sharp is not None:
            yield Touch(part.table, sharp)
        else:
            yield _touch(scope, part, part.table, _relation(changed_name(part.table), part.alias), None, wanted)
        return
    assert part.query is not None
    needed = _needed(scope, part.alias, wanted)
    for touch in _touches(part.query, scope.ctes, needed):
        if touch.select is None:
            yield touch
        else:
            yield _touch(scope, part, touch.table, touch.select.subquery(part.alias), set(needed), wanted)


def _relation(name: str, alias: str) -> exp.Table:
    return exp.to_table(f'temp."{name}"', alias=alias, dialect="duckdb")


def _rematched(scope: Scope, part: Part, wanted: Sequence[str]) -> exp.Query | None:
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
        sides = [_matched(scope, part, order, outputs, on, name) for name in (went_name, came_name)]
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
    return exp.select(*(name.copy() for name in names)).from_(query.subquery("_rematched"))


def _matched(
    scope: Scope,
    part: Part,
    order: Sequence[str],
    outputs: Mapping[str, exp.Expr],
    on: exp.Expr,
    name: Callable[[str], str],
) -> exp.Select:
    """The other tables' rows with the rows of one side of a change that they are joined to."""
    inside = {id(column) for column in on.find_all(exp.Column)}
    named = {
        (column.table, column.name)
        for column in scope.select.find_all(exp.Column)
        if column.table in order and not (column.table == part.alias and id(column) in inside)
    }
    values = [value.copy().as_(key, quoted=True) for key, value in outputs.items()]
    for number, (table, column) in enumerate(sorted(named)):
        values.append(exp.column(column, table=table, quoted=True).as_(f"_{number}"))
    select = exp.select(*values).from_(_relation(name(part.table or ""), part.alias))
    joined = [part.alias]
    for alias in order:
        if alias != part.alias:
            conditions = _conditions(scope, alias, joined, part.alias, None)
            source = _ever(scope, alias)
            if len(joined) == 1:  # the engine cannot guess how few rows are left, and joins the others first
                source = _reached(source, alias, part, conditions)
            select = select.join(source, on=exp.and_(*conditions), join_type="inner")
            joined.append(alias)
    return select.where(on.copy())


def _reached(source: exp.Expr, alias: str, part: Part, conditions: Sequence[exp.Expr]) -> exp.Subquery:
    """The rows of a source that changed rows reach."""
    rows = exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(alias, quoted=True))).from_(source)
    changed = _relation(changed_name(part.table or ""), part.alias)
    return rows.join(changed, on=exp.and_(*(c.copy() for c in conditions)), join_type="semi").subquery(alias)


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
    return Touch(touch.table, exp.select(*values).from_(touch.select.subquery("branch")))


def _tables(node: exp.Expr, ctes: Mapping[str, exp.Query]) -> set[str]:
    """Every table of the warehouse that a part of the SQL reads, through CTEs too."""
    found: set[str] = set()
    for table in node.find_all(exp.Table):
        if table.db:
            found.add(f"{table.db}.{table.name}")
        elif table.name in ctes:
            rest = {name: query for name, query in ctes.items() if name != table.name}
            found |= _tables(ctes[table.name], rest)
    return found


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
            found |= _tables(nested, ctes)
    return found


# ---------------------------------------------------------------- the narrowed SELECT
def _narrowed(query: exp.Query, ctes: Mapping[str, exp.Query], wanted: Mapping[str, str], whole: set[str]) -> exp.Query:
    """The query with its sources cut down to the touched keys; `wanted`: column of `touched` -> output column."""
    if isinstance(query, exp.SetOperation):
        known = {**ctes, **{cte.alias: cte.this for cte in query.ctes}}
        columns = query.named_selects
        for side in ("this", "expression"):
            branch = query.args[side]
            inner = branch.this if isinstance(branch, exp.Subquery) else branch
            names = {key: inner.named_selects[columns.index(name)] for key, name in wanted.items()}
            branch.replace(_narrowed(inner.copy(), known, names, whole))
        return query
    if not isinstance(query, exp.Select):
        whole |= _tables(query, ctes)
        return query
    try:
        scope = open_scope(query, ctes)
    except NotNarrowable:
        whole |= _tables(query, ctes)
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
    inner = _narrowed(part.query.copy(), scope.ctes, plain, whole)
    part.node.replace(inner.subquery(part.alias))


def _only_touched(source: exp.Expr, alias: str, over: Mapping[str, exp.Expr]) -> exp.Subquery:
    """`source` without the rows whose values are not among the touched keys."""
    names = [exp.column(key, quoted=True) for key in over]
    keys = exp.select(*names).distinct().from_(exp.to_table(f"temp.{TOUCHED}")).subquery("_keys")
    on = [
        exp.EQ(this=value.copy(), expression=exp.column(key, table="_keys", quoted=True)) for key, value in over.items()
    ]
    rows = exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(alias, quoted=True))).from_(source)
    return rows.join(keys, on=exp.and_(*on), join_type="semi").subquery(alias)
