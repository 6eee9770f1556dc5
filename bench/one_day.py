"""The same day on top of histories of several lengths: `python -m bench.one_day --orders 2000000 --orders 8000000`.

A shop with 5,000 orders a day; its last day, which touches about 1% of the
orders of a year, comes alone. The histories end on the same day of the year,
and as many customers move on it, so that it is the same day but for what lies
before. Prints what it costs against the full run over the same history, and
how it grows with the history.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from datetime import date, timedelta
from pathlib import Path

from bench.common import WORK, Measured, measured, middle, settle
from pipeline.demo import write_shop

LAST, A_DAY = date(2024, 5, 19), 5_000
MOVES = 1_200  # customers who move on the day: the demo shop's share of all of them grows with the history


def drops(orders: int) -> tuple[Path, Path]:
    """(the history's files, the last day's files), made once."""
    folder = WORK / f"before-{LAST}-{orders}"
    days = orders // A_DAY
    if not (folder / "truth.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_shop(folder, orders=orders, days=days, seed=5, dirty=0, start=LAST - timedelta(days=days - 1), odd_files=False)
    return folder, _day(folder, LAST)


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
    for customers in held.rglob("customers_*.csv"):
        _fewer_moves(customers, day)
    return held


def _fewer_moves(path: Path, day: date) -> None:
    """Leave all who sign up on the day, whom its orders need, and as many others as move."""
    header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    new = [line for line in lines if f",{day} " in line.rpartition(",")[0]]
    moved = [line for line in lines if f",{day} " not in line.rpartition(",")[0]]
    path.write_text("".join([header, *new, *moved[:MOVES]]), encoding="utf-8")


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
    settle()  # or the first fsync writes the copy of the history to the disk: 0.4 s of 2,000,000 orders
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
