"""A shop that lives day by day and writes down what it did."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from pipeline.demo.catalogue import Catalogue
from pipeline.demo.crowd import Crowd
from pipeline.demo.events import OrderDay
from pipeline.demo.files import put
from pipeline.demo.layout import (
    CANCELED,
    CUSTOMERS,
    ITEMS,
    ORDERS,
    PAYMENTS,
    PRODUCTS,
    TABLES,
)
from pipeline.demo.people import employee_lines
from pipeline.demo.sheets import Sheets
from pipeline.demo.times import calendar
from pipeline.demo.truth import Truth, as_json

_HOURS = (
    *(0, 1, 6, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10, 10, 11, 11, 11, 12, 12, 12, 13, 13),
    *(14, 14, 15, 15, 16, 16, 17, 17, 17, 18, 18, 18, 19, 19, 19, 19, 20, 20, 20, 20),
    *(20, 21, 21, 21, 21, 22, 22, 23),
)
_WEEKDAYS = (1.05, 1.0, 0.95, 0.95, 1.0, 1.15, 1.25)
_NEW_CUSTOMERS = 0.3
_BROWSERS = 0.05
_FLUSH_EVERY = 4096


@dataclass(frozen=True)
class ShopSummary:
    """What was written; rows counts re-delivered files again."""

    files: int
    rows: int
    orders: int
    truth: Path


def write_shop(
    folder: Path,
    *,
    orders: int,
    days: int,
    seed: int,
    dirty: float = 0.0,
    start: date = date(2024, 1, 1),
    odd_files: bool = True,
    on_day: Callable[[int, int], None] | None = None,
) -> ShopSummary:
    """Write the daily drops of a shop and truth.json; the same arguments, same bytes.

    Args:
        orders: how many orders are made over all days.
        dirty: the share of rows with something wrong, 0 to 0.5.
        odd_files: whether dirt may also change a whole file: its encoding, delimiter, line ends or packing.
        on_day: called after each day with the days done and the days in all.
    Raises:
        ValueError: an argument is impossible, or the folder holds drops of another shop.
    """
    _check(orders, days, dirty, start)
    dirty = float(dirty)
    asked = {"seed": seed, "orders_requested": orders, "days": days, "dirty": dirty, "start": start.isoformat()}
    _check_folder(folder, asked)
    shop = Shop(folder, orders, days, seed, dirty, start, odd_files)
    for day in range(days):
        shop.live(day)
        if on_day is not None:
            on_day(day + 1, days)
    path = folder / "truth.json"
    put(path, as_json({**asked, **shop.truth()}))
    counts = shop.sheets.counts
    return ShopSummary(counts.files, counts.rows, orders, path)


class Shop:
    """Customers, products and orders of a shop, moved on by a day at a time."""

    def __init__(
        self, folder: Path, orders: int, days: int, seed: int, dirty: float, start: date, odd_files: bool
    ) -> None:
        self._seed = seed
        self._dates = calendar(start, days)
        self._ends = _order_numbers(orders, start, days, seed)
        self._crowd = Crowd(seed, self._dates)
        self._catalogue = Catalogue(seed, orders, self._dates)
        self._truth = Truth(self._dates, self._crowd.last_order)
        self.sheets = Sheets(folder, self._dates, seed, dirty, odd_files)
        self._staff = employee_lines(seed)
        put(folder / "employees.csv", ("\n".join(self._staff) + "\n").encode())

    def live(self, day: int) -> None:
        """Let one day pass and write its files."""
        rng = Random(f"{self._seed}:{day}")
        settled = len(self._crowd)
        self._catalogue_day(day, rng)
        self._moves(day, rng, settled)
        self._orders(day, rng, settled)
        self.sheets.close(day)

    def truth(self) -> dict[str, Any]:
        """All of truth.json but the arguments."""
        counts = self.sheets.counts
        names = [table.name for table in TABLES]
        staff = len(self._staff) - 1
        quarantined = dict(zip(names, counts.quarantined, strict=True))
        loadable = dict(zip(names, counts.loadable, strict=True))
        people = {
            "customers": sum(self._crowd.loaded),
            "products": sum(self._catalogue.loaded),
            "employees": staff,
        }
        return {
            "overall": {**self._truth.overall(), **people},
            "quarantined": {**quarantined, "employees": 0},
            "rows": {**loadable, "employees": staff},
            "daily": self._truth.daily(),
        }

    def _catalogue_day(self, day: int, rng: Random) -> None:
        catalogue = self._catalogue
        rows = catalogue.changes(day, rng) if day else catalogue.opening()
        for number, line in rows:
            if self.sheets.add(PRODUCTS, day, line):
                catalogue.loaded[number] = 1

    def _moves(self, day: int, rng: Random, settled: int) -> None:
        for number, line in self._crowd.moves(day, rng, settled):
            drop = day + rng.randint(1, 2) if rng.random() < 0.05 else day
            if drop < len(self._dates) and self.sheets.add(CUSTOMERS, drop, line):
                self._crowd.loaded[number] = 1

    def _customer(self, day: int, second: int, rng: Random, settled: int) -> int:
        """Who orders: one of earlier days, or someone who has just signed up."""
        if settled and rng.random() >= _NEW_CUSTOMERS:
            return int(rng.random() * settled)
        if rng.random() < _BROWSERS:
            self._sign_up(day, second, rng)
        return self._sign_up(day, second, rng)

    def _sign_up(self, day: int, second: int, rng: Random) -> int:
        at = max(0, second - 30 - int(rng.random() * 1800))
        line = self._crowd.sign_up(day, at, rng.random())
        if self.sheets.add(CUSTOMERS, day, line):
            self._crowd.loaded[-1] = 1
        return len(self._crowd) - 1

    def _orders(self, day: int, rng: Random, settled: int) -> None:
        planner = OrderDay(day, self._dates, self._catalogue, rng)
        random, hours = rng.random, len(_HOURS)
        for number in range(self._ends[day] + 1, self._ends[day + 1] + 1):
            second = _HOURS[int(random() * hours)] * 3600 + int(random() * 3600)
            customer = self._customer(day, second, rng, settled)
            self._order(planner, day, number, customer, second)
            if not number % _FLUSH_EVERY:
                self.sheets.flush(day)

    def _order(self, planner: OrderDay, day: int, number: int, customer: int, second: int) -> None:
        order = planner.open(number, customer, second)
        statuses = planner.statuses(order)
        total, items = planner.items(order)
        canceled = bool(statuses) and statuses[-1][2] == CANCELED
        payments = planner.payments(order, total, canceled)
        sheets = self.sheets
        if sheets.untouched(len(statuses) + len(items) + len(payments)):
            lines = sheets.lines
            for row in statuses:
                lines[ORDERS][row[0]].append(row[1])
            for item in items:
                lines[ITEMS][item[0]].append(item[1])
            for payment in payments:
                lines[PAYMENTS][payment[0]].append(payment[1])
        else:
            statuses = sheets.sift(ORDERS, statuses)
            items = sheets.sift(ITEMS, items)
            payments = sheets.sift(PAYMENTS, payments)
        self._truth.add(day, customer, statuses, items, payments)


def _check(orders: int, days: int, dirty: float, start: date) -> None:
    if orders < 1:
        raise ValueError(f"A shop needs at least 1 order, not {orders}.")
    if days < 1:
        raise ValueError(f"A shop needs at least 1 day, not {days}.")
    if not 0 <= dirty <= 0.5:
        raise ValueError(f"The share of dirty rows goes from 0 to 0.5, not {dirty}.")
    if days > (date.max - start).days:
        raise ValueError(f"{days} days from {start} go past the year 9999.")


def _check_folder(folder: Path, asked: dict[str, Any]) -> None:
    """Drops of two shops in one folder would make truth.json untrue."""
    if next(folder.glob("year=*/month=*/day=*/*"), None) is None:
        return
    try:
        held = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        held = {}
    if any(held.get(name) != value for name, value in asked.items()):
        raise ValueError(f"{folder} holds drops of another shop; run them first, or empty the folder.")


def _order_numbers(orders: int, start: date, days: int, seed: int) -> list[int]:
    """The last order number before each day and, at the end, of all."""
    rng = Random(f"{seed}:seasons")
    weights = [_weight(start + timedelta(days=day), rng) for day in range(days)]
    scale = orders / sum(weights)
    ends, passed = [0], 0.0
    for weight in weights:
        passed += weight
        ends.append(min(orders, round(passed * scale)))
    ends[-1] = orders
    return ends


def _weight(day: date, rng: Random) -> float:
    """How busy a day is: the season, the weekday and chance."""
    season = 1 + 0.2 * math.sin((day.timetuple().tm_yday - 80) / 58.1)
    holidays = 1.5 if (day.month, day.day) >= (11, 20) and day.month < 12 else 1.0
    december = 1.4 if day.month == 12 and day.day < 24 else 1.0
    weekday = _WEEKDAYS[day.weekday()]
    return season * holidays * december * weekday * rng.uniform(0.85, 1.15)
