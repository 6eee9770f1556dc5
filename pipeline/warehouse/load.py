"""CSV files of one layout into typed rows: read once, cast, counted, set aside or kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from pipeline.errors import AccountingError
from pipeline.landing.guard import Ready
from pipeline.landing.rejected import look_at_refused
from pipeline.project.source import LINEAGE, Source
from pipeline.sql import CHECKSUM, WHOLE_ROW, columns_list, literal, quoted, table_name
from pipeline.warehouse.database import Database
from pipeline.warehouse.typed import typed


@dataclass(frozen=True)
class Group:
    """Files of one layout, read together. `files[i]` has number `ids[i]`; `again` if bronze holds them already.

    `doubted` are the places of those that the fast reader may have misread.
    Numbers are given when all files are read to the line, so that a second reading leaves no gap.
    """

    source: Source
    files: list[Ready]
    ids: list[int]
    columns: dict[str, str]
    again: bool = False
    doubted: set[int] = field(default_factory=set)

    @property
    def number(self) -> str:
        """An expression: the number of the file whose place in the group is `_f`."""
        if self.ids == list(range(self.ids[0], self.ids[0] + len(self.ids))):
            return f"CAST(_f + {self.ids[0]} AS INTEGER)"
        return f"list_extract({self.ids}::INTEGER[], _f + 1)"

    @property
    def careful(self) -> bool:
        return self.files[0].careful


def bronze_columns(database: Database, source: Source) -> dict[str, str]:
    """Data columns of a bronze table and their types, lineage left out; the table must be there."""
    found = database.columns("bronze", source.name)
    return {name: kind for name, kind in found.items() if name not in LINEAGE}


def create_bronze(database: Database, source: Source) -> None:
    """Make the bronze table of a source."""
    columns = ", ".join(f"{quoted(name)} {spec.type.upper()}" for name, spec in source.columns.items())
    database.run(
        f"CREATE TABLE IF NOT EXISTS {table_name(source.table)} ({columns}, "
        "_file_id INTEGER NOT NULL, _line BIGINT NOT NULL, _batch INTEGER NOT NULL, _loaded_at TIMESTAMP NOT NULL)"
    )


def read_group(database: Database, group: Group) -> None:
    """Read and cast a group into the temporary table `raw`, broken lines into `broken`.

    `raw` has the bronze columns, `_bad` (the number of the first column that
    does not fit, or NULL) and `_f` (the file's place in the group).
    """
    for table in ("reject_errors", "reject_scans", "raw", "broken", "holes"):
        database.run(f"DROP TABLE IF EXISTS temp.{table}")
    limit = max(file.limit for file in group.files)
    select = typed(group.source, group.columns, group.files[0].layout, limit, careful=group.careful)
    with database.in_order():
        database.run(f"CREATE TEMP TABLE raw AS {select}", [[str(file.path) for file in group.files]])
    database.run("CREATE TEMP TABLE broken (_f INTEGER, line BIGINT, reason VARCHAR, raw VARCHAR)")
    database.run("CREATE TEMP TABLE holes (_f INTEGER, line BIGINT)")
    _read_set_aside(database, group)
    if not group.careful:
        _read_rejects(database, group)


def _read_rejects(database: Database, group: Group) -> None:
    """What DuckDB could not read, one row a line; and the header and blank lines of each file.

    A line of blanks alone is too short for DuckDB; it is a blank line, as it is for the careful reader.
    """
    refused = database.rows(
        "SELECT DISTINCT list_position(?, s.file_path) - 1, e.line "
        "FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) ORDER BY ALL",
        [[str(file.path) for file in group.files]],
    )
    lost: list[tuple[int, int, str, str]] = []
    for place, found in groupby(refused, key=itemgetter(0)):
        file = group.files[place]
        told = look_at_refused(file, [line for _, line in found])
        if told is None:
            group.doubted.add(place)
            continue
        broken, blank = told
        lost += [(place, *one) for one in broken]
        group.files[place] = replace(file, gaps=tuple(sorted({*file.gaps, *blank})))
    database.insert_many("INSERT INTO broken SELECT * FROM", None, lost)
    gaps = [(place, line) for place, file in enumerate(group.files) for line in file.gaps]
    database.insert_many("INSERT INTO holes SELECT * FROM", None, gaps)


def _read_set_aside(database: Database, group: Group) -> None:
    """The lines that the careful reader set aside, and those on which no record begins."""
    for table, columns, paths in (
        ("broken", {"line": "BIGINT", "reason": "VARCHAR", "raw": "VARCHAR"}, [file.broken for file in group.files]),
        ("holes", {"line": "BIGINT"}, [file.holes for file in group.files]),
    ):
        # an empty file has no place in DuckDB's file_index, so it is left out and the places are given
        held = [(place, str(path)) for place, path in enumerate(paths) if path is not None and path.stat().st_size]
        if held:
            spec = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
            database.run(
                f"INSERT INTO {table} SELECT list_extract(?, CAST(file_index AS INTEGER) + 1), {columns_list(columns)} "
                f"FROM read_csv(?, columns = {{{spec}}}, auto_detect = false, header = false, delim = ',', quote = '\"', "
                "escape = '\"', new_line = '\\n', max_line_size = 8000000)",
                [[place for place, _ in held], [path for _, path in held]],
            )


def read_counts(database: Database, group: Group) -> list[tuple[int, int]]:
    """(rows read, lines broken) of each file of the group."""
    counts = [[0, 0] for _ in group.files]
    for place, broken, rows in database.rows(
        "SELECT _f, 0, count(*) FROM raw GROUP BY _f UNION ALL SELECT _f, 1, count(*) FROM broken GROUP BY _f"
    ):
        counts[place][broken] = rows
    return [(rows, broken) for rows, broken in counts]


def number_lines(database: Database) -> None:
    """Make the temporary table `spans`: for ranges of rows, by how much a row's place is off its line.

    The rows of a file stand in `raw` in order and without gaps, so a row's
    line is its place, plus the lines before it on which no row begins. Spans
    are cut at every 1024 rows, so that rows find theirs by a hash join.
    """
    database.run("DROP TABLE IF EXISTS temp.spans")
    database.run(
        "CREATE TEMP TABLE spans AS "
        "WITH files AS (SELECT _f, min(rowid) AS base, max(rowid) + 1 AS beyond FROM raw GROUP BY _f), "
        "gaps AS (SELECT _f, line FROM holes UNION ALL SELECT _f, line FROM broken), "
        "counted AS (SELECT _f, line - row_number() OVER (PARTITION BY _f ORDER BY line) AS place, "
        "row_number() OVER (PARTITION BY _f ORDER BY line) AS behind FROM gaps UNION ALL SELECT _f, 0, 0 FROM files), "
        "steps AS (SELECT _f, place, max(behind) AS behind FROM counted GROUP BY _f, place), "
        "cut AS (SELECT f._f, place + base AS from_row, 1 + behind - base AS shift, "
        "coalesce(lead(place + base) OVER (PARTITION BY f._f ORDER BY place), beyond) AS to_row "
        "FROM steps s JOIN files f ON f._f = s._f) "
        "SELECT from_row, to_row, shift, unnest(range(from_row >> 10, ((to_row - 1) >> 10) + 1)) AS bucket "
        "FROM cut WHERE to_row > from_row"
    )


def _rows(group: Group) -> str:
    """`raw` with the physical line of each row."""
    return (
        f"(SELECT {columns_list(group.columns, 'r')}, r._f, r._bad, r.rowid + s.shift AS _line FROM raw r "
        "JOIN spans s ON s.bucket = r.rowid >> 10 AND r.rowid >= s.from_row AND r.rowid < s.to_row)"
    )


def insert_rows(database: Database, group: Group, now: datetime) -> None:
    """Add the rows that fit to bronze; each with file, line, batch and time."""
    names = columns_list(group.columns)
    database.run(
        f"INSERT INTO {table_name(group.source.table)} ({names}, _file_id, _line, _batch, _loaded_at) "
        f"SELECT {names}, {group.number}, _line, {group.number}, CAST(? AS TIMESTAMP) "
        f"FROM {_rows(group)} WHERE _bad IS NULL",
        [now],
    )


def misfits(database: Database, group: Group) -> list[tuple[int, int, int]]:
    """(file's place, line, number of the column) of the rows that do not fit, in order."""
    return [
        (int(place), int(line), int(bad))
        for place, line, bad in database.rows(
            f"SELECT _f, _line, _bad FROM {_rows(group)} WHERE _bad IS NOT NULL ORDER BY ALL"
        )
    ]


def broken_lines(database: Database) -> int:
    """How many lines of the group just read are broken."""
    return int(database.value("SELECT count(*) FROM temp.broken"))


def insert_quarantine(database: Database, group: Group, side: Path, first: int, run_id: int, now: datetime) -> None:
    """Add the broken lines, and the misfits listed in the CSV file `side`, to quarantine, numbered after `first`."""
    misfit = (
        "SELECT _f, line, reason, column_name, raw FROM read_csv(?, columns = {'_f': 'INTEGER', 'line': 'BIGINT', "
        "'reason': 'VARCHAR', 'column_name': 'VARCHAR', 'raw': 'VARCHAR'}, auto_detect = false, header = false, "
        "delim = ',', quote = '\"', escape = '\"', new_line = '\\n', max_line_size = 8000000)"
    )
    database.run(
        f"INSERT INTO ledger.quarantine SELECT ? + row_number() OVER (ORDER BY _f, line), ?, {group.number}, line, reason, "
        f"column_name, raw, {group.number}, ?, ? FROM (SELECT _f, line, reason, NULL AS column_name, raw FROM broken "
        f"UNION ALL {misfit})",
        [first, group.source.name, run_id, now, str(side)],
    )


def loaded_counts(database: Database, group: Group) -> dict[int, tuple[int, int]]:
    """file_id -> (bronze rows, quarantined rows), counted in the tables themselves."""
    kept: dict[int, int] = dict(
        database.rows(
            f"SELECT _file_id, count(*) FROM {table_name(group.source.table)} WHERE _file_id BETWEEN ? AND ? GROUP BY 1",
            [min(group.ids), max(group.ids)],
        )
    )
    aside: dict[int, int] = dict(
        database.rows(
            "SELECT file_id, count(*) FROM ledger.quarantine WHERE source = ? AND batch BETWEEN ? AND ? GROUP BY 1",
            [group.source.name, min(group.ids), max(group.ids)],
        )
    )
    return {number: (kept.get(number, 0), aside.get(number, 0)) for number in group.ids}


def check_balance(group: Group, counts: dict[int, tuple[int, int]]) -> None:
    """Promise 2 for each file: lines = header + blank + bronze + quarantine. Raises AccountingError."""
    for place, file in enumerate(group.files):
        kept, aside = counts[group.ids[place]]
        if kept + aside != file.expected:
            raise AccountingError(
                f"{file.expected} records were counted in the file, but {kept} went to bronze and {aside} to quarantine",
                where=file.looked.found.name,
                do="nothing was written; please report this file",
            )


def group_key(ready: Ready) -> tuple[object, ...]:
    """Files with the same key can be read together."""
    return ready.careful, ready.layout.delimiter, ready.layout.fields


def split(files: Sequence[Ready], size: int, most: int = 500) -> list[list[Ready]]:
    """Cut a list of files into runs of one layout, of at most `size` bytes and `most` files."""
    groups: dict[tuple[object, ...], list[list[Ready]]] = {}
    for file in files:
        runs = groups.setdefault(group_key(file), [[]])
        held = sum(other.looked.facts.size for other in runs[-1])
        if runs[-1] and (held + file.looked.facts.size > size or len(runs[-1]) >= most):
            runs.append([])
        runs[-1].append(file)
    return [run for runs in groups.values() for run in runs]


def content_of(database: Database, group: Group) -> tuple[object, ...]:
    """A checksum of what bronze and quarantine hold of a group's files, whatever the order of the rows."""
    rows = f"SELECT * EXCLUDE (_loaded_at) FROM {table_name(group.source.table)} WHERE list_contains(?, _file_id)"
    aside = (
        "SELECT file_id, line, reason, column_name, raw FROM ledger.quarantine "
        "WHERE list_contains(?, file_id) AND source = ?"
    )
    return (
        *database.rows(f"SELECT {CHECKSUM} FROM ({rows}) {WHOLE_ROW}", [group.ids])[0],
        *database.rows(f"SELECT {CHECKSUM} FROM ({aside}) {WHOLE_ROW}", [group.ids, group.source.name])[0],
    )


def forget_rows(database: Database, group: Group) -> tuple[int, int]:
    """Take the rows of a group's files out of bronze, quarantine and the ledger; in the transaction that reads them again.

    Returns how many rows bronze and quarantine held.
    """
    table, ids = table_name(group.source.table), [group.ids]
    kept = int(database.value(f"SELECT count(*) FROM {table} WHERE list_contains(?, _file_id)", ids))
    aside_where = "WHERE list_contains(?, file_id) AND source = ?"
    aside = int(database.value(f"SELECT count(*) FROM ledger.quarantine {aside_where}", [*ids, group.source.name]))
    database.run(f"DELETE FROM {table} WHERE list_contains(?, _file_id)", ids)
    database.run(f"DELETE FROM ledger.quarantine {aside_where}", [*ids, group.source.name])
    database.run("DELETE FROM ledger.files WHERE list_contains(?, file_id)", ids)
    return kept, aside
