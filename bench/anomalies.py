"""False alarms and breaks found: `python -m bench.anomalies --series 1000`.

Each simulated series has 120 daily runs (`--runs`); its last value is judged, as it is
after each run. Quiet: noise around a level. Growing: a straight line with
noise, or a table that takes in a random number of rows a day. Weekly: noise
around a level for each weekday. Constant: never moves. A break is five standard
deviations of the noise, up or down, in the last value.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import polars as pl

from pipeline.quality.anomalies import anomalies

START, WEEK = datetime(2024, 1, 1, 2), (1.0, 0.9, 0.95, 1.1, 1.3, 0.4, 0.3)
Series = tuple[list[float], float]


def quiet(rng: random.Random, runs: int) -> Series:
    sigma = rng.uniform(10, 300)
    return [10_000 + rng.gauss(0, sigma) for _ in range(runs)], sigma


def line(rng: random.Random, runs: int) -> Series:
    sigma, slope = rng.uniform(10, 300), rng.uniform(-100, 400)
    return [50_000 + slope * run + rng.gauss(0, sigma) for run in range(runs)], sigma


def grown(rng: random.Random, runs: int) -> Series:
    sigma, rows, values = rng.uniform(10, 100), 100_000.0, []
    for _ in range(runs):
        rows += 1000 + rng.gauss(0, sigma)
        values.append(rows)
    return values, sigma


def weekly(rng: random.Random, runs: int) -> Series:
    sigma = rng.uniform(10, 300)
    return [10_000 * WEEK[run % 7] + rng.gauss(0, sigma) for run in range(runs)], sigma


def weekly_growth(rng: random.Random, runs: int) -> Series:
    sigma, rows, values = rng.uniform(5, 50), 100_000.0, []
    for run in range(runs):
        rows += 1000 * WEEK[run % 7] + rng.gauss(0, sigma)
        values.append(rows)
    return values, sigma


def share(rng: random.Random, runs: int) -> Series:
    sigma = rng.uniform(0.004, 0.02)
    return [max(0.0, min(1.0, 0.2 + rng.gauss(0, sigma))) for _ in range(runs)], sigma


KINDS: dict[str, Callable[[random.Random, int], Series]] = {
    "quiet": quiet, "line": line, "grown": grown, "weekly": weekly, "weekly growth": weekly_growth, "share": share,
}  # fmt: skip


def simulate(kind: str, many: int, runs: int, seed: int, breaks: bool) -> Iterator[pl.DataFrame]:
    """The series of a kind, each with a break in its last value if asked."""
    rng = random.Random(f"{kind} {seed} {breaks}")
    times = [START + timedelta(days=run) for run in range(runs)]
    for number in range(many):
        values, sigma = KINDS[kind](rng, runs)
        if breaks:
            values[-1] += rng.choice((-5, 5)) * sigma
        yield pl.DataFrame({"series": [f"{kind} {number}"] * runs, "at": times, "value": values})


def measure(kind: str, many: int, runs: int = 120, seed: int = 1) -> tuple[float, float]:
    """(share of false alarms, share of breaks found)"""
    alarms = len(anomalies(pl.concat(simulate(kind, many, runs, seed, False))))
    found = len(anomalies(pl.concat(simulate(kind, many, runs, seed, True))))
    return alarms / many, found / many


def constant(many: int) -> float:
    """Share of alarms over series that never move."""
    times = [START + timedelta(days=run) for run in range(60)]
    frames = [pl.DataFrame({"series": [str(n)] * 60, "at": times, "value": [float(n)] * 60}) for n in range(many)]
    return len(anomalies(pl.concat(frames))) / many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    print(f"{wanted.series:,} series of each kind, {wanted.runs} runs\n{'':16}{'false alarms':>14}{'breaks found':>14}")
    rows = {kind: measure(kind, wanted.series, wanted.runs, wanted.seed) for kind in KINDS}
    for kind, (alarms, found) in rows.items():
        print(f"{kind:16}{alarms:>14.2%}{found:>14.1%}")
    print(f"{'constant':16}{constant(wanted.series):>14.2%}")
    print(f"{'all':16}{sum(a for a, _ in rows.values()) / len(rows):>14.2%}{sum(f for _, f in rows.values()) / len(rows):>14.1%}")


if __name__ == "__main__":
    main()
