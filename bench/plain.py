"""Run bench/plain.sql on a folder of drops: `python -m bench.plain LANDING WORK`."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from bench.common import MEMORY_LIMIT, THREADS


def main() -> None:
    landing, work = (Path(word) for word in sys.argv[1:3])
    script = (Path(__file__).parent / "plain.sql").read_text(encoding="utf-8").replace("$landing", str(landing))
    connection = duckdb.connect(
        str(work / "plain.duckdb"),
        config={
            "memory_limit": MEMORY_LIMIT, "threads": THREADS, "preserve_insertion_order": False,
            "temp_directory": str(work / "spill"),
        },
    )
    connection.execute(script)
    connection.execute("SET preserve_insertion_order = true")
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'gold'").fetchall():
        connection.execute(f"COPY gold.{table} TO '{work}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)")
    connection.execute("CHECKPOINT")
    print(connection.execute("SELECT sum(revenue) FROM gold.mart_daily_kpis").fetchone())


if __name__ == "__main__":
    main()
