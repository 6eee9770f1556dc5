"""The order of the rows of an answer, and where in it a page begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.feed.odata.expressions import Expressions
from pipeline.feed.odata.refusals import unsupported, wrong
from pipeline.feed.odata.scope import Context, Scope
from pipeline.feed.odata.tree import Sort
from pipeline.feed.odata.types import Type


@dataclass(frozen=True)
class Item:
    """One thing to sort by: SQL, its type, the way."""

    sql: str
    type: Type
    descending: bool = False
    nullable: bool = True

    def by(self, sql: str = "") -> str:
        """For ORDER BY: null is less than anything."""
        way = "DESC NULLS LAST" if self.descending else "ASC NULLS FIRST"
        return f"{sql or self.sql} {way}"


def items_of(scope: Scope, sorts: Sequence[Sort], key: Sequence[str]) -> list[Item]:
    """What $orderby names, then the key, so that the order is one order."""
    maker, found = Expressions(scope), list[Item]()
    for sort in sorts:
        value = maker.value(sort.node)
        if value.type is None or value.known:
            continue  # a constant orders nothing
        if value.kind in ("binary", "span"):
            raise unsupported(f"$orderby by a {value.type.name}")
        found.append(Item(value.sql, value.type, sort.descending, value.nullable))
    named = {item.sql for item in found}
    for name in key:
        value = scope.value((name,))
        assert value.type
        if value.sql not in named:
            found.append(Item(value.sql, value.type, False, value.nullable))
    return found


def beginning(context: Context, items: Sequence[Item], first: Sequence[str | None]) -> str:
    """The condition for the rows from `first` on, that row included; its values as texts. In words that zone maps read."""
    if len(items) != len(first):
        raise wrong("$skiptoken does not belong to this address", "follow the @odata.nextLink as it came")
    same, ways = list[str](), list[str]()
    for item, text in zip(items, first, strict=True):
        place = None if text is None else _place(context, item, text)
        if after := _after(item, place):
            ways.append(" AND ".join([*same, after]))
        same.append(f"{item.sql} IS NULL" if place is None else f"{item.sql} = {place}")
    ways.append(" AND ".join(same))
    return " OR ".join(f"({way})" for way in ways)


def _after(item: Item, place: str | None) -> str:
    if place is None:
        return "" if item.descending else f"{item.sql} IS NOT NULL"
    if not item.descending:
        return f"{item.sql} > {place}"
    return f"({item.sql} < {place} OR {item.sql} IS NULL)" if item.nullable else f"{item.sql} < {place}"


def bound(context: Context, item: Item, text: str | None) -> str:
    """The coarse condition on the first item alone, by which DuckDB skips the parts of files that come before."""
    if text is None or item.descending or item.nullable:
        return "true"
    return f"{item.sql} >= {_place(context, item, text)}"


def _place(context: Context, item: Item, text: str) -> str:
    """The value of a token, bound. A decimal is as fine as it was written: what calculated it knows no scale."""
    kind = item.type.sql
    if item.type.name == "Edm.Decimal" and len(text) < 40:
        kind = f"DECIMAL(38,{min(len(text.partition('.')[2]), 38)})"
    return f"CAST({context.bind(text)} AS {kind})"
