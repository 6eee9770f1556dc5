"""One silver or gold table, built by its kind, with its ledger row in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pipeline.errors import PermanentError
from pipeline.failpoints import failpoint
from pipeline.project.graph import ROW_KINDS
from pipeline.project.model import Model
from pipeline.sql import table_name
from pipeline.steps.check import audit, batch_condition, forget_rows, judged, key_condition
from pipeline.steps.context import Run, StepResult
from pipeline.steps.kinds.common import ADDED, REMOVED, Built
from pipeline.steps.kinds.incremental import build_incremental
from pipeline.steps.kinds.rows import build_rows
from pipeline.steps.kinds.scd2 import build_scd2
from pipeline.steps.kinds.whole import build_full, build_view
from pipeline.steps.profile import profile
from pipeline.warehouse.audits import Audit
from pipeline.warehouse.changes import record_batches, record_rows
from pipeline.warehouse.ledger import Known, TableState, mark_stale, save_table


def build(
    run: Run, model: Model, *, refresh: bool = False, record: Callable[[StepResult], None] | None = None
) -> StepResult:
    """Bring one table up to date with its inputs.

    Does nothing when no input has changed since the last build and the model
    is the same. With `refresh` the table is rebuilt whatever the ledger says.
    `record` is called with the result in the transaction that changes the table.
    """
    known = run.known or Known(run.database)
    states, before = known.states, known.inputs.get(model.name, {})
    inputs = {name: states[name].version if name in states else 0 for name in model.inputs}
    state = states.get(model.name, TableState(model.name))
    fresh = refresh or state.fingerprint != model.fingerprint
    if not fresh and inputs == before:
        return StepResult("unchanged")
    _check_inputs(model, known)
    with run.database.transaction():
        if fresh and model.name in states:
            _make_way(run, model)
        built = _by_kind(run, model, state, fresh, before, inputs)
        after = replace(
            built.state,
            fingerprint=model.fingerprint,
            run_id=run.run_id,
            version=state.version + 1 if built.changed else state.version,
        )
        save_table(run.database, after, inputs, run.now, new=model.name not in states)
        readers = _readers_to_rebuild(run, model) if fresh and state.version else []
        mark_stale(run.database, readers)
        if built.changed and _asked_for(run, model, after):
            _note_change(run, model, built, after.version)
        found = _audited(run, model, after, built) if built.changed else None
        result = judged(model.name, _result(built), found)
        if record:
            record(result)
        failpoint("build.before_commit")
    known.noted(after, inputs)
    known.stale(readers)
    if found is not None:
        run.audits.noted(found)
    failpoint("build.after_commit")
    return result


def _readers_to_rebuild(run: Run, model: Model) -> list[str]:
    """The tables that take its rows by batch: a rebuild may have changed rows of batches that they have seen."""
    graph = run.project.graph
    return [name for name in graph.readers(model.name) if graph.models[name].header.kind in ROW_KINDS]


def _result(built: Built) -> StepResult:
    status = "succeeded" if built.changed else "unchanged"
    notes = (built.note,) if built.note else ()
    return StepResult(status, built.rows_in, built.rows_out, built.quarantined, built.superseded, notes)


def _audited(run: Run, model: Model, state: TableState, built: Built) -> Audit | None:
    """What the contract says of the table as it stands in this transaction."""
    changed = None
    if built.batches:
        changed = batch_condition(*built.batches, built.rows_out, state.version - 1)
    elif built.known and model.header.key:
        changed = key_condition(run, model.header.key, state.version - 1)
    forget_rows(run, model.name)
    if model.header.kind != "view":
        profile(run, model.name, state.version, state.kept)
    return audit(run, model.name, state.version, state.kept, changed=changed)


def _asked_for(run: Run, model: Model, state: TableState) -> bool:
    """Whether somebody asks which rows have changed: an incremental model, or the publication of a large table."""
    in_parts = model.layer == "gold" and state.kept > run.project.settings.parts_above
    return in_parts or run.project.graph.watched(model.name)


def _note_change(run: Run, model: Model, built: Built, version: int) -> None:
    """Keep the change set that made a version, for the tables below and the publication."""
    if built.batches:
        record_batches(run.database, model.name, version, *built.batches, built.rows_out)
    elif built.known:
        record_rows(run.database, model.name, version, REMOVED, ADDED)


def _by_kind(
    run: Run, model: Model, state: TableState, fresh: bool, seen: Mapping[str, int], now: Mapping[str, int]
) -> Built:
    kind = model.header.kind
    if kind in ("upsert", "append"):
        return build_rows(run, model, state, fresh)
    if kind == "scd2":
        return build_scd2(run, model, state, fresh)
    if kind == "incremental":
        return build_incremental(run, model, state, fresh, seen, now)
    if kind == "view":
        return build_view(run, model, state)
    return build_full(run, model, state)


def _make_way(run: Run, model: Model) -> None:
    """A table that becomes a view, or a view that becomes a table: the old one goes first."""
    layer, _, table = model.name.partition(".")
    views = run.database.value(
        "SELECT count(*) FROM duckdb_views() WHERE schema_name = ? AND view_name = ?", [layer, table]
    )
    if views and model.header.kind != "view":
        run.database.run(f"DROP VIEW {table_name(model.name)}")
    elif not views and model.header.kind == "view":
        run.database.run(f"DROP TABLE IF EXISTS {table_name(model.name)}")


def _check_inputs(model: Model, known: Known) -> None:
    missing = [name for name in model.inputs if name not in known.states]
    if missing:
        raise PermanentError(
            f"{missing[0]} has not been built yet", where=model.name, do=f"run with --select +{model.name}"
        )
