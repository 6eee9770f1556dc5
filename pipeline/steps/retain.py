"""Retention: what is old and no longer needed goes, layer by layer.

The law: a rebuild of silver and gold from bronze, and one of everything from archive/, give the same tables after it as
before. So of old files only the rows go that have lost to a later version of their key in every table that reads them, and
a file leaves archive/ only when none of its rows is left in bronze or in quarantine. What is younger than its window stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.failpoints import failpoint
from pipeline.landing.archive import path_of
from pipeline.project.source import Source
from pipeline.published import versions
from pipeline.sql import table_name
from pipeline.steps.context import Run
from pipeline.steps.kinds.rows import superseded_rows
from pipeline.steps.publish import prunable, prune
from pipeline.warehouse.history import forget_history, note_retention, retired
from pipeline.warehouse.ledger import TableState, save_table, table_inputs, table_states


@dataclass(frozen=True)
class Removed:
    """What went of one table, or why nothing did: `removed` rows, files or versions."""

    layer: str
    table: str
    removed: int
    note: str = ""


class _OnlyLooked(Exception):
    """Ends the transaction of a dry run: nothing is written."""


def retain(run: Run, *, dry: bool = False) -> list[Removed]:
    """Remove what retention: lets go; with `dry`, only say what that would be. Files go after the commit."""
    windows, found = run.project.retention, list[Removed]()
    try:
        with run.database.transaction():
            if windows.bronze:
                found += [_bronze(run, source, windows.bronze) for source in run.project.graph.sources.values()]
            if windows.quarantine:
                found += _quarantine(run, windows.quarantine)
            if windows.archive:
                found.append(_archive(run, windows.archive))
            if windows.ledger:
                held = versions(run.project.settings.published)
                gone = forget_history(run.database, _before(run, windows.ledger), held)
                found += [Removed("ledger", table, many) for table, many in gone.items()]
            if dry:
                raise _OnlyLooked
            note_retention(run.database, [(row.layer, row.table, row.removed) for row in found], run.now)
            failpoint("retain.before_commit")
    except _OnlyLooked:
        pass
    failpoint("retain.after_commit")
    published, keep = run.project.settings.published, run.project.settings.keep_versions
    found.append(Removed("published", "versions", len(prunable(published, keep, windows.versions, run.now))))
    if not dry:
        prune(published, keep, windows.versions, run.now)
        _clear_archive(run)
    return found


def _before(run: Run, window: float) -> datetime:
    return run.now - timedelta(seconds=window)


# ---------------------------------------------------------------- bronze
def _bronze(run: Run, source: Source, window: float) -> Removed:
    states = table_states(run.database)
    why = _needs_all(run, source, states)
    if why:
        return Removed("bronze", source.table, 0, why)
    readers = run.project.graph.readers(source.table)
    lost = " INTERSECT ".join(f"({superseded_rows(run, run.project.graph.models[name])})" for name in readers)
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE retiring AS SELECT * FROM ({lost}) WHERE _file_id IN "
        "(SELECT file_id FROM ledger.files WHERE source = ? AND loaded_at < ?)",
        [*(0 for _ in readers), source.name, _before(run, window)],
    )
    many = int(
        run.database.value(
            f"DELETE FROM {table_name(source.table)} b USING temp.retiring r "
            "WHERE b._file_id = r._file_id AND b._line = r._line"
        )
        or 0
    )
    run.database.run("DROP TABLE temp.retiring")
    if many:
        _balance(run, states, [source.table, *readers], many)
    return Removed("bronze", source.table, many)


def _needs_all(run: Run, source: Source, states: dict[str, TableState]) -> str:
    """Why every row of a bronze table is needed; empty if superseded ones may go."""
    graph = run.project.graph
    readers = graph.readers(source.table)
    if source.table not in states or not readers:
        return "no table is made of it"
    for name in readers:
        model, state = graph.models[name], states.get(name)
        if model.header.kind != "upsert":
            return f"{name} of kind {model.header.kind} needs every row"
        if state is None or state.fingerprint != model.fingerprint or state.watermark < states[source.table].watermark:
            return f"{name} is not up to date"
    return ""


def _balance(run: Run, states: dict[str, TableState], tables: Sequence[str], many: int) -> None:
    """The rows that went are taken off the accounts: bronze kept them, its readers superseded them. Versions stay."""
    inputs = table_inputs(run.database)
    for name in tables:
        state = states[name]
        bronze = name.startswith("bronze.")
        after = replace(
            state,
            rows_in=state.rows_in - many,
            kept=state.kept - (many if bronze else 0),
            superseded=state.superseded - (0 if bronze else many),
        )
        built = run.database.value("SELECT built_at FROM ledger.tables WHERE table_name = ?", [name])
        save_table(run.database, after, inputs.get(name, {}), built)


# ---------------------------------------------------------------- quarantine and archive
def _quarantine(run: Run, window: float) -> list[Removed]:
    """Old rows go; those that never were in bronze leave its account as well. The last number stays, so none is given twice."""
    old = "quarantined_at < ? AND quarantine_id < (SELECT max(quarantine_id) FROM ledger.quarantine)"
    before = _before(run, window)
    gone = run.database.rows(
        f"SELECT source, count(*) FROM ledger.quarantine WHERE {old} GROUP BY 1 ORDER BY 1", [before]
    )
    run.database.run(f"DELETE FROM ledger.quarantine WHERE {old}", [before])
    states, inputs = table_states(run.database), table_inputs(run.database)
    for name, many in gone:
        state = states.get(f"bronze.{name}")
        if state is not None:
            built = run.database.value("SELECT built_at FROM ledger.tables WHERE table_name = ?", [state.name])
            after = replace(state, rows_in=state.rows_in - many, quarantined=state.quarantined - many)
            save_table(run.database, after, inputs.get(state.name, {}), built)
    return [Removed("quarantine", name, many) for name, many in gone]


def _archive(run: Run, window: float) -> Removed:
    """Note the old files of which bronze and quarantine hold no row any more."""
    tables = [
        table_name(source.table)
        for source in run.project.graph.sources.values()
        if source.table in table_states(run.database)
    ]
    held = " UNION ALL ".join(
        ["SELECT file_id FROM ledger.quarantine", *(f"SELECT _file_id FROM {name}" for name in tables)]
    )
    known = [source.name for source in run.project.graph.sources.values()]
    many = run.database.value(
        "INSERT INTO ledger.retired SELECT file_id, sha256, ? FROM ledger.files WHERE loaded_at < ? "
        f"AND list_contains(?, source) AND file_id NOT IN (SELECT file_id FROM ({held}) WHERE file_id IS NOT NULL) "
        "AND file_id NOT IN (SELECT file_id FROM ledger.retired)",
        [run.now, _before(run, window), known],
    )
    return Removed("archive", "files", int(many or 0))


def _clear_archive(run: Run) -> None:
    """Remove the files that were noted, also those that a crash left behind."""
    for sha256 in retired(run.database):
        path_of(run.project.settings.archive, sha256).unlink(missing_ok=True)
        failpoint("retain.after_unlink")
