"""The facts of a table: what the user wrote, what the warehouse holds, what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.project.contract import read_contract
from pipeline.project.lineage import Lineage
from pipeline.project.project import Project
from pipeline.sql import quoted, table_name
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState

Facts = dict[str, Any]
_SAMPLED = 5_000_000  # rows above which a profile looks at a sample of them
_SUMMARY = ("min", "max", "approx_unique", "null_percentage")


def facts_of(project: Project, lineage: Lineage, name: str) -> Facts:
    """What the project says of a table; its columns have no types before it is built."""
    graph = project.graph
    facts = _source(project, name) if name in graph.sources else _model(project, name)
    for column in facts["columns"]:
        column.update(_way(lineage, name, column["name"]))
    return {
        "table": name,
        "layer": name.partition(".")[0],
        **facts,
        "contract": _contract(project, name),
        "upstream": list(graph.inputs(name)),
        "downstream": graph.readers(name),
        "rows": None,
        "built_at": None,
    }


def _source(project: Project, name: str) -> Facts:
    source = project.graph.sources[name]
    columns = [
        {"name": column, "type": spec.type.upper(), "description": spec.description}
        for column, spec in source.columns.items()
    ]
    return {
        "kind": "source",
        "description": source.description,
        "file": _below(project, source.path),
        "key": source.key,
        "surrogate_key": None,
        "foreign_keys": {},
        "rules": {},
        "columns": columns,
    }


def _model(project: Project, name: str) -> Facts:
    model = project.graph.models[name]
    header = model.header
    names = list(dict.fromkeys([*model.outputs, *header.columns]))
    columns = [{"name": one, "type": None, "description": header.columns.get(one, "")} for one in names]
    return {
        "kind": header.kind,
        "description": header.description,
        "file": _below(project, model.path),
        "key": header.key,
        "surrogate_key": header.surrogate_key,
        "foreign_keys": header.foreign_keys,
        "rules": header.rules,
        "columns": columns,
    }


def _below(project: Project, path: Any) -> str:
    return str(path.relative_to(project.folder)) if path.is_relative_to(project.folder) else path.name


def _way(lineage: Lineage, table: str, column: str) -> Facts:
    """What a column is made of and what is made of it, and whether it holds personal data."""
    found = lineage.get(table, column)
    return {
        "pii": found.pii if found else None,
        "masked": bool(found and found.masked),
        "from": [{"column": f"{e.table}.{e.column}", "use": e.use} for e in found.edges] if found else [],
        "to": [{"column": f"{other.table}.{other.name}", "use": use} for other, use in lineage.readers(table, column)],
    }


def _contract(project: Project, name: str) -> Facts | None:
    path = project.contracts.get(name)
    if path is None:
        return None
    checks = read_contract(name, path).checks
    return {
        "file": _below(project, path),
        "checks": [
            {"name": c.name, "type": c.type, "column": c.column, "dimension": c.dimension, "severity": c.severity}
            for c in checks
        ],
    }


def add_held(database: Database, facts: Facts, state: TableState | None, built_at: Any, *, profiled: bool) -> None:
    """Add what the warehouse holds: types, number of rows, and, with `profiled`, a profile of each column.

    A column with personal data is profiled without its values.
    """
    layer, _, bare = str(facts["table"]).partition(".")
    if state is None:
        return
    held = database.columns(layer, bare)
    declared = {column["name"]: column for column in facts["columns"]}
    unknown: Facts = {"description": "", "pii": None, "masked": False, "from": [], "to": []}
    lineage_columns = {name: f"goldfeed's own: {what}" for name, what in _OWN.items()}
    facts["columns"] = [
        {**unknown, "description": lineage_columns.get(name, ""), **declared.get(name, {}), "name": name, "type": kind}
        for name, kind in held.items()
    ]
    facts["rows"] = int(database.value(f"SELECT count(*) FROM {table_name(facts['table'])}"))
    facts["built_at"] = built_at
    if profiled:
        _profile(database, facts)


_OWN = {"_file_id": "the file", "_line": "its line", "_batch": "the batch", "_loaded_at": "when it was loaded"}


def _profile(database: Database, facts: Facts) -> None:
    sample = f" USING SAMPLE {_SAMPLED} ROWS" if facts["rows"] > _SAMPLED else ""
    names = ", ".join(quoted(column["name"]) for column in facts["columns"])
    found = database.rows(
        f"SELECT column_name, {', '.join(_SUMMARY)} FROM (SUMMARIZE SELECT {names} FROM {table_name(facts['table'])}{sample})"
    )
    profiles: Mapping[str, Any] = {row[0]: row[1:] for row in found}
    for column in facts["columns"]:
        low, high, distinct, blank = profiles[column["name"]]
        hidden = bool(column["pii"])
        column["profile"] = {
            "min": None if hidden else low,
            "max": None if hidden else high,
            "distinct_about": distinct,
            "null_percent": None if blank is None else float(blank),
        }
