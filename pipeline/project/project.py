"""A project: a folder with goldfeed.yml and sql/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ProjectError, UsageError
from pipeline.project.channel import ChannelFile
from pipeline.project.contract import SUFFIX, find_contracts
from pipeline.project.flow import Flow, FlowFile
from pipeline.project.graph import LAYERS, Graph, build_graph, select
from pipeline.project.metric import AT_MOST, MetricFile, MetricName
from pipeline.project.model import Model, read_models
from pipeline.project.modeltest import SUFFIX as TESTS
from pipeline.project.personal import Personal, personal_data
from pipeline.project.retention import RetentionFile
from pipeline.project.role import RoleFile, check_roles
from pipeline.project.source import Source, read_source
from pipeline.project.yamlfile import checked, line_of, read_yaml
from pipeline.settings import Settings, load_settings

FLOW = "shop"


class ProjectFile(BaseModel):
    """The keys of goldfeed.yml."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # a secret may stand in the wrong place

    name: str = Field(FLOW, description="The name of the project, and of its flow if it declares none")
    flows: dict[str, FlowFile] = Field(
        default_factory=dict, description="Groups of tables with a schedule, by name; default: one with all tables"
    )
    notify: dict[str, ChannelFile] = Field(default_factory=dict, description="Channels that hear of the flows, by name")
    metrics: dict[MetricName, MetricFile] = Field(
        default_factory=dict, max_length=AT_MOST, description="Figures of the business for the metrics, by name"
    )
    roles: dict[str, RoleFile] = Field(
        default_factory=dict, description="What readers see, by role; `admin` and `reader` are built in"
    )
    retention: RetentionFile = Field(
        default_factory=RetentionFile, description="How long what is no longer needed is kept"
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="Values of docs/settings.md")


@dataclass(frozen=True)
class Project:
    """Everything the user wrote, read and checked."""

    folder: Path
    flow: str
    settings: Settings
    graph: Graph
    contracts: dict[str, Path]
    flows: dict[str, Flow]
    channels: dict[str, ChannelFile]
    metrics: dict[str, MetricFile]
    roles: dict[str, RoleFile]
    retention: RetentionFile
    personal: Personal = field(default_factory=dict)


def load_project(folder: Path, *, home: Path | None, environ: Mapping[str, str]) -> Project:
    """Read goldfeed.yml and sql/. Raises ProjectError with file and line."""
    file, settings = load_file(folder, home=home, environ=environ)
    kept = settings.scratch / "read"
    sources, models = _read_tables(folder / "sql", kept)
    graph = build_graph(sources, models)
    check_roles(file.roles, graph, folder / "goldfeed.yml")
    return Project(
        folder=folder,
        flow=file.name,
        settings=settings,
        graph=graph,
        contracts=find_contracts(folder / "sql"),
        flows=_flows(file, graph, folder / "goldfeed.yml"),
        channels=file.notify,
        metrics=file.metrics,
        roles=file.roles,
        personal=personal_data(graph, kept),
        retention=file.retention,
    )


def _flows(file: ProjectFile, graph: Graph, path: Path) -> dict[str, Flow]:
    """The flows with their tables; one without `select` takes what no other takes."""
    declared = file.flows or {file.name: FlowFile(schedule="0 2 * * *", on_arrival=5)}
    _check_channels(file, path)
    chosen = {name: _tables_of(name, spec, graph, path) for name, spec in declared.items() if spec.select}
    taken = set().union(*chosen.values())
    rest = frozenset(graph.order) - taken
    flows = {name: Flow(name, spec, chosen.get(name, rest)) for name, spec in declared.items()}
    for flow in flows.values():
        _check_tables(flow, graph, path)
    return flows


def _check_tables(flow: Flow, graph: Graph, path: Path) -> None:
    """A flow has tables; what it says of single ones is of its own; freshness and deadlines are of gold."""
    text = path.read_text(encoding="utf-8")
    if not flow.tables:
        where, why = f"{path}:{line_of(text, ('flows', flow.name))}", "other flows select every table"
        raise ProjectError(f"the flow {flow.name} has no tables: {why}", where=where, do="give it a select:")
    for name, spec in flow.spec.tables.items():
        where = f"{path}:{line_of(text, ('flows', flow.name, 'tables', name))}"
        if name not in flow.tables:
            near = get_close_matches(name, flow.tables, 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else "see `goldfeed plan`"
            raise ProjectError(f"the flow {flow.name} has no table {name}", where=where, do=advice)
        if not name.startswith("gold.") and (spec.freshness or spec.deadline):
            raise ProjectError(
                f"{name} has no readers, so it has no freshness and no deadline",
                where=where,
                do="give them to a gold table",
            )
        if spec.deadline is not None and spec.deadline.column is not None:
            _check_column(graph.models[name], spec.deadline.column, where)


def _check_column(model: Model, column: str, where: str) -> None:
    """A deadline's column is one of the model's, as far as its SQL names them."""
    names = [] if model.has_star else model.outputs
    own = [model.header.surrogate_key] if model.header.surrogate_key else []
    if names and column not in [*names, *own] and model.header.kind != "scd2":
        near = get_close_matches(column, names, 1, 0.5)
        advice = f"did you mean {near[0]}?" if near else f"{model.name} has {', '.join(names)}"
        raise ProjectError(f"{model.name} has no column {column}", where=where, do=advice)


def _check_channels(file: ProjectFile, path: Path) -> None:
    for name, spec in file.flows.items():
        for channel in spec.notify or ():
            if channel not in file.notify:
                line = line_of(path.read_text(encoding="utf-8"), ("flows", name, "notify"))
                near = get_close_matches(channel, file.notify, 1, 0.5)
                advice = f"did you mean {near[0]!r}?" if near else "add it under notify:"
                raise ProjectError(f"there is no channel {channel!r}", where=f"{path}:{line}", do=advice)


def _tables_of(name: str, spec: FlowFile, graph: Graph, path: Path) -> frozenset[str]:
    try:
        return frozenset(select(graph, spec.select))
    except UsageError as error:
        line = line_of(path.read_text(encoding="utf-8"), ("flows", name, "select"))
        what = error.what.replace("--select ", "")
        raise ProjectError(what, where=f"{path}:{line}", do=error.do) from error


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


def _read_tables(sql: Path, kept: Path) -> tuple[list[Source], list[Model]]:
    if not sql.is_dir():
        raise ProjectError("there is no folder sql/", where=str(sql.parent), do="create it: see docs/sources.md")
    sources = [read_source(path) for path in sorted((sql / "bronze").glob("*.yml")) if not path.name.endswith((SUFFIX, TESTS))]
    paths = [path for layer in LAYERS[1:] for path in sorted((sql / layer).glob("*")) if path.suffix in (".sql", ".py")]
    if not sources:
        raise ProjectError("there is no source", where=str(sql / "bronze"), do="add one: see docs/sources.md")
    return sources, read_models(paths, kept)
