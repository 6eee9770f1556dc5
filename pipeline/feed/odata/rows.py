"""One statement for the rows of an answer: chosen, ordered and cut in DuckDB, and written as JSON by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.feed.odata.chosen import conditions, fields_with, rows_with
from pipeline.feed.odata.expands import expanded
from pipeline.feed.odata.jsontext import Format
from pipeline.feed.odata.layout import Layout, is_simple
from pipeline.feed.odata.model import numbered
from pipeline.feed.odata.order import Item, beginning, bound, items_of
from pipeline.feed.odata.scope import Context, Field, Scope, Shape
from pipeline.feed.odata.tree import Options
from pipeline.feed.odata.types import INT64
from pipeline.sql import quoted

NUMBER = " row"  # a name that no column read by OData can have


@dataclass(frozen=True)
class Page:
    """What to cut out of the ordered rows. `first`: the values of the first row, or None for the beginning."""

    rows: int
    skip: int = 0
    first: tuple[str | None, ...] | None = None


def fitting(shape: Shape, layout: Layout) -> Shape:
    """The shape with a key to page by: rows whose declared key is not one are numbered."""
    if layout is not Layout.LOOSE:
        return shape
    relation = numbered(shape.relation, NUMBER)
    return replace(
        shape, relation=relation, key=(NUMBER,), fields={**shape.fields, NUMBER: Field(NUMBER, INT64, nullable=False)}
    )


def counting(context: Context, shape: Shape, options: Options) -> str:
    """The statement that counts all rows asked for, whatever the page."""
    scope = Scope(context, shape)
    where = " AND ".join(conditions(scope, options)) or "true"
    return f"SELECT count(*) FROM {scope.source} WHERE {where}"


def paging(
    context: Context, shape: Shape, options: Options, page: Page, style: Format, layout: Layout | None
) -> tuple[str, int]:
    """The statement for a page, and how many values say where the next begins.

    Its columns: the row's JSON with a comma after it, then the texts of what the rows are sorted by.
    """
    scope = Scope(context, shape)
    where = conditions(scope, options)
    items = items_of(scope, options.order, shape.key)
    in_order = layout is Layout.SORTED and not options.order and not scope.joins and is_simple(shape.relation)
    in_order = in_order and all("SELECT" not in condition.upper() for condition in where)
    if page.first is not None and items:
        where += [bound(context, items[0], page.first[0] if page.first else None)]
        where += [f"({beginning(context, items, page.first)})"]
    cut = f"LIMIT {page.rows}" + (f" OFFSET {page.skip}" if page.skip else "")
    chosen = " AND ".join(where) or "true"
    if in_order and not options.expand:
        return f"SELECT {_columns(scope, options, style, items)} FROM {scope.source} WHERE {chosen} {cut}", len(items)
    order = "" if in_order or not items else f" ORDER BY {', '.join(item.by() for item in items)}"
    inner = rows_with(scope, items)
    page_of_rows = Shape(f"({inner} WHERE {chosen}{order} {cut})", fields_with(scope), (), shape.entity)
    return _written(context, page_of_rows, options, style, items), len(items)


def _columns(scope: Scope, options: Options, style: Format, items: Sequence[Item]) -> str:
    """A row's JSON with a comma after it, then the texts of what the rows are sorted by."""
    texts = "".join(f", {_text(item.sql, number)}" for number, item in enumerate(items))
    return f"{expanded(scope, options, style, ',')}{texts}"


def _written(context: Context, page: Shape, options: Options, style: Format, items: Sequence[Item]) -> str:
    outer = Scope(context, page)
    placed = [replace(item, sql=f"{outer.alias}.{quoted(f' {number}')}") for number, item in enumerate(items)]
    columns = _columns(outer, replace(options, compute=()), style, placed)
    order = ", ".join(item.by() for item in placed)
    ordered = f" ORDER BY {order}" if order else ""
    return f"SELECT {columns} FROM {outer.source}{ordered}"


def _text(sql: str, number: int) -> str:
    return f"CAST({sql} AS VARCHAR) AS {quoted(f'_{number}')}"
