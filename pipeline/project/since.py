"""From when on the changed rows of a table joined by a range match otherwise than before.

Of `o.ordered_at >= c.valid_from AND o.ordered_at < c.valid_to` each row of c covers a span of o's times. Where the
spans before and after the change have the same ends, for rows that say the same, the same rows match. So nothing
before the first end that is on one side alone is matched otherwise: a version that ends today leaves last year alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from pipeline.sql import quoted

_LOW, _HIGH = (exp.GT, exp.GTE), (exp.LT, exp.LTE)


@dataclass(frozen=True)
class Span:
    """A range of a join: `value` of another source lies between ends of the joined one.

    `statement` sets the variable `name` to the first value that is matched otherwise than before; the engine
    then knows it when it plans, and skips what lies before.
    """

    value: exp.Expr
    name: str
    statement: str

    @property
    def owner(self) -> str:
        """The alias of the source that the value is of."""
        return next(column.table for column in self.value.find_all(exp.Column))

    @property
    def since(self) -> exp.Expr:
        """The first value, in SQL; NULL if there is none."""
        return exp.func("getvariable", exp.Literal.string(self.name), dialect="duckdb")


def span_of(on: exp.Expr, alias: str, said: Sequence[str], came: str, went: str) -> Span | None:
    """The range by which a source is joined; None where the condition says more than equalities and one range.

    Args:
        said: the source's columns that the SELECT names outside the join.
        came, went: the temporary relations with the rows of the source that a change added and removed.
    """
    lows, highs, equal = list[tuple[exp.Expr, exp.Expr]](), list[tuple[exp.Expr, exp.Expr]](), set[str]()
    for part in on.flatten() if isinstance(on, exp.And) else [on]:
        part = part.unnest() if isinstance(part, exp.Paren) else part
        if not any(column.table == alias for column in part.find_all(exp.Column)):
            continue
        if isinstance(part, exp.EQ) and _is_pair(part, alias):
            equal |= {column.name for column in part.find_all(exp.Column) if column.table == alias}
            continue
        compared = _compared(part, alias)
        if compared is None:
            return None
        (lows if compared[2] else highs).append(compared[:2])
    if len(lows) != 1 or len(highs) > 1 or len({value for value, _ in (*lows, *highs)}) != 1:
        return None
    ends = lows[0][1], highs[0][1] if highs else None
    first = _first_difference(ends, alias, sorted({*equal, *said}), {came: 1, went: -1}).sql("duckdb")
    name = f"since {hashlib.sha256(first.encode()).hexdigest()[:12]}"
    return Span(lows[0][0], name, f"SET VARIABLE {quoted(name)} = ({first})")


def _is_pair(part: exp.EQ, alias: str) -> bool:
    sides = [side.table for side in (part.left, part.right) if isinstance(side, exp.Column)]
    return len(sides) == 2 and sides.count(alias) == 1


def _compared(part: exp.Expr, alias: str) -> tuple[exp.Expr, exp.Expr, bool] | None:
    """(the other source's value, the joined source's end, whether that is the lower end) of one comparison."""
    if not isinstance(part, (*_LOW, *_HIGH)):
        return None
    owners = [{column.table for column in side.find_all(exp.Column)} for side in (part.left, part.right)]
    if owners[1] == {alias} and len(owners[0]) == 1 and owners[0] != {alias}:
        return part.left, part.right, isinstance(part, _LOW)
    if owners[0] == {alias} and len(owners[1]) == 1 and owners[1] != {alias}:
        return part.right, part.left, isinstance(part, _HIGH)
    return None


def _first_difference(
    ends: tuple[exp.Expr, exp.Expr | None], alias: str, same: Sequence[str], sides: Mapping[str, int]
) -> exp.Select:
    """A SELECT of the first end that is not the same on both sides, among rows that say the same; NULL if there is none.

    Rows whose ends are blank or the wrong way round match nothing and are left out.
    """
    low, high = ends
    keys = [f"k{number}" for number in range(len(same))]
    there = exp.LTE(this=low.copy(), expression=high.copy()) if high else exp.Not(this=exp.Is(this=low.copy(), expression=exp.null()))
    steps = []
    for relation, sign in sides.items():
        for side, end in enumerate((low, high)):
            if end is not None:
                row = [exp.column(name, table=alias, quoted=True).as_(key) for name, key in zip(same, keys, strict=True)]
                row += [end.copy().as_("e"), exp.Literal.number(side).as_("side"), exp.Literal.number(sign).as_("s")]
                source = exp.to_table(f'temp."{relation}"', alias=alias, dialect="duckdb")
                steps.append(exp.select(*row).from_(source).where(there.copy()))
    net = exp.select("e").from_(exp.union(*steps, distinct=False).subquery("ends"))
    return exp.select("min(e)").from_(net.group_by(*keys, "e", "side").having("sum(s) <> 0").subquery("net"))
