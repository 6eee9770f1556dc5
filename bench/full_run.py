"""goldfeed against a script by hand on the same files: `python -m bench.full_run --orders 200000`.

Prints seconds, ratio and peak memory, the idle second run among them. Medians
of several; both sides in turn, so that a noisy machine is noisy for both.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import date
from pathlib import Path

from bench.common import WORK, Measured, measured, middle, settle
from pipeline.demo import write_shop


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


def compare(orders: int, dirty: float, times: int) -> None:
    landing = drops(orders, dirty)
    size = sum(path.stat().st_size for path in landing.rglob("*.csv")) / 1e6
    hand, ours, idle = [], [], []
    for _ in range(times):
        hand.append(by_hand(landing))
        first, second = by_goldfeed(landing)
        ours.append(first)
        idle.append(second)
    plain, feed, again = middle(hand), middle(ours), middle(idle)
    print(f"\n{orders:,} orders, {size:,.0f} MB of CSV, {dirty:.0%} dirty rows, medians of {times}")
    print(f"  script by hand   {plain.seconds:7.2f} s              {plain.memory:6.0f} MB")
    print(f"  goldfeed         {feed.seconds:7.2f} s  ratio {feed.seconds / plain.seconds:4.2f}  {feed.memory:6.0f} MB ({feed.memory - plain.memory:+.0f})")
    print(f"  goldfeed, idle   {again.seconds:7.2f} s              {again.memory:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, action="append")
    parser.add_argument("--dirty", type=float, default=0.01)
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    for orders in wanted.orders or [200_000]:
        compare(orders, wanted.dirty, wanted.times)


if __name__ == "__main__":
    main()
