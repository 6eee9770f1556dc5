"""Tasks side by side, each after those it depends on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from threading import Thread

from pipeline.planner import PlannedTask
from pipeline.steps.context import Run
from pipeline.warehouse import ledger
from pipeline.warehouse.database import Database

WORKERS = 2  # sources and tables brought up to date at a time
_LIGHT_BYTES, _LIGHT_ROWS = 256_000_000, 2_000_000  # of what whole tables are built from


def is_light(tasks: Sequence[PlannedTask], states: Mapping[str, ledger.TableState]) -> bool:
    """Whether tables may be built side by side: heavy builds use every core and the memory alone."""
    builds = [task for task in tasks if task.action == "build"]
    whole = [task for task in builds if task.refresh or task.table not in states]
    held = sum(states[task.table].kept for task in whole if task.table in states)
    coming = sum(file.size for task in tasks for file in task.files)
    return len(builds) > 2 and (not whole or (coming < _LIGHT_BYTES and held < _LIGHT_ROWS))


def abreast(run: Run, tasks: Sequence[PlannedTask], one: Callable[[PlannedTask, Database], None]) -> None:
    """Do tasks two at a time, each after those it depends on, the first first; every worker has a connection of its own.

    Sources are taken in one after the other: so a run that was cut off numbers its files as if it had not been.
    """
    waiting, running = list(tasks), dict[Future[None], tuple[PlannedTask, Database]]()
    idle = [run.database.another() for _ in range(WORKERS)]
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            while waiting or running:
                ready = _ready(run, waiting, [task for task, _ in running.values()])
                for task in ready[: len(idle)]:
                    waiting.remove(task)
                    database = idle.pop()
                    running[pool.submit(one, task, database)] = task, database
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    idle.append(running.pop(future)[1])
                    future.result()
    finally:
        for database in idle:
            database.close()


def _ready(run: Run, waiting: Sequence[PlannedTask], running: Sequence[PlannedTask]) -> list[PlannedTask]:
    unfinished = {task.table for task in (*waiting, *running)}
    coming = [task for task in (*running, *waiting) if task.action == "ingest"]
    return [
        task
        for task in waiting
        if not unfinished.intersection(run.project.graph.inputs(task.table)) and task not in coming[1:]
    ]


def import_early(run: Run, tasks: Sequence[PlannedTask]) -> None:
    """Import Polars in a thread of its own if a model needs it: 0.35 s that nobody need wait for."""
    models = run.project.graph.models
    if "polars" not in sys.modules and any(task.table in models and models[task.table].is_python for task in tasks):
        Thread(target=import_module, args=("polars",), daemon=True).start()


def longest_first(run: Run, tasks: Sequence[PlannedTask]) -> list[PlannedTask]:
    """Tasks with the longest way to go below them first, so that no long chain is left for the end.

    A table that is rebuilt whole counts twice: it is none that costs what has changed.
    """
    below: dict[str, int] = {}
    for task in reversed(tasks):
        own = 2 if run.project.graph.models[task.table].header.kind == "full" else 1
        below[task.table] = own + max((below.get(name, 0) for name in run.project.graph.readers(task.table)), default=0)
    return sorted(tasks, key=lambda task: -below[task.table])
