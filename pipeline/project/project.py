"""A project: a folder with goldfeed.yml and sql/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ProjectError
from pipeline.project.contract import SUFFIX, find_contracts
from pipeline.project.graph import LAYERS, Graph, build_graph
from pipeline.project.model import Model, read_model
from pipeline.project.source import Source, read_source
from pipeline.project.yamlfile import checked, read_yaml
from pipeline.settings import Settings, load_settings

FLOW = "shop"


class ProjectFile(BaseModel):
    """The keys of goldfeed.yml."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(FLOW, description="The name of the flow: all tables of the project")
    settings: dict[str, Any] = Field(default_factory=dict, description="Values of docs/settings.md")


@dataclass(frozen=True)
class Project:
    """Everything the user wrote, read and checked."""

    folder: Path
    flow: str
    settings: Settings
    graph: Graph
    contracts: dict[str, Path]


def load_project(folder: Path, *, home: Path | None, environ: Mapping[str, str]) -> Project:
    """Read goldfeed.yml and sql/. Raises ProjectError with file and line."""
    file, settings = load_file(folder, home=home, environ=environ)
    sources, models = _read_tables(folder / "sql")
    return Project(
        folder=folder,
        flow=file.name,
        settings=settings,
        graph=build_graph(sources, models),
        contracts=find_contracts(folder / "sql"),
    )


def load_file(folder: Path, *, home: Path | None, environ: Mapping[str, str]) -> tuple[ProjectFile, Settings]:
    """goldfeed.yml alone: enough for commands that need no tables."""
    path = folder / "goldfeed.yml"
    if not path.is_file():
        raise ProjectError(
            "there is no goldfeed.yml here", where=str(folder), do="go to the project's folder or give --project DIR"
        )
    text = path.read_text(encoding="utf-8")
    file = checked(ProjectFile, read_yaml(text, path), text, path)
    return file, load_settings(folder, home=home, given=file.settings, environ=environ)


def _read_tables(sql: Path) -> tuple[list[Source], list[Model]]:
    if not sql.is_dir():
        raise ProjectError("there is no folder sql/", where=str(sql.parent), do="create it: see docs/sources.md")
    sources = [read_source(path) for path in sorted((sql / "bronze").glob("*.yml")) if not path.name.endswith(SUFFIX)]
    paths = [path for layer in LAYERS[1:] for path in sorted((sql / layer).glob("*")) if path.suffix in (".sql", ".py")]
    if not sources:
        raise ProjectError("there is no source", where=str(sql / "bronze"), do="add one: see docs/sources.md")
    return sources, [read_model(path) for path in paths]
