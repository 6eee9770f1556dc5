"""What `goldfeed describe` and `goldfeed docs build` do."""

from __future__ import annotations

import shutil
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipeline import show
from pipeline.catalog.facts import Facts, add_held, facts_of
from pipeline.catalog.pages import index_page, table_page
from pipeline.clock import Clock
from pipeline.commands.base import reading
from pipeline.errors import UsageError
from pipeline.project.graph import Graph
from pipeline.project.lineage import lineage_of
from pipeline.project.project import Project
from pipeline.warehouse.ledger import table_states

FOLDER = "catalog"


def _gathered(project: Project, names: list[str]) -> list[Facts]:
    """The facts of some tables; with what the warehouse holds, if there is one."""
    lineage = lineage_of(project)
    found = [facts_of(project, lineage, name) for name in names]
    if project.settings.warehouse.exists():
        with reading(project.settings) as database:
            states = table_states(database)
            built: dict[str, Any] = dict(database.rows("SELECT table_name, built_at FROM ledger.tables"))
            for facts in found:
                name = facts["table"]
                add_held(database, facts, states.get(name), built.get(name), profiled=True)
    return found


# ---------------------------------------------------------------- describe
def describe(project: Project, table: str, *, json_out: bool) -> None:
    """Show one table: what it is, its columns with their profile, its contract, its lineage."""
    facts = _gathered(project, [_named(project.graph, table)])[0]
    if json_out:
        show.print_json(facts)
        return
    out = show.out()
    for name in ("table", "description", "kind", "file", "key", "surrogate_key", "foreign_keys", "rows", "built_at"):
        if facts[name] not in (None, {}, []):
            out.print(f"{name.replace('_', ' ')}: {_told(facts[name])}", markup=False, highlight=False, soft_wrap=True)
    for name in ("upstream", "downstream"):
        out.print(f"{name}: {_told(facts[name]) or 'none'}", markup=False, highlight=False, soft_wrap=True)
    contract = facts["contract"]
    if contract:
        words = f"{contract['file']}, {len(contract['checks'])} checks"
        out.print(f"contract: {words}", markup=False, highlight=False, soft_wrap=True)
    names = ("column", "type", "description", "personal", "made of", "blank %", "distinct", "least", "most")
    out.print(show.table(None, names, [_row(column) for column in facts["columns"]]))


def _named(graph: Graph, table: str) -> str:
    """The full name of a table. Raises UsageError when there is none, or several, of that name."""
    if table in graph.order:
        return table
    found = [name for name in graph.order if name.partition(".")[2] == table]
    if len(found) == 1:
        return found[0]
    near = found or get_close_matches(table, graph.order, 3, 0.4)
    what = f"{table} is the name of several tables" if found else f"there is no table {table}"
    raise UsageError(what, where="describe", do=f"try {', '.join(near)}" if near else "`goldfeed status` lists them")


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} -> {part}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _row(column: dict[str, Any]) -> tuple[Any, ...]:
    profile = column.get("profile") or {}
    personal = f"{column['pii']}{', masked' if column['masked'] else ''}" if column["pii"] else None
    made = ", ".join(edge["column"] for edge in column["from"])
    held = [profile.get(name) for name in ("null_percent", "distinct_about", "min", "max")]
    return column["name"], column["type"], column["description"], personal, made, *held


# ---------------------------------------------------------------- docs build
def build_docs(project: Project, *, json_out: bool) -> None:
    """Write the catalog into published/catalog/: beside, then put in place of the old one."""
    published = project.settings.published
    graph = project.graph
    tables = _gathered(project, list(graph.order))
    beside, place, old = (published / name for name in (f".{FOLDER}.new", FOLDER, f".{FOLDER}.old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    beside.mkdir(parents=True)
    _write(beside, project, tables)
    if place.exists():
        place.rename(old)
    beside.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    if json_out:
        show.print_json({"folder": str(place), "tables": len(tables)})
    else:
        show.out().print(f"{len(tables)} tables: open {place / 'index.html'}", highlight=False, soft_wrap=True)


def _write(folder: Path, project: Project, tables: list[Facts]) -> None:
    graph = project.graph
    inputs = {name: graph.inputs(name) for name in graph.order}
    pages = {"index.html": index_page(project.flow, tables, inputs, f"{Clock().now():%Y-%m-%d %H:%M}")}
    for facts in tables:
        name = facts["table"]
        near = graph.upstream([name]) | graph.downstream([name])
        pages[f"{name}.html"] = table_page(
            project.flow, facts, {one: inputs[one] for one in graph.order if one in near}
        )
    for style in ("style.css", "search.js"):
        pages[style] = (files("pipeline.catalog") / style).read_text(encoding="utf-8")
    for page, text in pages.items():
        (folder / page).write_text(text, encoding="utf-8")
