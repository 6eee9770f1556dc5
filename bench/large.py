"""A large shop in little memory: `python -m bench.large --lines 100000000 --memory 4000`, or one file: `--one-file 2.1`.

Writes the drops, takes them in and builds everything in one run; prints
seconds, order lines a second and peak memory, which must stay below the
megabytes given. The engine is given three quarters of them: Python, Polars
and what the engine does not count need the rest. One file of so many gigabytes is of
order lines alone, and is taken in with `memory_limit = 1GB`.
"""

from __future__ import annotations

import argparse
import shutil
import time
from datetime import date

import duckdb

from bench.common import WORK, measured
from pipeline.demo import write_shop

LINES_AN_ORDER = 3
BYTES_A_LINE = 52.9
ONE_FILE = """
COPY (
    SELECT 'O' || lpad(CAST(i // 3 AS VARCHAR), 9, '0') AS order_id, i % 3 + 1 AS line_number,
        'P' || lpad(CAST(i * 7919 % 5000 AS VARCHAR), 5, '0') AS product_id, i % 5 + 1 AS quantity,
        CAST((i * 31 % 10000) / 100 AS DECIMAL(18, 2)) AS unit_price, CAST((i % 300) / 100 AS DECIMAL(18, 2)) AS freight_amount,
        TIMESTAMP '2024-01-01' + to_seconds(i // 3) AS updated_at
    FROM range({lines}) AS t(i)
) TO '{path}' (HEADER)
"""


def one_file(gigabytes: float) -> None:
    """One file of order lines, with a limit below its size."""
    home = WORK / "one-file"
    shutil.rmtree(home, ignore_errors=True)
    (home / "landing").mkdir(parents=True)
    path, lines = home / "landing/order_items_2024.csv", int(gigabytes * 1e9 / BYTES_A_LINE)
    duckdb.connect().execute(ONE_FILE.format(lines=lines, path=path))
    size = path.stat().st_size / 1e6
    run = measured(["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"], {"GOLDFEED_MEMORY_LIMIT": "1GB"})
    print(f"one file of {size:,.0f} MB, {lines:,} lines, memory_limit 1GB: {run.seconds:,.0f} s, peak {run.memory:,.0f} MB")
    print("\n".join(run.output.splitlines()[-2:]))
    shutil.rmtree(home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000_000)
    parser.add_argument("--memory", type=int, default=4_000, help="megabytes")
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--one-file", type=float, help="gigabytes of one file, instead")
    wanted = parser.parse_args()
    if wanted.one_file:
        one_file(wanted.one_file)
    else:
        many_files(wanted.lines, wanted.days, wanted.memory)


def many_files(lines: int, days: int, memory: int) -> None:
    """The drops of a shop, a day each, with a limit for the process."""
    home = WORK / "large"
    shutil.rmtree(home, ignore_errors=True)
    began = time.monotonic()
    orders = lines // LINES_AN_ORDER
    shop = write_shop(home / "landing", orders=orders, days=days, seed=3, dirty=0.001, start=date(2023, 1, 1))
    print(f"{shop.rows:,} rows of {orders:,} orders written in {time.monotonic() - began:,.0f} s", flush=True)
    run = measured(
        ["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"],
        {"GOLDFEED_MEMORY_LIMIT": f"{memory * 3 // 4}MB"},
    )
    said = measured(
        ["-m", "pipeline.cli", "--home", str(home), "query", "--json", "SELECT count(*) AS lines FROM fact_order_items"]
    )
    print(f"built in {run.seconds:,.0f} s, {lines / run.seconds:,.0f} order lines a second, peak {run.memory:,.0f} of {memory:,} MB")
    print(said.output.strip())
    print("\n".join(run.output.splitlines()[-2:]))
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
