"""A stage for one test of a model: a warehouse in memory whose tables hold the rows that the test gives."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.errors import PermanentError, ProjectError
from pipeline.project.modeltest import ModelTest, StepFile
from pipeline.project.project import Project
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.build import build
from pipeline.steps.context import Run
from pipeline.warehouse import ledger, load
from pipeline.warehouse.changes import record_batches, record_rows
from pipeline.warehouse.database import Database, open_in_memory
from pipeline.warehouse.ledger import TableState
from pipeline.warehouse.migrations import migrate

_LINEAGE = ("_file_id", "_line", "_batch", "_loaded_at")


@dataclass(frozen=True)
class Stage:
    """The warehouse of one test, and the tables whose rows the test gives."""

    run: Run
    test: ModelTest
    given: frozenset[str]


@contextmanager
def stage(project: Project, test: ModelTest) -> Iterator[Stage]:
    """A warehouse in memory with every table that the model is made of, empty. All is gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="goldfeed-test-"))
    project = replace(project, settings=replace(project.settings, home=home), contracts={})
    database = open_in_memory(project.settings)
    try:
        clock = Clock()
        migrate(database, clock.now())
        run = Run(1, clock.now(), project, database, clock)
        given = frozenset(name for step in test.steps for name in step.given)
        made = Stage(run, test, given)
        _set_up(made)
        yield made
    finally:
        database.close()
        shutil.rmtree(home, ignore_errors=True)


def _set_up(made: Stage) -> None:
    run, graph = made.run, made.run.project.graph
    above = graph.upstream([made.test.table])
    for name in graph.order:
        if name in above and name in graph.sources:
            load.create_bronze(run.database, graph.sources[name])
            ledger.save_table(run.database, TableState(name, 1), {}, run.now)
        elif name in above and name != made.test.table:
            build(run, graph.models[name])
            if name in made.given:
                _only_its_columns(run.database, name)


def _only_its_columns(database: Database, name: str) -> None:
    """Make an empty plain table of a built one: the test gives its rows."""
    table, (layer, _, bare) = table_name(name), name.partition(".")
    database.run(f"CREATE OR REPLACE TEMP TABLE shape AS SELECT * FROM {table} LIMIT 0")
    views = database.value("SELECT count(*) FROM duckdb_views() WHERE schema_name = ? AND view_name = ?", [layer, bare])
    database.run(f"DROP {'VIEW' if views else 'TABLE'} {table}")
    database.run(f"CREATE TABLE {table} AS SELECT * FROM temp.shape")


def take_step(made: Stage, number: int) -> None:
    """Drop the rows of a step and build what is made of them, the tested table last."""
    run, graph = made.run, made.run.project.graph
    step = made.test.steps[number - 1]
    with run.database.transaction():
        _note_file(run, number)
        for name, rows in step.given.items():
            _drop(made, name, rows, number)
    above = graph.upstream([made.test.table])
    for name in graph.order:
        if name in above and name in graph.models and name not in made.given:
            build(run, graph.models[name])


def _note_file(run: Run, number: int) -> None:
    """The step as a file in the ledger: it decides ties as files do."""
    run.database.run(
        "INSERT INTO ledger.files SELECT ?, ?, 'given', ?, ?, 0, 0, 'utf-8', ',', NULL, true, 0, 0, 0, 0, 0, NULL, NULL, 1, ?",
        [number, number, f"step {number:06d}", f"step {number}", run.now],
    )


def _drop(made: Stage, name: str, rows: Sequence[dict[str, Any]], number: int) -> None:
    database, table = made.run.database, table_name(name)
    columns = database.columns_of(table)
    lineage = {"_file_id": number, "_batch": number, "_loaded_at": made.run.now}
    full = [{**lineage, "_line": at, **row} for at, row in enumerate(rows, 2)]
    typed_rows(made, "came", columns, full, f"given {name}")
    state = ledger.table_states(database)[name]
    key = _replaced_by(made, name)
    if key:
        same = " AND ".join(f"t.{quoted(one)} IS NOT DISTINCT FROM c.{quoted(one)}" for one in key)
        database.run(f"CREATE OR REPLACE TEMP TABLE went AS SELECT t.* FROM {table} t SEMI JOIN temp.came c ON {same}")
        database.run(f"DELETE FROM {table} t USING temp.came c WHERE {same}")
        record_rows(database, name, state.version + 1, "temp.went", "temp.came")
    else:
        record_batches(database, name, state.version + 1, state.watermark, number, len(rows))
    database.run(f"INSERT INTO {table} SELECT * FROM temp.came")
    kept = int(database.value(f"SELECT count(*) FROM {table}"))
    after = replace(state, version=state.version + 1, watermark=number, rows_in=kept, kept=kept)
    ledger.save_table(database, after, {}, made.run.now)


def _replaced_by(made: Stage, name: str) -> list[str]:
    """The columns by which given rows take the place of others; none for tables that only grow."""
    model = made.run.project.graph.models.get(name)
    if model is None or model.header.kind == "append":
        return []
    return [*model.header.key, *(["valid_from"] if model.header.kind == "scd2" else [])]


def typed_rows(
    made: Stage, temporary: str, columns: dict[str, str], rows: Sequence[dict[str, Any]], where: str
) -> None:
    """Make a temporary table of the columns from a test's rows. Raises ProjectError for a wrong name or value."""
    database, place = made.run.database, f"{made.test.path}:{made.test.line}"
    spec = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    database.run(f"CREATE OR REPLACE TEMP TABLE {temporary} ({spec})")
    for number, row in enumerate(rows, 1):
        strange = [name for name in row if name not in columns and name not in _LINEAGE]
        if strange:
            raise ProjectError(
                f"{where}, row {number}: there is no column {strange[0]!r}",
                where=place,
                do=f"the columns are {', '.join(name for name in columns if name not in _LINEAGE)}",
            )
        held = {name: value for name, value in row.items() if name in columns}
        values = ", ".join(f"CAST(? AS {columns[name]})" for name in held)
        try:
            database.run(
                f"INSERT INTO temp.{quoted(temporary)} ({columns_list(held)}) VALUES ({values})",
                [as_text(value) for value in held.values()],
            )
        except PermanentError as error:
            raise ProjectError(f"{where}, row {number}: {error.what}", where=place, do="correct the value") from error


def as_text(value: Any) -> str | None:
    """A value of YAML as the text that the engine casts."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def expected_columns(made: Stage, step: StepFile) -> list[str]:
    """The columns that a step's rows name. Raises ProjectError when they do not all name the same."""
    rows = step.expect or []
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            raise ProjectError(
                f"{made.test.name!r} expects row {number} with other columns than row 1",
                where=f"{made.test.path}:{made.test.line}",
                do="name the same columns in each; null is a value",
            )
    return list(rows[0]) if rows else []
