"""What the commands about the way of a column do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from rich.tree import Tree

from pipeline import show
from pipeline.errors import UsageError
from pipeline.project.lineage import Column, Lineage, lineage_of
from pipeline.project.made_of import Use
from pipeline.project.project import Project

Next = Callable[[Column], list[tuple[Column, Use]]]


def show_lineage(project: Project, name: str, *, down: bool, json_out: bool) -> None:
    """One column's tree, or a table's columns, each with the columns next to it."""
    lineage = lineage_of(project)
    table, column = _meant(lineage, name)
    beside: Next = _below(lineage) if down else _above(lineage)
    chosen = [lineage.columns[table][column]] if column else list(lineage.columns[table].values())
    if json_out:
        show.print_json(_facts(lineage, table, chosen, beside, down))
    elif column:
        tree = Tree(_label(chosen[0]))
        _grow(tree, chosen[0], beside, set())
        show.out().print(tree, markup=False, highlight=False)
        _print_conditions(lineage, table)
    else:
        names = ("column", "makes" if down else "made of", "how", "personal data")
        show.out().print(show.table(table, names, list(_rows(chosen, beside))))
        _print_conditions(lineage, table)


def _meant(lineage: Lineage, name: str) -> tuple[str, str | None]:
    """The table and column a person means; layers may be left out. Raises UsageError."""
    full = {table.partition(".")[2]: table for table in lineage.columns} | {table: table for table in lineage.columns}
    if name in full:
        return full[name], None
    table, _, column = name.rpartition(".")
    if table not in full:
        near = get_close_matches(name, [*full, *(f"{t}.{c}" for t in full for c in lineage.columns[full[t]])], 1, 0.5)
        raise UsageError(f"there is no table or column {name}", where="lineage", do=_hint(near))
    columns = lineage.columns[full[table]]
    if column not in columns:
        near = get_close_matches(column, columns, 1, 0.4)
        hint = _hint([f"{full[table]}.{near[0]}"]) if near else f"`goldfeed lineage {full[table]}` lists its columns"
        raise UsageError(f"{full[table]} has no column {column}", where="lineage", do=hint)
    return full[table], column


def _hint(near: list[str]) -> str:
    return f"did you mean {near[0]}?" if near else "`goldfeed plan --full-refresh` lists the tables"


def _above(lineage: Lineage) -> Next:
    def found(column: Column) -> list[tuple[Column, Use]]:
        sources = [(lineage.get(e.table, e.column) or Column(e.table, e.column), e.use) for e in column.edges]
        return sorted(sources, key=lambda one: (one[1] == "condition", one[0].table, one[0].name))

    return found


def _below(lineage: Lineage) -> Next:
    return lambda column: lineage.readers(column.table, column.name)


def _label(column: Column, use: str = "") -> str:
    pii = f"  [{column.pii}, {'masked' if column.masked else 'clear'}]" if column.pii else ""
    return f"{column.table}.{column.name}{f'  {use}' if use else ''}{pii}"


def _grow(tree: Tree, column: Column, beside: Next, seen: set[tuple[str, str]]) -> None:
    """Add what is next to a column, and so on; what stands in the tree already is not shown twice."""
    for other, use in beside(column):
        place = (other.table, other.name)
        again = place in seen and bool(beside(other))
        branch = tree.add(_label(other, use) + ("  (see above)" if again else ""))
        if not again:
            seen.add(place)
            _grow(branch, other, beside, seen)


def _rows(columns: list[Column], beside: Next) -> Iterator[tuple[Any, ...]]:
    for column in columns:
        found = beside(column)
        pii = f"{column.pii}, {'masked' if column.masked else 'clear'}" if column.pii else None
        yield (
            column.name,
            "\n".join(f"{other.table}.{other.name}" for other, _ in found) or None,
            "\n".join(use for _, use in found) or None,
            pii,
        )


def _print_conditions(lineage: Lineage, table: str) -> None:
    names = [f"{edge.table}.{edge.column}" for edge in lineage.conditions.get(table, ())]
    if names:
        text = f"Its rows are chosen and grouped by {', '.join(names)}."
        show.out().print(text, markup=False, highlight=False, soft_wrap=True)


def _facts(lineage: Lineage, table: str, chosen: list[Column], beside: Next, down: bool) -> dict[str, Any]:
    """The part of the graph that is reached: its columns, and its edges in the direction of the data."""
    waiting, columns, edges = list(chosen), dict[str, Any](), list[dict[str, str]]()
    while waiting:
        column = waiting.pop()
        here = f"{column.table}.{column.name}"
        if here in columns:
            continue
        columns[here] = {"pii": column.pii, "masked": column.masked}
        for other, use in beside(column):
            there = f"{other.table}.{other.name}"
            edges.append({"from": here if down else there, "to": there if down else here, "use": use})
            waiting.append(other)
    return {
        "table": table,
        "columns": [column.name for column in chosen],
        "reached": columns,
        "edges": edges,
        "conditions": [f"{edge.table}.{edge.column}" for edge in lineage.conditions.get(table, ())],
    }
