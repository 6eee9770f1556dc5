"""What the commands that look do: status, history, rollback, query."""

from __future__ import annotations

from typing import Any

from pipeline import show
from pipeline.clock import Clock
from pipeline.commands.base import caller, dicts, reading, writing
from pipeline.errors import UsageError
from pipeline.feed.snapshot import open_snapshot
from pipeline.landing.scan import Landing, scan, shown
from pipeline.project.project import Project
from pipeline.published import current, versions
from pipeline.settings import Settings
from pipeline.steps.publish import roll_back
from pipeline.warehouse.ask import ask


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
        with reading(project.settings) as database:
            facts["tables"] = dicts(
                database,
                'SELECT table_name AS "table", rows_in, kept, superseded, quarantined, built_at AS built '
                "FROM ledger.tables ORDER BY table_name",
            )
            runs = dicts(database, "SELECT * FROM ledger.runs ORDER BY run_id DESC LIMIT 1")
            facts["last_run"] = runs[0] if runs else None
    return facts


def _landing(landing: Landing) -> dict[str, Any]:
    return {
        "waiting": landing.count(),
        "by_source": {source: len(files) for source, files in landing.by_source.items()},
        "unmatched": [file.name for file in landing.unmatched],
        "ambiguous": landing.ambiguous,
    }


def history(project: Project, limit: int, *, json_out: bool) -> None:
    """Runs and publications, newest first."""
    if limit < 1:
        raise UsageError("--limit must be at least 1", where="history")
    with reading(project.settings) as database:
        runs = dicts(database, "SELECT * FROM ledger.runs ORDER BY run_id DESC LIMIT ?", [limit])
        published = dicts(
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
    with writing(project) as database:
        before = current(project.settings.published)
        after = roll_back(database, project.settings, version, Clock().now())
    if json_out:
        show.print_json({"version": after, "was": before})
    else:
        show.out().print(f"Readers now see version {after}; before it was {before}.", highlight=False)


def query(settings: Settings, sql: str, *, warehouse: bool, version: str | None, json_out: bool) -> None:
    """Ask the published version, or the warehouse."""
    if warehouse:
        with reading(settings) as database:
            names, rows = ask(database, sql) if caller.get() else database.query(sql)
    else:
        snapshot = open_snapshot(settings, version)
        if snapshot.warning:
            show.err().print(f"warning: {snapshot.warning}", highlight=False)
        names, rows = snapshot.query(sql)
    if json_out:
        show.print_json(show.objects(names, rows))
    else:
        show.out().print(show.table(None, names, rows, marks=False))
