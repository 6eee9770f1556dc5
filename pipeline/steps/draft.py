"""The next version while it is made: its folder, and its large tables, written as soon as they are built.

A COPY of a large table and the small statements of the builds after it want different things of the machine, so they go
side by side; the folder is none of a version's until `publish` gives it its name.
"""

from __future__ import annotations

import shutil
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import GoldfeedError
from pipeline.project.model import Model
from pipeline.published import is_whole, known_damage, seen_manifest, versions
from pipeline.steps.context import Run
from pipeline.steps.kinds.whole import REWRITTEN
from pipeline.steps.tables import write_table
from pipeline.warehouse.ledger import TableState

Entry = dict[str, Any]  # what a manifest says of a table
_EARLY = 2  # parts of a table at a time, beside the builds; later three tables are written at a time, and memory counts


def begin(run: Run) -> tuple[str, Path]:
    """The number of the next version and the folder it is made in; both are made once."""
    draft, published, last = run.draft, run.project.settings.published, run.last
    with draft.lock:
        if draft.version is None:
            published.mkdir(parents=True, exist_ok=True)
            if last is not None:
                there = is_whole(published, last["version"])
                last["manifest"] = seen_manifest(published, last["version"]) if there else None
                last["damaged"] = known_damage(published, last["version"])
            _remove_leftovers(published, last)
            version = _next_version(published, last)
            _folder(published, version).mkdir()
            draft.version = version
        return draft.version, _folder(published, draft.version)


def _folder(published: Path, version: str) -> Path:
    return published / f".building-{version}"


def write_early(run: Run, model: Model) -> None:
    """Begin to write a table that has just been built and committed, if it is large enough to be worth a thread."""
    state = run.known.states.get(model.name) if run.known else None
    large = min(REWRITTEN, run.project.settings.parts_above)
    if state is None or state.kept <= large or run.audits.errors(model.name):
        return
    try:
        _, beside = begin(run)
    except (GoldfeedError, OSError):
        return  # the publication meets it again, and says so
    entry = run.draft.writer.submit(write_one, run, model, {model.name: state}, beside, at_once=_EARLY)
    run.draft.early[model.name] = state.version, entry


def write_one(run: Run, model: Model, states: dict[str, TableState], beside: Path, *, at_once: int = 1) -> Entry:
    """Write a table on a connection of its own; only a view may call masking functions, which take a while to make."""
    own = replace(run, database=run.database.another(bare=model.header.kind != "view"))
    try:
        own.database.keep_order()
        return write_table(own, model, states, beside, run.last, at_once=at_once)
    finally:
        own.database.close()


def written_early(run: Run, model: Model, state: TableState, last_batch: int) -> Entry | None:
    """What the manifest says of a table that was written early, once it is; None if it must be written now.

    `last_batch`: as of the end of the run, whatever was still to come when the table was written.
    """
    version, entry = run.draft.early.pop(model.name, (None, None))
    if entry is None or version != state.version:
        return None
    try:
        return {**entry.result(), "last_batch": last_batch}
    except (GoldfeedError, OSError):  # what is still wrong is wrong again when it is written now
        name = model.name.partition(".")[2]
        shutil.rmtree(begin(run)[1] / f"{name}.parquet", ignore_errors=True)
        return None


def abandon(run: Run) -> None:
    """Nothing of the draft is left; a version that has its name is none any more."""
    draft, entries = run.draft, [entry for _, entry in run.draft.early.values()]
    for entry in entries:
        entry.cancel()
    wait(entries)
    draft.early.clear()
    if draft.version is not None:
        shutil.rmtree(_folder(run.project.settings.published, draft.version), ignore_errors=True)
        draft.version = None


def _remove_leftovers(published: Path, last: dict[str, Any] | None) -> None:
    """What a crash left: unfinished folders, and versions that the ledger never heard of."""
    for folder in published.glob(".building-*"):
        shutil.rmtree(folder)
    for version in versions(published):
        if last is None or version > last["version"]:
            shutil.rmtree(published / version)


def _next_version(published: Path, last: dict[str, Any] | None) -> str:
    known = [int(version) for version in versions(published)] + ([int(last["version"])] if last else [])
    return f"{max(known, default=0) + 1:06d}"
