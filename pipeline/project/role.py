"""Roles: which tables, columns and rows of gold a reader sees, as goldfeed.yml declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ProjectError
from pipeline.project.graph import Graph
from pipeline.project.model import Model
from pipeline.project.source import Texts
from pipeline.project.yamlfile import line_of

BUILT_IN = ("admin", "reader")
_SCD2 = ("valid_from", "valid_to", "is_current")


class RoleFile(BaseModel):
    """The keys of a role in goldfeed.yml."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field("", description="One sentence on who it is for")
    tables: Texts = Field(default_factory=list, description="Gold tables it sees, `dim_*` too; default: all")
    columns: dict[str, Texts] = Field(
        default_factory=dict, description="table: the columns it sees of it; default: all"
    )
    rows: dict[str, str] = Field(
        default_factory=dict, description="table: SQL condition on its columns; `$user` is the reader's name"
    )
    pii: Literal["masked", "clear"] = Field(
        "masked", description="`clear`: also columns with personal data that are not masked"
    )


def bare(table: str) -> str:
    """`gold.fact_orders` -> `fact_orders`."""
    return table.removeprefix("gold.")


def is_among(table: str, patterns: Iterable[str]) -> bool:
    """Whether a gold table is meant by one of the names or patterns."""
    return any(fnmatchcase(table, bare(pattern)) for pattern in patterns)


# ---------------------------------------------------------------- checked when the project is loaded
def check_roles(roles: Mapping[str, RoleFile], graph: Graph, path: Path) -> None:
    """Refuse names that do not exist. Raises ProjectError with file, line and the nearest name."""
    models = {bare(name): graph.models[name] for name in graph.layer("gold")}
    for name, role in roles.items():
        if name in BUILT_IN:
            raise _wrong(path, (name,), f"the role {name!r} is built in", "choose another name")
        for pattern in role.tables:
            if not any(is_among(table, [pattern]) for table in models):
                raise _unknown(path, (name, "tables"), "gold table", bare(pattern), models)
        for table, columns in role.columns.items():
            known = _known_columns(path, (name, "columns", table), models, table)
            for column in columns:
                _must_be(path, (name, "columns", table), column, known)
        for table, text in role.rows.items():
            place = (name, "rows", table)
            known = _known_columns(path, place, models, table)
            from pipeline.project.condition import columns_used, parse_condition  # with the parser, 60 ms

            try:
                used = columns_used(parse_condition(text))
            except ValueError as error:
                raise _wrong(path, place, str(error), "compare columns with constants or $user") from error
            for column in sorted(used):
                _must_be(path, place, column, known)


def _known_columns(path: Path, place: tuple[str, ...], models: Mapping[str, Model], table: str) -> set[str] | None:
    """The columns of a table as far as its SQL names them; None if it does not (a Polars model, a star)."""
    model = models.get(bare(table))
    if model is None:
        raise _unknown(path, place, "gold table", bare(table), models)
    header = model.header
    if model.is_python or "*" in model.outputs:
        return None
    extra = [*header.columns, *header.key, *filter(None, [header.surrogate_key])]
    return {*model.outputs, *extra, *(_SCD2 if header.kind == "scd2" else ())}


def _must_be(path: Path, place: tuple[str, ...], column: str, known: set[str] | None) -> None:
    if known is not None and column not in known:
        raise _unknown(path, place, f"column of {place[-1]}", column, known)


def _unknown(path: Path, place: tuple[str, ...], kind: str, name: str, known: Iterable[str]) -> ProjectError:
    near = get_close_matches(name, sorted(known), 1, 0.5)
    return _wrong(path, place, f"there is no {kind} {name!r}", f"did you mean {near[0]!r}?" if near else "correct it")


def _wrong(path: Path, place: tuple[str, ...], what: str, do: str) -> ProjectError:
    line = line_of(path.read_text(encoding="utf-8"), ("roles", *place))
    return ProjectError(f"role {place[0]}: {what}", where=f"{path}:{line}", do=do)
