"""Tasks side by side, each after those it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib import import_module
from threading import Thread

from pipeline.planner import PlannedTask
from pipeline.steps.context import Run
from pipeline.warehouse import ledger
from pipeline.warehouse.database import Database

WORKERS = 2  # tables brought up to date at a time


def is_light(run: Run, builds: Sequence[PlannedTask]) -> bool:
    """Whether tables are brought up to date, not made: heavy builds use every core and the memory alone."""
    states = ledger.table_states(run.database)
    return len(builds) > 2 and not any(task.refresh or task.table not in states for task in builds)


def abreast(run: Run, tasks: Sequence[PlannedTask], one: Callable[[PlannedTask, Database], None]) -> None:
    """Do tasks two at a time, each after those it depends on; every worker has a connection of its own."""
    if any(run.project.graph.models[task.table].is_python for task in tasks):
        Thread(target=import_module, args=("polars",), daemon=True).start()  # 0.35 s that nobody need wait for
    waiting, running = _longest_first(run, tasks), dict[Future[None], tuple[str, Database]]()
    idle = [run.database.another() for _ in range(WORKERS)]
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            while waiting or running:
                unfinished = {task.table for task in waiting} | {table for table, _ in running.values()}
                ready = [task for task in waiting if not unfinished.intersection(run.project.graph.inputs(task.table))]
                for task in ready[: len(idle)]:
                    waiting.remove(task)
                    database = idle.pop()
                    running[pool.submit(one, task, database)] = task.table, database
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    idle.append(running.pop(future)[1])
                    future.result()
    finally:
        for database in idle:
            database.close()


def _longest_first(run: Run, tasks: Sequence[PlannedTask]) -> list[PlannedTask]:
    """Tasks with the longest way to go below them first, so that no long chain is left for the end."""
    below: dict[str, int] = {}
    for task in reversed(tasks):
        below[task.table] = 1 + max((below.get(name, 0) for name in run.project.graph.readers(task.table)), default=0)
    return sorted(tasks, key=lambda task: -below[task.table])
