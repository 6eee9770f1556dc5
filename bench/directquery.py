"""Loading gold into PostgreSQL: `python -m bench.directquery --url postgresql:///bench?host=/tmp/pg --rows 2000000`.

The same rows go in three ways, each into tables of the same types: by plain COPY of a CSV file that is already
written, by goldfeed's copy, and by a whole goldfeed load (tables, rows, indexes, grants, statistics, swap) beside
plain COPY with the same indexes and statistics. Medians; the server is yours and is left with the last load.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
import psycopg

from bench.common import ROOT, WORK
from pipeline.directquery.load import load
from pipeline.directquery.server import Server
from pipeline.directquery.tables import create, indexes, selected
from pipeline.feed.snapshot import Snapshot, open_snapshot
from pipeline.published import MANIFEST, file_hash, point_to
from pipeline.settings import load_settings

ROWS = """
SELECT 'O' || lpad(CAST(n // 3 AS VARCHAR), 9, '0') AS order_id, CAST(n % 3 + 1 AS INTEGER) AS line_number,
    CAST(n * 7919 % 20000 AS INTEGER) AS product_key, CAST(DATE '2020-01-01' + CAST(n // 6000 AS INTEGER) AS DATE) AS order_date,
    CAST(n % 5 + 1 AS INTEGER) AS quantity, CAST(n % 9973 / 7 AS DECIMAL(18, 2)) AS unit_price,
    CAST(n % 977 / 13 AS DECIMAL(18, 2)) AS freight_amount, CAST(n % 49999 / 7 AS DECIMAL(18, 2)) AS line_amount,
    TIMESTAMP '2020-01-01 00:00:00' + INTERVAL (n * 14) SECOND AS ordered_at,
    CASE n % 4 WHEN 0 THEN 'delivered' WHEN 1 THEN 'shipped' WHEN 2 THEN 'paid' ELSE 'canceled' END AS status
FROM range({rows}) AS t(n)
"""
NAME = "fact_order_items"


def published(home: Path, rows: int) -> Snapshot:
    """A version of one table, written as a publication is."""
    shutil.rmtree(home, ignore_errors=True)
    folder = home / "published" / "000001"
    folder.mkdir(parents=True)
    path = folder / f"{NAME}.parquet"
    duckdb.sql(f"COPY ({ROWS.format(rows=rows)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    columns = [{"name": n, "type": str(t)} for n, t, *_ in duckdb.execute(f"DESCRIBE {ROWS.format(rows=1)}").fetchall()]
    table = {
        "key": ["order_id", "line_number"], "foreign_keys": {"product_key": "gold.dim_products.product_key"},
        "columns": columns, "rows": rows, "file": path.name, "sha256": file_hash(path),
    }  # fmt: skip
    manifest = {"version": "000001", "published_at": "2026-01-01T00:00:00Z", "tables": {NAME: table}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    point_to(home / "published", "000001")
    return open_snapshot(load_settings(ROOT, home=home, given={}, environ={}))


def timed(work: Callable[[], None], before: Callable[[], None], times: int) -> float:
    """The median of some runs."""
    found = []
    for _ in range(times):
        before()
        began = time.monotonic()
        work()
        found.append(time.monotonic() - began)
    return median(found)


def main() -> None:
    """Print rows per second of each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    home = WORK / "directquery"
    snapshot = published(home, given.rows)
    table, text = snapshot.manifest["tables"][NAME], home / "rows.csv"
    duckdb.sql(f"COPY ({ROWS.format(rows=given.rows)}) TO '{text}' (HEADER false)")

    def clear() -> None:
        with psycopg.connect(given.url) as connection:
            for schema in ("gold", "gold_next", "plain"):
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute("CREATE SCHEMA plain")
        with psycopg.connect(given.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def plain(whole: bool) -> None:
        with psycopg.connect(given.url) as connection, connection.cursor() as cursor:
            cursor.execute(create("plain", NAME, table["columns"]))
            with cursor.copy(f"COPY plain.{NAME} FROM STDIN (FORMAT csv)") as copy, open(text, "rb") as file:
                while data := file.read(1 << 20):
                    copy.write(data)
            for statement in [*indexes("plain", NAME, table), f"ANALYZE plain.{NAME}"] if whole else []:
                cursor.execute(statement)

    def ours() -> None:
        server = Server(given.url)
        server.run(create("plain", NAME, table["columns"]))
        server.copy("plain", NAME, snapshot.connection.sql(selected(table["columns"], NAME)))
        server.commit()
        server.close()

    def whole() -> None:
        load(load_settings(ROOT, home=home, given={}, environ={}), given.url, ROOT)

    seconds = {
        "plain COPY": timed(lambda: plain(False), clear, given.times),
        "goldfeed's copy": timed(ours, clear, given.times),
        "plain COPY, indexes, ANALYZE": timed(lambda: plain(True), clear, given.times),
        "goldfeed directquery load": timed(whole, clear, given.times),
    }
    for name, value in seconds.items():
        print(f"{name:32} {value:7.2f} s {given.rows / value:12,.0f} rows/s")
    rows = list(seconds.values())
    print(f"copy: {rows[0] / rows[1]:.0%} of plain COPY's rate; whole load: {rows[2] / rows[3]:.0%}")


if __name__ == "__main__":
    main()
