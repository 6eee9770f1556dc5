"""A day on top of a history: `python -m bench.one_day --orders 2000000 --orders 8000000`.

A shop with 5,500 orders a day; its last day, which touches about 1% of the
orders of a year, comes alone. Prints what that day costs against the full run
over the same history, and how it grows with the history.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from datetime import date, timedelta
from pathlib import Path

from bench.common import WORK, Measured, measured, middle
from pipeline.demo import write_shop

START, A_DAY = date(2020, 1, 1), 5_000


def drops(orders: int) -> tuple[Path, Path]:
    """(the history's files, the last day's files), made once."""
    folder = WORK / f"history-{orders}"
    days = orders // A_DAY
    if not (folder / "truth.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_shop(folder, orders=orders, days=days, seed=5, dirty=0, start=START, odd_files=False)
    return folder, _day(folder, START + timedelta(days=days - 1))


def _day(folder: Path, day: date) -> Path:
    """The day's drop, moved out of the history; what came later is left out."""
    held = folder.with_name(folder.name + "-day")
    if held.exists():
        return held
    for path in sorted(folder.glob("year=*/month=*/day=*")):
        year, month, number = (int(part.partition("=")[2]) for part in path.relative_to(folder).parts)
        if date(year, month, number) == day:
            shutil.copytree(path, held / path.relative_to(folder))
        if date(year, month, number) >= day:
            shutil.rmtree(path)
    return held


def touched(day: Path) -> int:
    """Different orders in the day's files."""
    found: set[str] = set()
    for path in day.rglob("*.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            found |= {row["order_id"] for row in csv.DictReader(file) if row.get("order_id")}
    return len(found)


def measure(orders: int, times: int) -> tuple[Measured, Measured, int]:
    """(the full run, the day), and how many orders the day touches."""
    history, day = drops(orders)
    home, full = WORK / "one-day", []
    for _ in range(1 if orders > 4_000_000 else times):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(history, home / "landing", copy_function=shutil.copy2)
        full.append(_run(home))
    days = []
    for _ in range(times):
        again = WORK / "one-day-again"
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(home, again, symlinks=True)
        shutil.copytree(day, again / "landing", dirs_exist_ok=True)
        days.append(_run(again))
    return middle(full), middle(days), touched(day)


def _run(home: Path) -> Measured:
    return measured(["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, action="append")
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    first = None
    print(f"{'orders':>12} {'full run':>10} {'the day':>10} {'touches':>9} {'of full':>8} {'of the first':>13} {'memory':>8}")
    for orders in wanted.orders or [2_000_000, 8_000_000]:
        full, day, orders_touched = measure(orders, wanted.times)
        first = first or day.seconds
        print(
            f"{orders:12,} {full.seconds:8.2f} s {day.seconds:8.2f} s {orders_touched:9,} "
            f"{day.seconds / full.seconds:8.1%} {day.seconds / first:12.2f}x {day.memory:5.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
