"""Single lines of files, cast anew and put in their place: in bronze if they fit, else in quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import AccountingError, PermanentError
from pipeline.landing.guard import Looked, Ready
from pipeline.landing.header import Layout
from pipeline.landing.look import Facts
from pipeline.landing.records import Grammar, Record, bytes_problem, staged
from pipeline.landing.scan import FoundFile
from pipeline.project.source import Source
from pipeline.settings import bytes_of
from pipeline.sql import columns_list, table_name
from pipeline.steps.context import Run
from pipeline.warehouse import load
from pipeline.warehouse.database import Database
from pipeline.warehouse.typed import reason

Key = tuple[int, int]  # file_id, line


@dataclass(frozen=True)
class Line:
    """One record as UTF-8 (or what should be), without its line end. `recoded`: it came in another encoding."""

    key: Key
    data: bytes
    layout: Layout
    recoded: bool = False


@dataclass(frozen=True)
class Failing:
    """A line that does not fit, and why."""

    key: Key
    reason: str
    column: str | None
    raw: str | None = None


@dataclass(frozen=True)
class Moved:
    """What `put_in_place` did: rows that came to bronze, that left it, and whether bronze changed at all."""

    came: int
    left: int

    @property
    def changed(self) -> bool:
        return self.came + self.left > 0


def cast_lines(run: Run, source: Source, lines: Sequence[Line]) -> list[Failing]:
    """Cast lines as the source is declared now: those that fit are left in temp.mended. Returns the others."""
    columns = load.bronze_columns(run.database, source)
    run.database.run(
        f"CREATE OR REPLACE TEMP TABLE mended AS SELECT {columns_list(columns)}, _file_id, _line "
        f"FROM {table_name(source.table)} LIMIT 0"
    )
    failing: list[Failing] = []
    for layout in dict.fromkeys(line.layout for line in lines):
        failing += _cast_layout(run, source, columns, layout, [line for line in lines if line.layout == layout])
    return failing


def _cast_layout(
    run: Run, source: Source, columns: dict[str, str], layout: Layout, lines: Sequence[Line]
) -> list[Failing]:
    path = run.project.settings.scratch / f"mended {source.name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    good, failing = _stage(lines, Grammar(layout), bytes_of(run.project.settings.max_line_bytes), path)
    if not good:
        return failing
    looked = Looked(FoundFile(path, path.name, 0, 0), Facts(), None, path, None)
    group = load.Group(source, [Ready(looked, layout, "utf-8", True, path)], [1], columns)
    load.read_group(run.database, group)
    path.unlink()
    return failing + _taken(run.database, group, [line.key for line in good])


def _stage(lines: Sequence[Line], grammar: Grammar, limit: int, path: Path) -> tuple[list[Line], list[Failing]]:
    """Write the lines that are records of this layout to a file. Returns them, and the others."""
    good, failing = list[Line](), list[Failing]()
    with open(path, "wb") as file:
        for line in lines:
            problem = _problem(line, grammar, limit)
            if problem:
                failing.append(Failing(line.key, problem, None))
            else:
                file.write(staged(Record(line.key[1], line.data), grammar))
                good.append(line)
    return good, failing


def _problem(line: Line, grammar: Grammar, limit: int) -> str | None:
    if not line.data.strip():
        return "the line is blank"
    if b'"' not in line.data and (b"\n" in line.data or b"\r" in line.data):
        return "a line break outside quotes"
    return bytes_problem(line.data, limit, recoded=line.recoded) or grammar.problem(line.data)


def _taken(database: Database, group: load.Group, keys: Sequence[Key]) -> list[Failing]:
    """Add the rows of `raw` that fit to temp.mended under their keys. Returns the others."""
    read = int(database.value("SELECT count(*) FROM raw"))
    if read != len(keys):
        raise PermanentError(
            f"{len(keys)} lines were given to the reader, but it gave {read}",
            where=group.source.table,
            do="nothing was changed; replay fewer rows at a time, by --reason",
        )
    names = columns_list(group.columns, "r")
    # rows of an open transaction bear numbers from far up, so places count from the first
    first = int(database.value("SELECT min(rowid) FROM raw"))
    placed = "(SELECT unnest(?) AS place, unnest(?) AS file_id, unnest(?) AS line) p ON p.place = r.rowid - ?"
    lists = [list(range(len(keys))), [key[0] for key in keys], [key[1] for key in keys]]
    database.run(
        f"INSERT INTO temp.mended SELECT {names}, p.file_id, p.line FROM raw r JOIN {placed} WHERE r._bad IS NULL",
        [*lists, first],
    )
    misfits = database.rows("SELECT rowid - ?, _bad FROM raw WHERE _bad IS NOT NULL ORDER BY 1", [first])
    for table in ("raw", "broken", "holes"):
        database.run(f"DROP TABLE IF EXISTS temp.{table}")
    found = [(keys[place], *reason(group.source, list(group.columns), bad)) for place, bad in misfits]
    return [Failing(key, why, column) for key, column, why in found]


def put_in_place(
    run: Run, source: Source, keys: Iterable[Key], failing: Sequence[Failing], batch: str, *, held: int
) -> Moved:
    """Have each of the lines stand once: those of temp.mended in bronze under `batch` (an expression), the others
    in quarantine; inside the caller's transaction. Raises AccountingError if they did not stand `held` times before.
    """
    database, table = run.database, table_name(source.table)
    lists = list(zip(*keys, strict=True)) or [(), ()]
    database.run(
        "CREATE OR REPLACE TEMP TABLE tried AS SELECT unnest(?::INTEGER[]) AS file_id, unnest(?::BIGINT[]) AS line",
        [list(lists[0]), list(lists[1])],
    )
    in_bronze = "t._file_id = k.file_id AND t._line = k.line"
    aside = "q.source = ? AND q.file_id = k.file_id AND q.line = k.line"
    left = int(database.value(f"SELECT count(*) FROM {table} t JOIN temp.tried k ON {in_bronze}"))
    waited = int(
        database.value(f"SELECT count(*) FROM ledger.quarantine q JOIN temp.tried k ON {aside}", [source.name])
    )
    if left + waited != held:
        raise AccountingError(
            f"{held} lines were to be put in place, but {left} stand in bronze and {waited} in quarantine",
            where=source.table,
            do="nothing was written; please report this",
        )
    came = int(database.value("SELECT count(*) FROM temp.mended"))
    good = "q.source = ? AND q.file_id = k._file_id AND q.line = k._line"
    database.run(f"DELETE FROM {table} t USING temp.tried k WHERE {in_bronze}")
    database.run(f"DELETE FROM ledger.quarantine q USING temp.mended k WHERE {good}", [source.name])
    names = columns_list(load.bronze_columns(database, source))
    database.run(
        f"INSERT INTO {table} ({names}, _file_id, _line, _batch, _loaded_at) "
        f"SELECT {names}, _file_id, _line, {batch}, CAST(? AS TIMESTAMP) FROM temp.mended ORDER BY _file_id, _line",
        [run.now],
    )
    _set_aside(run, source, failing)
    for name in ("tried", "mended"):
        database.run(f"DROP TABLE temp.{name}")
    return Moved(came, left)


def _set_aside(run: Run, source: Source, failing: Sequence[Failing]) -> None:
    """Have each failing line stand in quarantine with its reason of now; one that stood there keeps its number."""
    rows = [(f.key[0], f.key[1], f.reason, f.column, f.raw) for f in failing]
    names = ("file_id", "line", "reason", "column_name", "raw")
    database = run.database
    if not rows:
        return
    database.run(
        "CREATE OR REPLACE TEMP TABLE failing (file_id INTEGER, line BIGINT, reason VARCHAR, column_name VARCHAR, raw VARCHAR)"
    )
    database.insert_many("INSERT INTO temp.failing SELECT * FROM", names, rows)
    same = "q.source = ? AND q.file_id = f.file_id AND q.line = f.line"
    database.run(
        "UPDATE ledger.quarantine q SET reason = f.reason, column_name = f.column_name, raw = coalesce(f.raw, q.raw) "
        f"FROM temp.failing f WHERE {same}",
        [source.name],
    )
    first = int(database.value("SELECT coalesce(max(quarantine_id), 0) FROM ledger.quarantine"))
    database.run(
        "INSERT INTO ledger.quarantine SELECT ? + row_number() OVER (ORDER BY file_id, line), ?, file_id, line, reason, "
        "column_name, coalesce(raw, ''), file_id, ?, ? FROM temp.failing f "
        f"WHERE NOT EXISTS (SELECT 1 FROM ledger.quarantine q WHERE {same})",
        [first, source.name, run.run_id, run.now, source.name],
    )
    database.run("DROP TABLE temp.failing")
