"""goldfeed against a script by hand on the same files: `python -m bench.full_run --orders 200000`.

Prints seconds, ratios and peak memory, the idle second run among them, and whether both have the same rows of gold.
Medians of several; the sides in turn, so that a noisy machine is noisy for all. On clean files a third side runs: the
script with what goldfeed keeps (bench/kept.py), which says what the promises cost by hand.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb

from bench.common import WORK, Measured, measured, middle, settle
from bench.plain import gold_tables
from pipeline.demo import write_shop
from pipeline.sql import columns_list

GIVEN = ("_key", "_token")  # ends of the names of columns whose values are handed out or hashed, by each side in its own way


def drops(orders: int, dirty: float) -> Path:
    """The files of a shop, made once; whole-file oddities left out, which the script could not read."""
    folder = WORK / f"shop-{orders}-{dirty}"
    if not (folder / "truth.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_shop(folder, orders=orders, days=60, seed=11, dirty=dirty, start=date(2024, 1, 1), odd_files=False)
    return folder


def by_hand(landing: Path) -> Measured:
    work = fresh("plain")
    settle()
    return measured(["-m", "bench.plain", str(landing), str(work)])


def by_hand_kept(landing: Path) -> Measured:
    work = fresh("kept")
    copied = shutil.copytree(landing, WORK / "kept-landing", copy_function=shutil.copy2, dirs_exist_ok=True)
    settle()
    return measured(["-m", "bench.kept", str(copied), str(work)])


def by_goldfeed(landing: Path) -> tuple[Measured, Measured]:
    """(the run, an idle second run)"""
    home = fresh("goldfeed")
    shutil.copytree(landing, home / "landing", copy_function=shutil.copy2)
    settle()
    run = ["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"]
    return measured(run), measured(run)


def fresh(name: str) -> Path:
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def differing(script: Path, warehouse: Path) -> list[str]:
    """The tables of gold whose rows are not those of the script. Columns whose values each side gives itself are left out."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{script}' AS script (READ_ONLY)")
        connection.execute(f"ATTACH '{warehouse}' AS ours (READ_ONLY)")
        connection.execute("USE ours")
        return [table for table in gold_tables(connection) if _differs(connection, table)]


def _differs(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    described = connection.execute(f"DESCRIBE ours.gold.{table}").fetchall()
    columns = columns_list([name for name, *_ in described if not name.endswith(GIVEN)])
    sides = [f"SELECT {columns} FROM {side}.gold.{table}" for side in ("script", "ours")]
    found = connection.execute(
        f"SELECT EXISTS ({sides[0]} EXCEPT ALL {sides[1]}) OR EXISTS ({sides[1]} EXCEPT ALL {sides[0]})"
    ).fetchone()
    return bool(found and found[0])


def compare(orders: int, dirty: float, times: int) -> None:
    landing = drops(orders, dirty)
    size = sum(path.stat().st_size for path in landing.rglob("*.csv")) / 1e6
    hand, kept, ours, idle = [], [], [], []
    for _ in range(times):
        hand.append(by_hand(landing))
        kept += [] if dirty else [by_hand_kept(landing)]
        first, second = by_goldfeed(landing)
        ours.append(first)
        idle.append(second)
    print(f"\n{orders:,} orders, {size:,.0f} MB of CSV, {dirty:.0%} dirty rows, medians of {times}")
    report("script by hand", hand, hand)
    report("the same, kept", kept, hand)
    report("goldfeed", ours, hand)
    report("goldfeed, idle", idle, hand)
    other = differing(WORK / "plain" / "plain.duckdb", WORK / "goldfeed" / "warehouse.duckdb")
    print(f"  gold: {f'the script has other rows in {len(other)} tables: ' + ', '.join(other) if other else 'both have the same rows'}", flush=True)


def report(name: str, sides: Sequence[Measured], hand: Sequence[Measured]) -> None:
    if sides:
        one, script = middle(list(sides)), middle(list(hand))
        ratio, more = one.seconds / script.seconds, one.memory - script.memory
        print(f"  {name:16} {one.seconds:7.2f} s  ratio {ratio:4.2f}  CPU {one.cpu:6.2f} s  {one.memory:6.0f} MB ({more:+.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, action="append")
    parser.add_argument("--dirty", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    for orders in wanted.orders or [200_000]:
        compare(orders, wanted.dirty, wanted.times)


if __name__ == "__main__":
    main()
