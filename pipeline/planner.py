"""What is there + what is declared -> the tasks to do, each with its reason. Pure: reads and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.landing.scan import FoundFile
from pipeline.project.graph import Graph
from pipeline.warehouse.ledger import KEY_CHANGED, TableState


@dataclass(frozen=True)
class PlannedTask:
    """One step of a run on one table. `action`: ingest, replay, build, check or publish."""

    action: str
    table: str
    reason: str
    files: tuple[FoundFile, ...] = ()
    refresh: bool = False
    again: bool = False

    @property
    def name(self) -> str:
        return f"{self.action} {self.table}"

    @property
    def layer(self) -> str:
        return self.table.partition(".")[0]


@dataclass(frozen=True)
class Situation:
    """What the planner looks at.

    states and inputs are the ledger's; `published` is {table: version} of the
    last publication, None if there is none or its folder is gone. `again`: the
    files are held already and read anew; `rebuilt` are then rebuilt whole.
    `replayed`: {table: rows of its quarantine to run again}.
    `unchecked`: tables whose contract must look at them again, and why.
    `remarked`: what is published marks other columns as personal data.
    `damaged`: its files that are not what was written, as far as readers have noticed.
    """

    files: Mapping[str, list[FoundFile]]
    states: Mapping[str, TableState]
    inputs: Mapping[str, Mapping[str, int]]
    published: Mapping[str, int] | None
    selected: set[str] | None = None
    refresh: bool = False
    again: bool = False
    rebuilt: frozenset[str] = frozenset()
    replayed: Mapping[str, int] = field(default_factory=dict)
    unchecked: Mapping[str, str] = field(default_factory=dict)
    remarked: bool = False
    damaged: tuple[str, ...] = ()


def plan(graph: Graph, now: Situation) -> list[PlannedTask]:
    """The tasks, in the order in which to do them; empty if there is nothing to do."""
    tasks: dict[str, PlannedTask] = {}
    started = any(now.files.values()) or bool(now.states)
    for name in graph.order:
        if now.selected is not None and name not in now.selected:
            continue
        task = (
            _source_task(graph, name, now, started)
            if name in graph.sources
            else _model_task(graph, name, now, tasks, started)
        )
        if task is None and name in now.unchecked:
            task = PlannedTask("check", name, now.unchecked[name])
        if task is not None:
            tasks[name] = task
    ordered = sorted(tasks.values(), key=lambda task: task.action != "ingest")
    reason = _publish_reason(graph, now, tasks)
    return [*ordered, PlannedTask("publish", "gold", reason)] if reason else ordered


def _source_task(graph: Graph, name: str, now: Situation, started: bool) -> PlannedTask | None:
    files = tuple(now.files.get(graph.sources[name].name, ()))
    if files:
        size = sum(file.size for file in files)
        if now.again:
            return PlannedTask("ingest", name, f"{len(files)} files are read again from archive/", files, again=True)
        return PlannedTask(
            "ingest", name, f"{len(files)} new file{'s' if len(files) > 1 else ''}, {size:,} bytes", files
        )
    if name in now.replayed:
        return PlannedTask("replay", name, f"{now.replayed[name]:,} rows of quarantine are run again")
    if started and name not in now.states:
        return PlannedTask("ingest", name, "the source is new; no files yet")
    return None


def _model_task(
    graph: Graph, name: str, now: Situation, tasks: Mapping[str, PlannedTask], started: bool
) -> PlannedTask | None:
    if not started:
        return None
    reason = _reason(graph, name, now, tasks)
    refresh = now.refresh or name in now.rebuilt
    return PlannedTask("build", name, reason, refresh=refresh) if reason else None


def _reason(graph: Graph, name: str, now: Situation, tasks: Mapping[str, PlannedTask]) -> str | None:
    state, model = now.states.get(name), graph.models[name]
    if now.refresh:
        return "full refresh asked for"
    if name in now.rebuilt:
        return "asked for by the backfill"
    if state is None:
        return "it was never built"
    if state.fingerprint == KEY_CHANGED:
        return "the key of its tokens has changed"
    if state.fingerprint != model.fingerprint:
        return "its model has changed" if state.fingerprint else "files below it were read again"
    above = [
        table
        for table in model.inputs
        if table in tasks and (tasks[table].files or tasks[table].action in ("build", "replay"))
    ]
    if above:
        return f"{above[0]} gets new rows" if tasks[above[0]].action != "build" else f"{above[0]} is built first"
    seen = now.inputs.get(name, {})
    changed = [table for table in model.inputs if table in now.states and now.states[table].version != seen.get(table)]
    return f"{changed[0]} has changed" if changed else None


def _publish_reason(graph: Graph, now: Situation, tasks: Mapping[str, PlannedTask]) -> str | None:
    gold = graph.layer("gold")
    building = [name for name in gold if name in tasks and tasks[name].action == "build"]
    if building:
        return f"{len(building)} of {len(gold)} gold tables are built"
    held = {name: now.states[name].version for name in gold if name in now.states}
    if held and now.published is None:
        return "nothing is published"
    if held and held != now.published:
        return "gold has changed since the last publication"
    if held and now.damaged:
        return f"published files are damaged: {', '.join(now.damaged)}"
    if any(name in tasks for name in gold):
        return "gold is checked again"
    if held and now.remarked:
        return "other columns are marked as personal data"
    return None
