"""What the commands do: call the rooms below, show what they give."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pipeline import runner, show
from pipeline.clock import Clock
from pipeline.errors import PermanentError, UsageError, WarehouseBusy
from pipeline.feed.snapshot import open_snapshot
from pipeline.forecast import forecast
from pipeline.landing.scan import Landing, scan, shown
from pipeline.planner import PlannedTask
from pipeline.planner import plan as make_plan
from pipeline.project.project import Project
from pipeline.published import current, versions
from pipeline.results import RunResult
from pipeline.runner import Order
from pipeline.settings import Settings, bytes_of
from pipeline.steps.context import Silent
from pipeline.steps.publish import roll_back
from pipeline.warehouse.compact import compact, size_of
from pipeline.warehouse.database import Database, open_database


def order(select: Sequence[str] | None, full_refresh: bool, from_archive: bool) -> Order:
    """What was asked for on the command line."""
    return Order(tuple(select or ()), full_refresh, from_archive)


@contextmanager
def _warehouse(project: Project) -> Iterator[Database]:
    database = runner.open_warehouse(project, Clock())
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _reading(settings: Settings) -> Iterator[Database]:
    """The warehouse for reading. Raises PermanentError when there is none yet."""
    if not settings.warehouse.exists():
        raise PermanentError("there is no warehouse yet", where=str(settings.warehouse), do="type `goldfeed run`")
    database = open_database(settings, read_only=True)
    try:
        yield database
    finally:
        database.close()


# ---------------------------------------------------------------- run and plan
def run(project: Project, wanted: Order, *, quiet: bool, json_out: bool) -> bool:
    """Run once and show it. Returns whether it went well."""
    with _warehouse(project) as database:
        well = run_in(project, database, wanted, quiet=quiet, json_out=json_out)
        large = _wasteful(project.settings, database)
    if large:
        compact(project.settings)
    return well


def _wasteful(settings: Settings, database: Database) -> bool:
    """Whether so much of the warehouse file is free that it is worth writing it anew."""
    size = size_of(database)
    return size.bytes > bytes_of(settings.compact_from) and size.free * 100 > settings.compact_above


def run_in(project: Project, database: Database, wanted: Order, *, quiet: bool, json_out: bool) -> bool:
    """Run once in an open warehouse and show it. Returns whether it went well."""
    if quiet or json_out:
        result = runner.execute(project, database, wanted, reporter=Silent())
    else:
        with show.Bars() as bars:
            result = runner.execute(project, database, wanted, reporter=bars)
    if json_out:
        show.print_json(result.as_dict())
    else:
        _print_run(result)
    return result.status != "failed"


def _print_run(result: RunResult) -> None:
    out = show.out()
    for note in result.notes:
        out.print(f"note: {shown(note)}", markup=False, highlight=False)
    if result.status == "nothing_to_do":
        out.print("Nothing new: no file in landing/, no changed model; nothing was changed.")
        return
    rows = [
        (task.task, task.status, task.rows_in, task.rows_out, task.rows_quarantined, f"{task.seconds:.2f} s")
        for task in result.tasks
    ]
    out.print(show.table(None, ("task", "status", "rows in", "out", "quarantined", "time"), rows))
    for task in result.tasks:
        if task.error and task.status == "failed":
            out.print(f"{task.task} failed: {task.error}", markup=False, highlight=False)
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
        with _warehouse(project) as database:
            result = runner.execute(project, database, wanted, reporter=Silent())
            large = _wasteful(project.settings, database)
    except WarehouseBusy as error:  # a backfill, say: it is this one's turn again when that has ended
        show.err().print(f"waiting: {error.sentence()}", highlight=False)
        return
    if large:
        compact(project.settings)
    if result.status != "nothing_to_do" and not quiet:
        _print_run(result)


def plan(project: Project, wanted: Order, *, json_out: bool) -> None:
    """Show the tasks a run would do, and why; writes nothing."""
    if project.settings.warehouse.exists():
        with _reading(project.settings) as database:
            situation, _ = runner.look(project, database, wanted)
            tasks = make_plan(project.graph, situation)
            outlook = forecast(project, database, tasks)
    else:
        tasks = make_plan(project.graph, runner.empty_situation(project, wanted))
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


# ---------------------------------------------------------------- status and history
def status(project: Project, *, json_out: bool) -> None:
    """What is published, what waits, how the last run went."""
    facts = _facts(project)
    if json_out:
        show.print_json(facts)
        return
    out, landing = show.out(), facts["landing"]
    out.print(f"Home: {facts['home']}", highlight=False)
    out.print(
        f"Published: version {facts['version']}" if facts["version"] else "Published: nothing yet", highlight=False
    )
    last = facts["last_run"]
    out.print(
        f"Last run: {last['run_id']} {last['status']}, started {last['started_at']}" if last else "Last run: none",
        highlight=False,
    )
    out.print(f"Waiting in landing/: {landing['waiting']} files", highlight=False)
    for name in landing["unmatched"]:
        out.print(f"  matches no source: {shown(name)}", markup=False, highlight=False)
    for name, takers in landing["ambiguous"].items():
        out.print(f"  matches several sources: {shown(name)} ({', '.join(takers)})", markup=False, highlight=False)
    if facts["tables"]:
        names = ("table", "rows in", "kept", "superseded", "quarantined", "built")
        out.print(show.table(None, names, [[row[name.replace(" ", "_")] for name in names] for row in facts["tables"]]))


def _facts(project: Project) -> dict[str, Any]:
    landing = scan(project.settings.landing, project.graph.sources.values())
    facts: dict[str, Any] = {
        "home": str(project.settings.home),
        "flow": project.flow,
        "version": current(project.settings.published),
        "versions": versions(project.settings.published),
        "landing": _landing(landing),
        "last_run": None,
        "tables": [],
        "contracts": sorted(project.contracts),
    }
    if project.settings.warehouse.exists():
        with _reading(project.settings) as database:
            facts["tables"] = _dicts(
                database,
                'SELECT table_name AS "table", rows_in, kept, superseded, quarantined, built_at AS built '
                "FROM ledger.tables ORDER BY table_name",
            )
            runs = _dicts(database, "SELECT * FROM ledger.runs ORDER BY run_id DESC LIMIT 1")
            facts["last_run"] = runs[0] if runs else None
    return facts


def _landing(landing: Landing) -> dict[str, Any]:
    return {
        "waiting": landing.count(),
        "by_source": {source: len(files) for source, files in landing.by_source.items()},
        "unmatched": [file.name for file in landing.unmatched],
        "ambiguous": landing.ambiguous,
    }


def _dicts(database: Database, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    names, _, rows = database.described(statement, values)
    return show.objects(names, rows)


def history(project: Project, limit: int, *, json_out: bool) -> None:
    """Runs and publications, newest first."""
    if limit < 1:
        raise UsageError("--limit must be at least 1", where="history")
    with _reading(project.settings) as database:
        runs = _dicts(database, "SELECT * FROM ledger.runs ORDER BY run_id DESC LIMIT ?", [limit])
        published = _dicts(
            database,
            "SELECT version, kind, run_id, published_at FROM ledger.publications ORDER BY publication_id DESC LIMIT ?",
            [limit],
        )
    kept, pointed = versions(project.settings.published), current(project.settings.published)
    for row in published:
        row.update(kept=row["version"] in kept, current=row["version"] == pointed)
    if json_out:
        show.print_json({"runs": runs, "versions": published})
        return
    columns = ("run_id", "flow", "status", "started_at", "version", "error")
    show.out().print(show.table("runs", columns, [[row[name] for name in columns] for row in runs]))
    columns = ("version", "kind", "run_id", "published_at", "kept", "current")
    show.out().print(show.table("versions", columns, [[row[name] for name in columns] for row in published]))


def rollback(project: Project, version: str | None, *, json_out: bool) -> None:
    """Point readers to an older version."""
    with _warehouse(project) as database:
        before = current(project.settings.published)
        after = roll_back(database, project.settings, version, Clock().now())
    if json_out:
        show.print_json({"version": after, "was": before})
    else:
        show.out().print(f"Readers now see version {after}; before it was {before}.", highlight=False)


# ---------------------------------------------------------------- query and quarantine
def query(settings: Settings, sql: str, *, warehouse: bool, version: str | None, json_out: bool) -> None:
    """Ask the published version, or the warehouse."""
    if warehouse:
        with _reading(settings) as database:
            names, rows = database.query(sql)
    else:
        snapshot = open_snapshot(settings, version)
        if snapshot.warning:
            show.err().print(f"warning: {snapshot.warning}", highlight=False)
        names, rows = snapshot.query(sql)
    if json_out:
        show.print_json(show.objects(names, rows))
    else:
        show.out().print(show.table(None, names, rows, marks=False))


_QUARANTINE = (
    'SELECT q.quarantine_id AS id, f.path AS file, q.line, q.source, q.reason, q.column_name AS "column", q.raw '
    "FROM ledger.quarantine q LEFT JOIN ledger.files f USING (file_id) "
)


def quarantine_list(project: Project, source: str | None, limit: int | None, *, json_out: bool) -> None:
    """The rows set aside, oldest first."""
    if limit is not None and limit < 1:
        raise UsageError("--limit must be at least 1", where="quarantine list")
    many = limit or (2**62 if json_out else 50)
    with _reading(project.settings) as database:
        where = "WHERE ? IS NULL OR q.source = ? OR q.source LIKE '%.' || ? "
        rows = _dicts(database, f"{_QUARANTINE}{where}ORDER BY q.quarantine_id LIMIT ?", [source, source, source, many])
        total = database.value("SELECT count(*) FROM ledger.quarantine")
    if json_out:
        show.print_json(rows)
    elif not rows:
        show.out().print("Nothing is in quarantine.")
    else:
        columns = ("id", "file", "line", "source", "reason", "column")
        show.out().print(show.table(None, columns, [[row[name] for name in columns] for row in rows]))
        show.out().print(
            f"{len(rows):,} of {total:,}; `goldfeed quarantine show ID` gives the raw text.", highlight=False
        )


def quarantine_show(project: Project, number: int, *, json_out: bool) -> None:
    """One row set aside, whole."""
    with _reading(project.settings) as database:
        rows = _dicts(database, _QUARANTINE + "WHERE q.quarantine_id = ?", [number])
    if not rows:
        raise UsageError(f"there is no row {number} in quarantine", do="`goldfeed quarantine list` shows the ids")
    if json_out:
        show.print_json(rows[0])
        return
    for name, value in rows[0].items():
        show.out().print(f"{name}: {'' if value is None else value}", markup=False, highlight=False, soft_wrap=True)
