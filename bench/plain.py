"""Run bench/plain.sql on a folder of drops: `python -m bench.plain LANDING WORK`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb

from bench.common import MEMORY_LIMIT, THREADS


def main() -> None:
    landing, work = (Path(word) for word in sys.argv[1:3])
    connection = connected(work)
    for statement in statements(landing):
        connection.execute(statement)
    connection.execute("SET preserve_insertion_order = true")
    for table in gold_tables(connection):
        connection.execute(f"COPY gold.{table} TO '{work}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
    connection.execute("CHECKPOINT")


def connected(work: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(work / "plain.duckdb"),
        config={
            "memory_limit": MEMORY_LIMIT, "threads": THREADS, "preserve_insertion_order": False,
            "temp_directory": str(work / "spill"),
        },
    )


def statements(landing: Path) -> Iterator[str]:
    script = (Path(__file__).parent / "plain.sql").read_text(encoding="utf-8").replace("$landing", str(landing))
    for statement in duckdb.extract_statements(script):
        yield statement.query.strip().rstrip(";")


def gold_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'gold' AND database_name = current_database() ORDER BY 1").fetchall()
    return [table for (table,) in found]


if __name__ == "__main__":
    main()
