"""A large shop in little memory: `python -m bench.large --lines 100000000 --memory 4000`.

Writes the drops, takes them in and builds everything in one run; prints
seconds, order lines a second and peak memory, which must stay below the
megabytes given. The engine is given three quarters of them: Python, Polars
and what the engine does not count need the rest.
"""

from __future__ import annotations

import argparse
import shutil
import time
from datetime import date

from bench.common import WORK, measured
from pipeline.demo import write_shop

LINES_AN_ORDER = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000_000)
    parser.add_argument("--memory", type=int, default=4_000, help="megabytes")
    parser.add_argument("--days", type=int, default=730)
    wanted = parser.parse_args()
    home = WORK / "large"
    shutil.rmtree(home, ignore_errors=True)
    began = time.monotonic()
    orders = wanted.lines // LINES_AN_ORDER
    shop = write_shop(home / "landing", orders=orders, days=wanted.days, seed=3, dirty=0.001, start=date(2023, 1, 1))
    print(f"{shop.rows:,} rows of {orders:,} orders written in {time.monotonic() - began:,.0f} s", flush=True)
    run = measured(
        ["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"],
        {"GOLDFEED_MEMORY_LIMIT": f"{wanted.memory * 3 // 4}MB"},
    )
    said = measured(
        ["-m", "pipeline.cli", "--home", str(home), "query", "--json", "SELECT count(*) AS lines FROM fact_order_items"]
    )
    print(f"built in {run.seconds:,.0f} s, {wanted.lines / run.seconds:,.0f} order lines a second, peak {run.memory:,.0f} of {wanted.memory:,} MB")
    print(said.output.strip())
    print("\n".join(run.output.splitlines()[-2:]))
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
