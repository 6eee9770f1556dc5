"""What is there before a run, and what is asked of it: what the planner is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.landing.scan import FoundFile, Landing, scan
from pipeline.planner import Situation
from pipeline.project.graph import select
from pipeline.project.project import Project
from pipeline.published import is_whole, known_damage
from pipeline.steps.again import Period, archived_files, files_of
from pipeline.steps.gate import unchecked
from pipeline.steps.lost import lost_files, together
from pipeline.steps.publish import last_publication, remarked
from pipeline.steps.replay import Replay, tables_to_replay
from pipeline.warehouse import ledger
from pipeline.warehouse.audits import Audits
from pipeline.warehouse.database import Database


@dataclass(frozen=True)
class Order:
    """What is asked for: which tables, rebuilt or not, from landing/ or from archive/.

    `due`: the time at which the flow was due; that it was done commits together with the end of the run.
    `in_a_row`: another run follows at once. Then the checkpoint and the word to readers may wait: see `end_row`.
    """

    select: Sequence[str] = ()
    full_refresh: bool = False
    from_archive: bool = False
    again: Period | None = None
    replay: Replay | None = None
    flow: str | None = None
    due: datetime | None = None
    in_a_row: bool = False


@dataclass(frozen=True)
class Looked:
    """What is there before a run: what the planner is told, and what it was told from."""

    situation: Situation
    landing: Landing
    known: ledger.Known
    audits: Audits
    last: dict[str, Any] | None
    lost: Mapping[str, list[FoundFile]]


def look(project: Project, database: Database, order: Order, now: datetime) -> Looked:
    """What is there: the files, the ledger and the last publication."""
    settings, graph = project.settings, project.graph
    landing = scan(settings.landing, graph.sources.values())
    selected = select(graph, order.select) if order.select else None
    lost = {} if order.from_archive or order.again else lost_files(database, project)
    files: Mapping[str, list[FoundFile]] = together(landing.by_source, lost)
    if order.from_archive:
        files = archived_files(settings.archive, database)
    elif order.again:
        wanted = graph.upstream(selected) if selected else set(graph.sources)
        files = files_of(
            database, settings.archive, order.again, [graph.sources[n] for n in graph.sources if n in wanted]
        )
    replayed = tables_to_replay(database, graph, order.replay) if order.replay else {}
    if order.replay:
        files, selected = {}, graph.downstream(replayed)
    last = last_publication(database)
    there = last is not None and is_whole(settings.published, last["version"])
    known = ledger.Known(database)
    situation = Situation(
        files=files,
        states=known.states,
        inputs=known.inputs,
        published=last["tables"] if last and there else None,
        selected=None if order.again else selected,
        refresh=order.full_refresh,
        again=order.again is not None,
        rebuilt=frozenset(selected or ()).difference(graph.sources) if order.again else frozenset(),
        replayed=replayed,
        remarked=there and last is not None and remarked(project, last["version"]),
        damaged=tuple(known_damage(settings.published, last["version"])) if last is not None else (),
    )
    audits = Audits().load(database)
    situation = replace(situation, unchecked=unchecked(project, audits, known.states, now))
    return Looked(situation, landing, known, audits, last, lost)


def empty_situation(project: Project, order: Order) -> Situation:
    """What is there when there is no warehouse yet."""
    landing = scan(project.settings.landing, project.graph.sources.values())
    return Situation(
        files=landing.by_source,
        states={},
        inputs={},
        published=None,
        selected=select(project.graph, order.select) if order.select else None,
        refresh=order.full_refresh,
    )
