"""Which rows: $filter and $search as conditions, with the names that $compute gives."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.feed.odata.expressions import Expressions
from pipeline.feed.odata.order import Item
from pipeline.feed.odata.refusals import wrong
from pipeline.feed.odata.scope import Field, Scope
from pipeline.feed.odata.searches import search_sql
from pipeline.feed.odata.tree import Options
from pipeline.sql import quoted


def conditions(scope: Scope, options: Options) -> list[str]:
    """What $filter and $search ask for; $compute is made known first."""
    compute(scope, options)
    found = list[str]()
    if options.filter is not None:
        found.append(Expressions(scope).condition(options.filter))
    if options.search is not None:
        found.append(search_sql(options.search, scope))
    return found


def compute(scope: Scope, options: Options) -> None:
    """The names of $compute become values of the scope."""
    for alias, node in options.compute:
        taken = scope.shape.entity.navigations if scope.shape.entity else {}
        if alias in scope.shape.fields or alias in scope.computed or alias in taken:
            raise wrong(f"the name {alias[:60]!r} is taken")
        value = Expressions(scope).value(node)
        if value.type is None:
            raise wrong(f"{alias[:60]} would be nothing but null")
        scope.computed[alias] = value


def rows_with(scope: Scope, items: Sequence[Item]) -> str:
    """The rows of the page with what was computed and what they are sorted by."""
    columns = [f"{scope.alias}.*"]
    columns += [f"{value.sql} AS {quoted(name)}" for name, value in scope.computed.items()]
    columns += [f"{item.sql} AS {quoted(f' {number}')}" for number, item in enumerate(items)]
    return f"SELECT {', '.join(columns)} FROM {scope.source}"


def fields_with(scope: Scope) -> dict[str, Field]:
    """The columns of `rows_with`, those of the order left out."""
    computed = {name: Field(name, value.type, value.nullable) for name, value in scope.computed.items() if value.type}
    return {**scope.shape.fields, **computed}
