"""A model's tests, done: each step dropped, built by the real steps, and compared; a full rebuild must give the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import GoldfeedError
from pipeline.project.modeltest import ModelTest, StepFile
from pipeline.project.project import Project
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.build import build
from pipeline.steps.stage import Stage, expected_columns, stage, take_step, typed_rows

Record = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """What one step found otherwise: rows that are missing, rows that are too many, and in words what else."""

    step: int
    columns: tuple[str, ...] = ()
    missing: tuple[tuple[Any, ...], ...] = ()
    extra: tuple[tuple[Any, ...], ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Proof:
    """How a test went: `passed`, `failed` (see `differences`) or `error` (see `error`)."""

    table: str
    name: str
    status: str
    differences: tuple[Difference, ...] = ()
    error: str | None = None


def prove(project: Project, test: ModelTest) -> Proof:
    """Do one test in a warehouse of its own, in memory."""
    differences: list[Difference] = []
    try:
        with stage(project, test) as made:
            for number, step in enumerate(test.steps, 1):
                take_step(made, number)
                differences += _compared(made, step, number)
            differences += _against_a_rebuild(made)
    except GoldfeedError as error:
        return Proof(test.table, test.name, "error", error=error.sentence())
    return Proof(test.table, test.name, "failed" if differences else "passed", tuple(differences))


def _known_rows(made: Stage) -> str:
    """The tested table without its unknown member."""
    model, table = made.run.project.graph.models[made.test.table], table_name(made.test.table)
    key = model.header.surrogate_key
    return f"(SELECT * FROM {table} WHERE {quoted(key)} <> -1)" if model.header.has_unknown_member and key else table


def _compared(made: Stage, step: StepFile, number: int) -> list[Difference]:
    found = []
    if step.expect is not None:
        found += _rows_compared(made, step, number)
    if step.set_aside is not None:
        aside: dict[str, int] = dict(
            made.run.database.rows(
                "SELECT reason, count(*) FROM ledger.quarantine WHERE source = ? GROUP BY 1", [made.test.table]
            )
        )
        if aside != step.set_aside:
            found.append(Difference(number, words=f"set aside: {_told(step.set_aside)} expected, {_told(aside)} found"))
    return found


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{many} by {reason!r}" for reason, many in sorted(counts.items())) or "nothing"


def _rows_compared(made: Stage, step: StepFile, number: int) -> list[Difference]:
    database, actual = made.run.database, _known_rows(made)
    columns = expected_columns(made, step)
    held = database.columns_of(f"SELECT * FROM {actual}")
    if not columns:
        extra = database.rows(f"SELECT * FROM {actual} LIMIT 20")
        return [Difference(number, tuple(held), (), tuple(extra))] if extra else []
    typed_rows(made, "wanted", held, step.expect or [], "expect")
    names = columns_list(columns)
    missing = database.rows(f"SELECT {names} FROM temp.wanted EXCEPT ALL SELECT {names} FROM {actual} ORDER BY ALL")
    extra = database.rows(f"SELECT {names} FROM {actual} EXCEPT ALL SELECT {names} FROM temp.wanted ORDER BY ALL")
    return [Difference(number, tuple(columns), tuple(missing), tuple(extra))] if missing or extra else []


def _against_a_rebuild(made: Stage) -> list[Difference]:
    """Incremental equals full: the table as the steps left it, and built anew from the same rows."""
    run, name = made.run, made.test.table
    model = run.project.graph.models[name]
    if model.header.kind in ("full", "view"):
        return []
    run.database.run(f"CREATE OR REPLACE TEMP TABLE stepwise AS SELECT * FROM {table_name(name)}")
    build(run, model, refresh=True)
    columns = run.database.columns_of("temp.stepwise")
    lost = run.database.rows(f"SELECT * FROM {table_name(name)} EXCEPT ALL SELECT * FROM temp.stepwise ORDER BY ALL")
    more = run.database.rows(f"SELECT * FROM temp.stepwise EXCEPT ALL SELECT * FROM {table_name(name)} ORDER BY ALL")
    if not lost and not more:
        return []
    words = "the steps left other rows than a full rebuild gives"
    return [Difference(len(made.test.steps), tuple(columns), tuple(lost), tuple(more), words)]


def lines_of(difference: Difference, key: Sequence[str]) -> list[tuple[str, ...]]:
    """A difference as lines of cells, a mark first: `-` expected and missing, `+` there and not expected.

    Rows of the same key stand together, so that one sees which cells differ.
    """
    places = [difference.columns.index(name) for name in key if name in difference.columns]
    marked = [("-", row) for row in difference.missing] + [("+", row) for row in difference.extra]
    if len(places) == len(key):
        marked.sort(key=lambda one: [str(one[1][place]) for place in places])
    return [(mark, *("" if cell is None else str(cell) for cell in row)) for mark, row in marked]
