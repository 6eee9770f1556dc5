"""bench/plain.sql with what goldfeed keeps, still by hand: `python -m bench.kept LANDING WORK`.

Each file is hashed (SHA-256), packed into an archive that is durable, and counts once by its content; a row of bronze
has the file and the line it came from; what the reader refuses and what does not cast goes to quarantine with its text,
and the lines of each file are balanced; the Parquet files are hashed, durable and renamed into place together.
No ledger beyond that, no contracts, nothing for a next run; clean UTF-8 files with one kind of line end are taken for granted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import zstandard

from bench.plain import connected, gold_tables, statements

_BRONZE = re.compile(r"CREATE TABLE bronze\.(\w+) AS SELECT (.*)\nFROM read_csv\('([^']+)', (.*columns = \{(.*)\})\)", re.DOTALL)


def main() -> None:
    landing, work = (Path(word).resolve() for word in sys.argv[1:3])
    connection = connected(work)
    connection.execute("CREATE TABLE quarantine (source VARCHAR, file VARCHAR, line BIGINT, raw VARCHAR)")
    lines = archived(landing, work / "archive")
    for statement in statements(landing):
        bronze = _BRONZE.fullmatch(statement.strip())
        if bronze is None:
            connection.execute(statement)
        else:
            take(connection, *bronze.groups(), lines=lines)
    published(connection, work)
    connection.execute("CHECKPOINT")
    for path in lines:
        os.unlink(path)


def archived(landing: Path, archive: Path) -> dict[str, int]:
    """Path -> lines, of each content once; its archive copy is durable."""
    archive.mkdir()

    def keep(path: Path) -> tuple[str, str, int]:
        data = path.read_bytes()
        name = hashlib.sha256(data).hexdigest()
        durable(archive / f"{name}.csv.zst", zstandard.compress(data, 1))
        return name, str(path), data.count(b"\n")

    with ThreadPoolExecutor(8) as pool:
        found = {name: (path, lines) for name, path, lines in pool.map(keep, sorted(landing.rglob("*.csv"), reverse=True))}
    sync(archive)
    return dict(found.values())


def take(connection: duckdb.DuckDBPyConnection, table: str, values: str, pattern: str, options: str, spec: str, *, lines: dict[str, int]) -> None:
    """The files of one source, each row with its file and line, what does not fit in quarantine."""
    files, columns = sorted(lines.keys() & {str(path) for path in Path("/").glob(pattern.removeprefix("/"))}), re.findall(r"'(\w+)': 'VARCHAR'", spec)
    made = re.findall(r" AS (\w+)(?:,|$)", re.sub(r"AS (INTEGER|DECIMAL|TIMESTAMP)\b", "", values))
    read(connection, columns, made, f"SELECT {values}, CAST(file_index AS INTEGER) AS _f, {as_struct(columns)} AS _t FROM read_csv(?, {options})", files)
    refused(connection, files)
    rows = numbered(connection)
    connection.execute(f"CREATE TABLE bronze.{table} AS SELECT {', '.join(made)}, _f AS _file_id, _line, now() AS _loaded_at FROM {rows} WHERE _raw IS NULL")
    connection.execute(f"INSERT INTO quarantine SELECT '{table}', list_extract(?, _f + 1), _line, _raw FROM {rows} WHERE _raw IS NOT NULL", [files])
    connection.execute(f"INSERT INTO quarantine SELECT '{table}', list_extract(?, _f + 1), line, raw FROM refused", [files])
    balanced(connection, table, files, lines)


def read(connection: duckdb.DuckDBPyConnection, columns: list[str], made: list[str], select: str, files: list[str]) -> None:
    """Make the table raw: the rows as they are made, in the order of their lines, and the text of those that do not fit."""
    wrong = " OR ".join(f"({name} IS NULL AND _t.{name} IS NOT NULL)" for name in made if name in columns)
    text = f"concat_ws(',', {', '.join(f'_t.{name}' for name in columns)})"
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE raw AS SELECT {', '.join(made)}, _f, CASE WHEN {wrong} THEN {text} END AS _raw FROM ({select})", [files])
    connection.execute("SET preserve_insertion_order = false")


def as_struct(columns: list[str]) -> str:
    return f"{{{', '.join(f'{name!r}: {name}' for name in columns)}}}"


def refused(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Make the table refused: the lines that the reader could not read."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE refused AS SELECT list_position(?, file_path) - 1 AS _f, line, any_value(csv_line) AS raw "
        "FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) GROUP BY ALL",
        [files],
    )
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")


def numbered(connection: duckdb.DuckDBPyConnection) -> str:
    """A relation: raw with the line of each row, which is its place, the header and the refused lines before it."""
    if connection.execute("FROM refused LIMIT 1").fetchone() is None:
        shifts = [shift for (shift,) in connection.execute("SELECT 2 - min(rowid) FROM raw GROUP BY _f ORDER BY _f").fetchall()]
        return f"(SELECT *, rowid + list_extract({shifts}::BIGINT[], _f + 1) AS _line FROM raw)"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE shifts AS WITH f AS (SELECT _f, min(rowid) AS base FROM raw GROUP BY _f), "
        "r AS (SELECT _f, line - row_number() OVER w AS place, row_number() OVER w AS behind FROM refused WINDOW w AS (PARTITION BY _f ORDER BY line)), "
        "s AS (SELECT base AS place, 2 - base AS shift FROM f UNION ALL SELECT base + place - 1, 2 - base + behind FROM r JOIN f USING (_f)) "
        "SELECT place, max(shift) AS shift FROM s GROUP BY place"
    )
    return "(SELECT r.*, r.rowid + s.shift AS _line FROM raw r ASOF JOIN shifts s ON r.rowid >= s.place)"


def balanced(connection: duckdb.DuckDBPyConnection, table: str, files: list[str], lines: dict[str, int]) -> None:
    """lines = header + bronze + quarantine, for each file."""
    kept = dict(connection.execute(f"SELECT list_extract(?, _file_id + 1), count(*) FROM bronze.{table} GROUP BY 1", [files]).fetchall())
    aside = dict(connection.execute("SELECT file, count(*) FROM quarantine WHERE source = ? GROUP BY 1", [table]).fetchall())
    wrong = [path for path in files if lines[path] != 1 + kept.get(path, 0) + aside.get(path, 0)]
    if wrong:
        print(f"{len(wrong)} files of {table} do not balance, such as {wrong[0]}")


def published(connection: duckdb.DuckDBPyConnection, work: Path) -> None:
    """The Parquet files of all of gold with a manifest, durable before they have their name."""
    beside, manifest = work / "building", {}
    beside.mkdir()
    connection.execute("SET preserve_insertion_order = true")
    for table in gold_tables(connection):
        path = beside / f"{table}.parquet"
        connection.execute(f"COPY gold.{table} TO '{path}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
        with open(path, "rb") as file:
            manifest[table] = hashlib.file_digest(file, "sha256").hexdigest()
        sync(path)
    durable(beside / "manifest.json", json.dumps(manifest).encode())
    sync(beside)
    os.rename(beside, work / "000001")


def durable(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


if __name__ == "__main__":
    main()
