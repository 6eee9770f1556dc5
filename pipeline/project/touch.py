"""What the SQL of changed rows is made of: temporary relations of an input's change, and joins to its other tables."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from pipeline.errors import NotNarrowable
from pipeline.project.relations import ever_name
from pipeline.project.scopes import Part, Scope, conditions_of, open_scope, owner


@dataclass(frozen=True)
class Touch:
    """The values of some output columns that changed rows of a table touch, or why they cannot be known.

    `since`: statements to run before, in order, which set variables that the SELECT asks for.
    """

    table: str
    select: exp.Query | None = None
    reason: str = ""
    since: tuple[str, ...] = ()


def relation(name: str, alias: str) -> exp.Table:
    return exp.to_table(f'temp."{name}"', alias=alias, dialect="duckdb")


def has(expression: exp.Expr, alias: str, there: set[str] | None) -> bool:
    return there is None or all(c.name in there for c in expression.find_all(exp.Column) if c.table == alias)


def conditions(scope: Scope, alias: str, joined: list[str], start: str, there: set[str] | None) -> list[exp.Expr]:
    """What joins a source to those that are joined already. Raises NotNarrowable if nothing does."""
    found: list[exp.Expr] = []
    for one, other in scope.pairs:
        tables = {owner(one), owner(other)}
        if (
            alias in tables
            and tables - {alias} <= set(joined)
            and has(one, start, there)
            and has(other, start, there)
        ):
            found.append(exp.EQ(this=_safe(one), expression=_safe(other)))
    if not found:
        raise NotNarrowable(f"no equality of what is known joins {alias}")
    return found


def _safe(expression: exp.Expr) -> exp.Expr:
    """It, without errors about values: rows are asked for it that the model's own conditions may leave out before."""
    return expression.transform(lambda node: exp.TryCast(**node.args) if type(node) is exp.Cast else node)


def fitting(scope: Scope, part: Part, there: set[str] | None) -> list[exp.Expr]:
    """The SELECT's conditions on a source's rows by themselves: one that does not fit was, and is, part of nothing.

    Comparisons of a column with a constant, of WHERE and of the source's own join, so that nothing can fail.
    """
    found: list[exp.Expr] = []
    join = next((join for join in scope.select.args.get("joins") or [] if join.this is part.node), None)
    if join is not None and (join.side or join.kind or "INNER").upper() not in ("FULL", "RIGHT"):
        found += conditions_of(join.args.get("on"))
    where = scope.select.args.get("where")
    if where is not None and part.alias not in scope.missing:
        found += conditions_of(where.this)
    return [one.copy() for one in found if _is_plain(one, part.alias) and has(one, part.alias, there)]


def _is_plain(condition: exp.Expr, alias: str) -> bool:
    sides = [condition.this, condition.args.get("expression")]
    columns = [side for side in sides if isinstance(side, exp.Column) and side.table == alias]
    return isinstance(condition, exp.EQ | exp.NEQ) and len(columns) == 1 and any(isinstance(side, exp.Literal) for side in sides)


def ever(scope: Scope, alias: str) -> exp.Expr:
    """A source with its rows of now and before; of a query over one table, the columns that settle its rows."""
    part = scope.parts[alias]
    if part.table is not None:
        return relation(ever_name(part.table), alias)
    query = part.query
    if not isinstance(query, exp.Select):
        raise NotNarrowable(f"{alias} is not a plain SELECT")
    inner = open_scope(query, scope.ctes)
    names = [name for name in query.named_selects if inner.settled(name)]
    if len(inner.parts) != 1 or not names:
        raise NotNarrowable(f"{alias} reads several tables")
    (only,) = inner.parts
    values = [inner.output(name).copy().as_(name, quoted=True) for name in names]
    return exp.select(*values).distinct().from_(ever(inner, only)).subquery(alias)
