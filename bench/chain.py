"""What orchestration costs: `python -m bench.chain --models 200`.

A chain of tiny models, each reading the one before, built by goldfeed and as
bare SQL in one connection; the difference is divided by the number of tasks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import duckdb

from pipeline.clock import Clock
from pipeline.project.project import load_project
from pipeline.runner import execute, open_warehouse
from pipeline.situation import Order

SOURCE = "files: 'numbers*.csv'\ncolumns:\n  n: {type: integer}\n"
SQL = "SELECT n + 1 AS n FROM {above}"


def project_in(folder: Path, models: int) -> None:
    """A source and a chain of models of kind full."""
    (folder / "sql/bronze").mkdir(parents=True)
    (folder / "sql/silver").mkdir()
    (folder / "goldfeed.yml").write_text("name: chain\nsettings: {settle_seconds: 0}\n")
    (folder / "sql/bronze/numbers.yml").write_text(SOURCE)
    for number in range(models):
        above = f"silver.m{number - 1:03d}" if number else "bronze.numbers"
        text = f"/* ---\ndescription: x\n--- */\n{SQL.format(above=above)}\n"
        (folder / f"sql/silver/m{number:03d}.sql").write_text(text)
    (folder / "data/landing").mkdir(parents=True)


def by_goldfeed(models: int) -> tuple[float, float]:
    """(seconds of the first run, seconds of a run after a new file), the loading of Python and of the project left out."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GOLDFEED_BENCH_WORK")))
    try:
        project_in(folder, models)
        project = load_project(folder, home=None, environ={})
        database = open_warehouse(project, Clock())
        seconds = []
        for drop in range(2):
            (folder / f"data/landing/numbers_{drop}.csv").write_text(f"n\n{drop}\n")
            began = time.perf_counter()
            result = execute(project, database, Order())
            seconds.append(time.perf_counter() - began)
            assert result.status == "succeeded" and len(result.tasks) == models + 1
        database.close()
        return seconds[0], seconds[1]
    finally:
        shutil.rmtree(folder)


def by_hand(models: int) -> tuple[float, float]:
    """The same statements, each in a transaction of its own, in a file."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("GOLDFEED_BENCH_WORK")))
    try:
        connection = duckdb.connect(str(folder / "bare.duckdb"))
        connection.execute("CREATE SCHEMA bronze; CREATE SCHEMA silver; CREATE TABLE bronze.numbers (n INTEGER)")
        seconds = []
        for drop in range(2):
            began = time.perf_counter()
            connection.execute("INSERT INTO bronze.numbers VALUES (?)", [drop])
            for number in range(models):
                above = f"silver.m{number - 1:03d}" if number else "bronze.numbers"
                connection.execute(f"CREATE OR REPLACE TABLE silver.m{number:03d} AS {SQL.format(above=above)}")
            seconds.append(time.perf_counter() - began)
        return seconds[0], seconds[1]
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    ours, hand = [], []
    for _ in range(wanted.times):
        hand.append(by_hand(wanted.models))
        ours.append(by_goldfeed(wanted.models))
    for place, name in enumerate(("first run", "run after a new file")):
        bare, feed = median(run[place] for run in hand), median(run[place] for run in ours)
        each = (feed - bare) / wanted.models * 1000
        print(f"{name:>22}: bare SQL {bare:5.2f} s, goldfeed {feed:5.2f} s, {each:5.2f} ms a task over it", flush=True)


if __name__ == "__main__":
    main()
