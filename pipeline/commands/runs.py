"""What the commands that do work do: run, watch, plan."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from pipeline import runner, show
from pipeline.clock import Clock
from pipeline.commands.base import alone, ended, reading, stop_of_call, writing
from pipeline.errors import UsageError, WarehouseBusy
from pipeline.forecast import forecast
from pipeline.landing.scan import shown
from pipeline.planner import PlannedTask
from pipeline.planner import plan as make_plan
from pipeline.project.project import Project
from pipeline.results import RunResult
from pipeline.situation import Order, empty_situation, look
from pipeline.steps.context import Silent
from pipeline.warehouse.compact import compact, is_wasteful
from pipeline.warehouse.database import Database


def order(select: Sequence[str] | None, full_refresh: bool, from_archive: bool) -> Order:
    """What was asked for on the command line."""
    return Order(tuple(select or ()), full_refresh, from_archive)


def run(project: Project, wanted: Order, *, quiet: bool, json_out: bool) -> bool:
    """Run once and show it. Returns whether it went well."""
    with writing(project) as database:
        well = run_in(project, database, wanted, quiet=quiet, json_out=json_out)
        large = is_wasteful(project.settings, database)
    if large:
        with alone():
            compact(project.settings)
    return well


def run_in(project: Project, database: Database, wanted: Order, *, quiet: bool, json_out: bool) -> bool:
    """Run once in an open warehouse and show it. Returns whether it went well."""
    with nullcontext(Silent()) if quiet or json_out else show.bars() as reporter:
        result = runner.execute(project, database, wanted, reporter=reporter, stop=stop_of_call())
    ended(result)
    if json_out:
        show.print_json(result.as_dict())
    else:
        print_run(result)
    return result.status not in ("failed", "withheld")


def print_run(result: RunResult) -> None:
    """A run for a person: its notes, its tasks, what failed, and that the rows balance."""
    out = show.out()
    for note in result.notes:
        out.print(f"note: {shown(note)}", markup=False, highlight=False)
    if result.status == "nothing_to_do":
        out.print("Nothing new: no file in landing/ that a source takes, no changed model; nothing was changed.")
        return
    rows = [
        (task.task, task.status, task.rows_in, task.rows_out, task.rows_quarantined, f"{task.seconds:.2f} s")
        for task in result.tasks
    ]
    out.print(show.table(None, ("task", "status", "rows in", "out", "quarantined", "time"), rows))
    for task in result.tasks:
        if task.error and task.status in ("failed", "withheld"):
            out.print(f"{task.task} {task.status}: {task.error}", markup=False, highlight=False)
    _print_accounting(result)
    version = f", published as version {result.version}" if result.version else ""
    out.print(f"Run {result.run_id} {result.status} in {result.seconds:.1f} s{version}.", highlight=False)


def _print_accounting(result: RunResult) -> None:
    count = result.accounting
    if not count or not count["files"]:
        return
    show.out().print(
        f"{count['files']:,} file{'' if count['files'] == 1 else 's'}: {count['lines']:,} lines = {count['header']:,} header + {count['blank']:,} blank + "
        f"{count['bronze']:,} bronze + {count['quarantine']:,} quarantine (balanced)",
        highlight=False,
    )


def watch(project: Project, wanted: Order, seconds: float, *, quiet: bool) -> None:
    """Run again and again until SIGTERM or SIGINT.

    A signal lets the task under way end first; a run cut off is finished by the next one.
    """
    if not 0.1 <= seconds <= 86_400:
        raise UsageError("--watch takes 0.1 to 86400 seconds", where="run")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        _watch_once(project, wanted, quiet=quiet)
        stop.wait(seconds)


def _watch_once(project: Project, wanted: Order, *, quiet: bool) -> None:
    try:
        with writing(project) as database:
            result = runner.execute(project, database, wanted, reporter=Silent())
            large = is_wasteful(project.settings, database)
    except WarehouseBusy as error:  # a backfill, say: it is this one's turn again when that has ended
        show.err().print(f"waiting: {error.sentence()}", highlight=False)
        return
    if large:
        compact(project.settings)
    if result.status != "nothing_to_do" and not quiet:
        print_run(result)


def plan(project: Project, wanted: Order, *, json_out: bool) -> None:
    """Show the tasks a run would do, and why; writes nothing."""
    if project.settings.warehouse.exists():
        with reading(project.settings) as database:
            situation = look(project, database, wanted, Clock().now()).situation
            tasks = make_plan(project.graph, situation)
            outlook = forecast(project, database, tasks)
    else:
        tasks = make_plan(project.graph, empty_situation(project, wanted))
        outlook = forecast(project, None, tasks)
    if json_out:
        show.print_json([{**_planned(task), **asdict(outlook[task.name])} for task in tasks])
    elif not tasks:
        show.out().print("Nothing to do.")
    else:
        rows = [(t.name, t.reason, outlook[t.name].how, len(t.files) or None, outlook[t.name].rows) for t in tasks]
        show.out().print(show.table(None, ("task", "because", "how", "files", "rows, about"), rows))


def _planned(task: PlannedTask) -> dict[str, Any]:
    return {
        "task": task.name,
        "layer": task.layer,
        "table": task.table,
        "reason": task.reason,
        "files": [file.name for file in task.files],
    }
