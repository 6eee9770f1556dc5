"""How each planned task would go about it, and how many rows that may be; for `goldfeed plan`, changing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.errors import NotNarrowable
from pipeline.planner import PlannedTask
from pipeline.project.graph import ROW_KINDS
from pipeline.project.model import Model
from pipeline.project.narrowings import narrowing
from pipeline.project.project import Project
from pipeline.steps.kinds.incremental import not_incremental, table_columns
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import TableState, table_states

_BYTES_A_ROW = 80.0  # where no file of a source has come yet


@dataclass(frozen=True)
class Outlook:
    """`how`: the whole table, the new rows, the touched keys, each with what limits it. `rows` is an estimate."""

    how: str
    rows: int | None


@dataclass
class _Ground:
    project: Project
    database: Database | None
    states: Mapping[str, TableState]
    tasks: Mapping[str, PlannedTask]
    coming: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)


def forecast(project: Project, database: Database | None, tasks: Sequence[PlannedTask]) -> dict[str, Outlook]:
    """Task name -> its outlook."""
    states = table_states(database) if database else {}
    ground = _Ground(project, database, states, {task.table: task for task in tasks})
    return {task.name: _outlook(ground, task) for task in tasks}


def _outlook(ground: _Ground, task: PlannedTask) -> Outlook:
    if task.action == "ingest":
        rows = round(sum(file.size for file in task.files) / _bytes_a_row(ground, task))
        ground.coming[task.table] = rows
        return Outlook("the files anew" if task.again else "the new files", rows)
    if task.action == "replay":
        return Outlook("rows of quarantine", None)
    if task.action == "check":
        return Outlook("its contract, on all rows", ground.states[task.table].kept)
    if task.action == "publish":
        return Outlook("tables that change; the others are linked", None)
    model = ground.project.graph.models[task.table]
    how = _how(ground, task, model)
    if how.startswith("whole"):
        ground.whole.add(task.table)
    held = [ground.coming.get(name, _held(ground, name)) for name in model.inputs]
    coming = [ground.coming[name] for name in model.inputs if name in ground.coming]
    most = max(coming or held, default=0)
    rows = (_held(ground, task.table) or max(held, default=0)) if task.table in ground.whole else most
    ground.coming[task.table] = rows
    return Outlook(how, rows if model.header.kind != "view" else None)


def _held(ground: _Ground, name: str) -> int:
    return ground.states[name].kept if name in ground.states else 0


def _bytes_a_row(ground: _Ground, task: PlannedTask) -> float:
    if ground.database is None:
        return _BYTES_A_ROW
    found = ground.database.value(
        "SELECT sum(bytes) / nullif(sum(lines), 0) FROM ledger.files WHERE source = ?", [task.table.partition(".")[2]]
    )
    return float(found or _BYTES_A_ROW)


def _how(ground: _Ground, task: PlannedTask, model: Model) -> str:
    kind, state = model.header.kind, ground.states.get(task.table)
    if kind == "view":
        return "a view: nothing is stored"
    if kind == "full":
        return "whole"
    if task.refresh or state is None or state.fingerprint != model.fingerprint or ground.database is None:
        return f"whole: {task.reason}"
    return "the new rows" if kind in ROW_KINDS else _by_keys(ground, model, ground.database)


def _by_keys(ground: _Ground, model: Model, database: Database) -> str:
    reason = not_incremental(model)
    if reason:
        return f"whole: {reason}"
    try:
        found = narrowing(model, table_columns(database, model))
    except NotNarrowable as error:
        return f"whole: {error.what}"
    for name in model.inputs:
        if name in ground.tasks and name in found.blind:
            return f"whole: {name} changes, and {found.blind[name]}"
    for name in model.inputs:
        if name in ground.whole and ground.project.graph.models[name].header.kind != "full":
            return f"whole: {name} is rebuilt whole"
    scanned = f"; reads all of {', '.join(sorted(found.whole))}" if found.whole else ""
    return f"touched keys, by {', '.join(found.by)}{scanned}"
