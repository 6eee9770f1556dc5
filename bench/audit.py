"""What auditing costs: `python -m bench.audit --orders 333000`.

The shop's full run with its contracts and profiles, and without them, in turn,
medians of seconds and of CPU, which other work on the machine moves less; then
what a contract costs, over the tables of 250,000 rows and more: the median, the
mean of a million rows, and the dearest; of all rows within that run, where other
tables are built beside, and alone; and, after one more day, of the changed rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, median

from bench.common import ROOT, WORK, Measured, measured, middle
from bench.full_run import drops, fresh

BARE = (
    "import sys; import pipeline.steps.build as b, pipeline.steps.ingest as i; "
    "b.profile = i.profile = lambda *_, **__: None; sys.argv[0] = 'goldfeed'; from pipeline.cli import main; main()"
)


def project(audited: bool) -> Path:
    """The shop's project, with or without its contracts."""
    folder = fresh("audited" if audited else "bare")
    shutil.copy(ROOT / "goldfeed.yml", folder)
    shutil.copytree(ROOT / "sql", folder / "sql", ignore=None if audited else shutil.ignore_patterns("*.contract.yml"))
    return folder


def words(folder: Path, home: Path, audited: bool) -> list[str]:
    start = ["-m", "pipeline.cli"] if audited else ["-c", BARE]
    return [*start, "--project", str(folder), "--home", str(home), "run", "--quiet"]


def costs(home: Path, looked: str) -> list[tuple[str, float, int]]:
    """(table, seconds of its last contract, rows) where the contract looked at all rows, or at the changed ones."""
    sql = (
        "SELECT t.table_name, a.seconds, t.kept FROM ledger.audits a JOIN ledger.tables t ON t.table_name = a.table_name "
        "WHERE a.run_id = (SELECT max(run_id) FROM ledger.audits x WHERE x.table_name = a.table_name) "
        f"AND a.whole = {looked == 'all'} ORDER BY a.seconds DESC"
    )
    query = [sys.executable, "-m", "pipeline.cli", "--home", str(home), "query", "--warehouse", "--json", sql]
    done = subprocess.run(query, cwd=ROOT, capture_output=True, text=True, check=True)
    return [(row["table_name"], row["seconds"], row["kept"]) for row in json.loads(done.stdout)]


def show(title: str, found: list[tuple[str, float, int]]) -> None:
    large = [row for row in found if row[2] >= 250_000]
    print(f"{title}: {sum(row[1] for row in found) * 1000:,.0f} ms in {len(found)} contracts")
    if large:
        scaled = [row[1] * 1000 / (row[2] / 1e6) for row in large]
        print(f"  a contract, scaled to a million rows: median {median(scaled):.0f} ms, mean {mean(scaled):.0f} ms, dearest {max(scaled):.0f} ms")
        rate = sum(row[1] for row in large) * 1000 / (sum(row[2] for row in large) / 1e6)
        print(f"  tables of 250,000 rows and more: {mean(row[1] for row in large) * 1000:.0f} ms a contract, {rate:.0f} ms a million rows")
    for table, seconds, rows in found[:6]:
        print(f"    {table:32}{rows:>12,} rows{seconds * 1000:>8.0f} ms")


def alone(home: Path, times: int = 5) -> None:
    """The contracts of all rows by themselves, in a copy: they have changed, by a comment, and nothing else has."""
    home = shutil.copytree(home, fresh("audit-alone"), symlinks=True, dirs_exist_ok=True)
    folder, seen = project(True), dict[str, list[tuple[float, int]]]()
    for turn in range(times):
        for path in folder.glob("sql/**/*.contract.yml"):
            with path.open("a") as text:
                text.write(f"# {turn}\n")
        measured(words(folder, home, True))
        for table, seconds, rows in costs(home, "all"):
            seen.setdefault(table, []).append((seconds, rows))
    found = [(table, median(one[0] for one in each), each[0][1]) for table, each in seen.items()]
    show(f"all rows, by themselves, medians of {times}", sorted(found, key=lambda row: -row[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=333_000)
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    landing, runs = drops(wanted.orders, 0.0), dict[bool, list[Measured]]({True: [], False: []})
    last = max(landing.glob("year=*/month=*/day=*"))
    for _ in range(wanted.times):
        for audited in (False, True):
            folder, home = project(audited), fresh("audit-home" if audited else "bare-home")
            shutil.copytree(landing, home / "landing", copy_function=shutil.copy2)
            day = home / "landing" / last.relative_to(landing)
            shutil.rmtree(home / "day", ignore_errors=True)
            shutil.move(day, home / "day")
            runs[audited].append(measured(words(folder, home, audited)))
    with_, without = middle(runs[True]), middle(runs[False])
    print(f"{wanted.orders:,} orders, medians of {wanted.times}")
    print(f"  without contracts and profiles {without.seconds:7.2f} s  {without.memory:6.0f} MB  {without.cpu:6.2f} s of CPU")
    print(f"  with them                      {with_.seconds:7.2f} s  {with_.memory:6.0f} MB  {with_.cpu:6.2f} s of CPU  {with_.seconds / without.seconds - 1:+.1%}, CPU {with_.cpu / without.cpu - 1:+.1%}")
    home = WORK / "audit-home"
    show("all rows, within the run", costs(home, "all"))
    alone(home)
    shutil.move(home / "day", home / "landing" / "day")
    measured(words(project(True), home, True))
    show("after one more day, the changed rows", costs(home, "changed"))
    alone(home)


if __name__ == "__main__":
    main()
