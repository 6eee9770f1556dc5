"""gold -> published/: written beside, synced, renamed, recorded, then the pointer swapped."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import Any

from pipeline import __version__
from pipeline.errors import PublishError
from pipeline.failpoints import failpoint
from pipeline.project.model import Model
from pipeline.project.personal import marks
from pipeline.project.project import Project
from pipeline.published import (
    MANIFEST,
    current,
    damaged,
    is_whole,
    known_damage,
    manifest_hash,
    point_to,
    read_manifest,
    remember_manifest,
    seen_manifest,
    sync,
    versions,
)
from pipeline.settings import Settings
from pipeline.steps.context import Run, StepResult
from pipeline.steps.draft import abandon, begin, write_one, written_early
from pipeline.steps.tables import link_table, write_table
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import (
    TableState,
    latest_batch,
    newest_publication,
    publications,
    record_publication,
    table_states,
)

_ASKED_AGAIN = 0.01  # seconds until a checkpoint that was refused is asked for again


def publish(run: Run) -> StepResult:
    """Publish all of gold as one new version, unless readers see it already; unchanged tables are hard-linked."""
    published = run.project.settings.published
    states, last = run.known.states if run.known else table_states(run.database), run.last
    gold = [run.project.graph.models[name] for name in run.project.graph.layer("gold") if name in states]
    if last is not None and _stands(run, states, last):
        return StepResult("unchanged")
    try:
        version, tables = _write_version(run, gold, states)
    except BaseException:
        abandon(run)  # so that another attempt begins anew
        raise
    failpoint("publish.after_rename")
    with run.database.transaction():
        built = {model.name: states[model.name].version for model in gold}
        record_publication(run.database, version, "publish", run.run_id, json.dumps(built), run.now)
        failpoint("publish.before_commit")
    failpoint("publish.after_commit")
    swap(published, version)
    prune(published, run.project.settings.keep_versions, run.project.retention.versions, run.now)
    failpoint("publish.after_prune")
    rows = sum(table["rows"] for table in tables.values())
    return StepResult("succeeded", rows_in=rows, rows_out=rows, version=version)


def _write_version(run: Run, gold: list[Model], states: dict[str, TableState]) -> tuple[str, dict[str, Any]]:
    """A folder with every table and the manifest, under its number; and what the manifest says of the tables."""
    published, (version, beside) = run.project.settings.published, begin(run)
    tables = _write_tables(run, gold, states, beside, run.last)
    manifest = _write_manifest(run, beside, version, tables)
    failpoint("publish.before_rename")
    os.rename(beside, published / version)
    sync(published)
    run.draft.version = None
    remember_manifest(published, version, manifest)
    return version, tables


def _stands(run: Run, states: dict[str, TableState], last: dict[str, Any]) -> bool:
    """Whether the last version holds what gold holds now, with the same marks."""
    held = {name: states[name].version for name in run.project.graph.layer("gold") if name in states}
    published, version = run.project.settings.published, last["version"]
    there = held == last["tables"] and is_whole(published, version) and not known_damage(published, version)
    return there and not remarked(run.project, version)


def _write_tables(
    run: Run, gold: list[Model], states: dict[str, TableState], beside: Path, last: dict[str, Any] | None
) -> dict[str, Any]:
    """The manifest entry of each table; two are written at a time, for one alone leaves half the cores idle.

    Beside them the warehouse is checkpointed, after the schema changes of all builds (duckdb#22124). It is refused while
    a statement is under way that began before the last commit, and asked for again until the tables are written. Whoever
    reads longer holds up nothing: the next one does it.
    """
    written = Event()
    last_batch = latest_batch(run.database) if run.draft.early else 0

    def one(model: Model) -> dict[str, Any]:
        early = written_early(run, model, states[model.name], last_batch)
        return early if early is not None else write_one(run, model, states, beside)

    def checkpointed() -> bool:
        with closing(run.database.another(bare=True)) as own:
            while not own.checkpoint():
                if written.wait(_ASKED_AGAIN):
                    return False
        return True

    tables = {model.name: link_table(run, model, states, beside, last) for model in gold}
    left = [model for model in gold if tables[model.name] is None]
    if not (run.draft.early or run.in_a_row):
        run.database.let_go(run.project.settings.memory_limit)  # the peak of 200,000 orders is 15 MB lower
    with run.database.in_order():
        if run.in_a_row and len(left) == 1:
            tables[left[0].name] = write_table(run, left[0], states, beside, last)
        else:
            with ThreadPoolExecutor(max_workers=3) as pool:
                beside_them = [] if run.in_a_row else [pool.submit(checkpointed)]
                try:
                    entries = pool.map(one, left)
                    tables |= {model.name: entry for model, entry in zip(left, entries, strict=True)}
                finally:
                    written.set()
            if not all(done.result() for done in beside_them):
                run.database.checkpoint()
    return {name.partition(".")[2]: entry for name, entry in tables.items() if entry is not None}


def swap(published: Path, version: str) -> None:
    """Make a version the current one."""
    failpoint("publish.before_swap")
    point_to(published, version)
    failpoint("publish.after_swap")


def last_publication(database: Database) -> dict[str, Any] | None:
    """The last version written (not rolled back to), with `tables` as a dict."""
    found = newest_publication(database)
    return {**found, "tables": json.loads(found["tables"])} if found else None


def remarked(project: Project, version: str) -> bool:
    """Whether a version marks other columns as personal data than the project does now."""
    models = project.graph.models
    tables = seen_manifest(project.settings.published, version)["tables"]
    return any(
        _is_remarked(project, models[f"gold.{name}"], table["columns"])
        for name, table in tables.items()
        if f"gold.{name}" in models
    )


def _is_remarked(project: Project, model: Model, columns: list[dict[str, Any]]) -> bool:
    if not project.personal.get(model.name):  # most tables: a version has hundreds, and each run looks
        return any("pii" in column or "masked" in column for column in columns)
    return any(
        {key: column[key] for key in ("pii", "masked") if key in column}
        != marks(project.personal, model, column["name"])
        for column in columns
    )


def reconcile(database: Database, settings: Settings, now: Any) -> None:
    """Finish what a crash cut off: the ledger's last publication is what the pointer must name.

    A new warehouse beside older versions takes them over, so that numbers go on. So does one that is older than what
    readers see (its log was damaged, or it came from a backup).
    """
    published, rows = settings.published, publications(database)
    pointed = current(published)
    if not rows and pointed:
        for version in versions(published):
            record_publication(database, version, "adopted", None, "{}", now)
        if versions(published)[-1:] != [pointed]:
            record_publication(database, pointed, "rollback", None, "{}", now)
    elif rows and pointed and pointed > max(row["version"] for row in rows) and pointed in versions(published):
        newest = max(row["version"] for row in rows)
        for version in versions(published):
            if newest < version <= pointed:
                record_publication(database, version, "adopted", None, "{}", now)
    elif rows and rows[-1]["version"] != pointed and (published / rows[-1]["version"] / MANIFEST).exists():
        swap(published, rows[-1]["version"])


def _write_manifest(run: Run, beside: Path, version: str, tables: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "version": version,
        "published_at": run.now.isoformat() + "Z",
        "run_id": run.run_id,
        "flow": run.project.flow,
        "goldfeed": __version__,
        "tables": tables,
    }
    path = beside / MANIFEST
    manifest["sha256"] = manifest_hash(manifest)
    text = json.dumps(manifest)  # an indent is Python's work: 20 times as long
    path.write_text(text, encoding="utf-8")
    sync(path)
    sync(beside)
    return manifest


def prune(published: Path, keep: int, age: float | None, now: datetime) -> None:
    """Remove the oldest versions; never the current one. A reader that holds a file open keeps it."""
    for version in prunable(published, keep, age, now):
        shutil.rmtree(published / version)


def prunable(published: Path, keep: int, age: float | None, now: datetime) -> list[str]:
    """The versions beside the last `keep` that are older than `age` seconds, and not the current one."""
    pointed = current(published)
    old = [version for version in versions(published)[:-keep] if version != pointed]
    if not age:
        return old
    before = (now - timedelta(seconds=age)).isoformat()

    def is_past(version: str) -> bool:
        return not is_whole(published, version) or read_manifest(published, version)["published_at"] < before

    return list(takewhile(is_past, old))


def roll_back(database: Database, settings: Settings, version: str | None, now: Any) -> str:
    """Make an older version current, after checking its files. Returns it.

    Raises PublishError when there is none, or it is damaged.
    """
    published = settings.published
    kept, pointed = versions(published), current(published)
    if version is None:
        older = [name for name in kept if pointed is None or name < pointed]
        if not older:
            raise PublishError(
                "there is no older version to go back to", where=str(published), do="`goldfeed history` lists them"
            )
        version = older[-1]
    read_manifest(published, version)
    wrong = damaged(published, version)
    if wrong:
        raise PublishError(
            f"version {version} is damaged ({', '.join(wrong)})", where=str(published), do="choose another"
        )
    with database.transaction():
        record_publication(database, version, "rollback", None, "{}", now)
    swap(published, version)
    return version
