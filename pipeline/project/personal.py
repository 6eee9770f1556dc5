"""Personal data must not reach gold in the clear: what the sources tag as `pii` is followed through the SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipeline.errors import ProjectError
from pipeline.project.graph import Graph
from pipeline.project.kept import kept
from pipeline.project.lineage import Column, Edge, Lineage, line_of_column, read_lineage
from pipeline.project.made_of import EVERY
from pipeline.project.model import Model

Personal = Mapping[str, Mapping[str, Column]]  # gold table -> column that holds personal data -> what it is made of
_MASK_FOR = {"name": "mask_name", "email": "mask_email", "phone": "mask_phone"}


def personal_data(graph: Graph, folder: Path | None = None) -> Personal:
    """The gold columns that hold personal data, masked or clear; with a `folder`, kept there.

    Raises ProjectError, with file, line and the way it took, for one that holds it
    in the clear without `pii: {column: clear}` in its model's header.
    """
    tags = [(name, column, spec.pii) for name, source in graph.sources.items() for column, spec in source.columns.items()]
    models = [(model.name, model.inputs, model.header, model.text) for model in graph.models.values()]
    found = kept(folder and folder / "personal.json", repr((tags, models)), lambda: _as_json(_read(graph)))
    return {table: {name: _column(one) for name, one in columns.items()} for table, columns in found.items()}


def _as_json(found: Personal) -> dict[str, dict[str, dict[str, Any]]]:
    return {table: {name: asdict(one) for name, one in columns.items()} for table, columns in found.items()}


def _column(held: dict[str, Any]) -> Column:
    return Column(**{**held, "edges": tuple(Edge(**edge) for edge in held["edges"])})


def _read(graph: Graph) -> Personal:
    lineage = read_lineage(graph, personal_only=True)
    found: dict[str, dict[str, Column]] = {}
    for model in graph.models.values():
        columns = lineage.columns[model.name]
        _check_header(model, columns)
        if model.layer == "gold":
            held = {name: column for name, column in columns.items() if column.pii}
            for column in held.values():
                if column.name != EVERY or not _told(model):
                    _check(model, column, lineage)
            found[model.name] = held
    return found


def _told(model: Model) -> bool:
    """Whether a Polars model says in its header which columns it has; one it does not tell of is not published."""
    return model.is_python and bool(model.header.columns or model.header.lineage)


def marks(personal: Personal, model: Model, column: str) -> dict[str, object]:
    """What the manifest says of a column: `pii` and `masked`, or nothing if it holds no personal data."""
    columns, told = personal.get(model.name, {}), {*model.header.columns, *model.header.lineage}
    held = columns.get(column) or (columns.get(EVERY) if column not in told else None)
    return {"pii": held.pii, "masked": held.masked} if held is not None else {}


def check_told(personal: Personal, model: Model, columns: Iterable[str]) -> None:
    """Raises ProjectError for a column of a Polars model that its header does not tell of, if it may hold personal data."""
    every = personal.get(model.name, {}).get(EVERY)
    told = {*model.header.columns, *model.header.lineage, *model.header.pii}
    for column in columns:
        if every is not None and not every.masked and model.is_python and column not in told:
            raise ProjectError(
                f"{column} may hold personal data ({every.pii}): its function reads some, and the header does not tell of it",
                where=str(model.path),
                do=_advice(model, every),
            )


def with_tokens(graph: Graph) -> list[str]:
    """The tables whose models make tokens with the key."""
    return [model.name for model in graph.models.values() if model.said.tokens]


def _check_header(model: Model, columns: Mapping[str, Column]) -> None:
    for name, word in model.header.pii.items():
        if name not in columns and EVERY not in columns:
            near = get_close_matches(name, columns, 1, 0.5)
            raise ProjectError(
                f"pii names {name!r}, which is no column of {model.name}",
                where=f"{model.path}:1",
                do=f"did you mean {near[0]!r}?" if near else "correct it",
            )
        if word == "masked" and not model.is_python:
            raise ProjectError(
                f"pii says that {name} is masked, but in SQL a masking function shows that",
                where=f"{model.path}:1",
                do="use mask_text(...) or another of docs/personal-data.md",
            )


def _check(model: Model, column: Column, lineage: Lineage) -> None:
    if column.masked or model.header.pii.get(column.name) == "clear":
        return
    shown = "any column" if column.name == EVERY else column.name
    raise ProjectError(
        f"{shown} of {model.name} shows personal data ({column.pii}) in the clear: {' -> '.join(_way(column, lineage))}",
        where=f"{model.path}:{line_of_column(model, column.name)}",
        do=_advice(model, column),
    )


def _advice(model: Model, column: Column) -> str:
    if model.is_python:
        return (
            "say in its header which columns it is made of (`lineage: {column: [table.column]}`), or `pii: {column: "
            "masked}` if the function masks it"
        )
    mask = _MASK_FOR.get((column.pii or "").partition(", ")[0], "mask_text")
    return (
        f"mask it with {mask}(...) or pii_token(...), leave it out, or write `pii: {{{column.name}: clear}}` in the header "
        "for roles that may see it"
    )


def _way(column: Column, lineage: Lineage) -> list[str]:
    """The way by which personal data comes in the clear, from the source down."""
    steps = [f"{column.table}.{column.name}"]
    at = column
    while at.edges:
        above = [(edge, lineage.get(edge.table, edge.column)) for edge in at.edges if edge.use in ("copy", "transform")]
        at = next(source for _, source in above if source is not None and source.pii and not source.masked)
        steps.append(f"{at.table}.{at.name}")
    return steps[::-1]
