"""What becomes of one order: its rows, each with the day it is dropped."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from pipeline.demo.catalogue import Catalogue
from pipeline.demo.layout import (
    CANCELED,
    CREATED,
    DELIVERED,
    PAID,
    SHIPPED,
    STATUSES,
)
from pipeline.demo.times import DAY_SECONDS, clock, minutes, money

StatusRow = tuple[int, str, int]
"""Drop day, line, status."""
ItemRow = tuple[int, str, int, int, int, int]
"""Drop day, line, line number, quantity, unit price, freight."""
PaymentRow = tuple[int, str, int, int]
"""Drop day, line, amount, day of the refund or -1."""

_LATE_ORDER, _LATE_ITEMS, _CORRECTED, _LATE_PAYMENT = 0.005, 0.025, 0.035, 0.04
_SIZES = (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8)
_QUANTITIES = (1,) * 11 + (2, 2, 2, 3, 4)
_FREIGHTS = tuple((cents, money(cents)) for cents in (0, 0, *range(199, 1600, 50)))
_TYPES = ("credit_card",) * 12 + ("paypal",) * 5 + ("bank_transfer",) * 3


class Order(NamedTuple):
    """The head of an order, shared by its rows."""

    id: str
    customer_id: str
    ordered_at: str
    second: int
    roll: float


def _paths() -> tuple[tuple[tuple[int, int], ...], ...]:
    """Ways through the statuses, as (days after the order, status)."""
    rng = Random("paths")
    return tuple(_path(rng, place) for place in range(400))


def _path(rng: Random, place: int) -> tuple[tuple[int, int], ...]:
    first = PAID if rng.random() < 0.3 else CREATED
    if place % 20 == 0:
        return (0, first), (rng.randint(1, 4), CANCELED)
    paid = 0 if first == PAID else 1
    shipped = paid + rng.randint(1, 2)
    delivered = shipped + rng.randint(1, 5)
    steps = ((0, first), (paid, PAID), (shipped, SHIPPED), (delivered, DELIVERED))
    return tuple(step for place, step in enumerate(steps) if place != 1 or paid)


_PATHS = _paths()


class OrderDay:
    """Plans the orders of one day; rows due after the last day are not made."""

    def __init__(self, day: int, dates: list[str], catalogue: Catalogue, rng: Random) -> None:
        self._day = day
        self._days = len(dates)
        self._dates = dates
        self._catalogue = catalogue
        self._random = rng.random
        self._clock = clock()
        self._minutes = minutes()

    def open(self, number: int, customer: int, second: int) -> Order:
        """The head of a new order."""
        ordered_at = f"{self._dates[self._day]} {self._clock[second]}"
        customer_id = f"C{customer + 1:06d}"
        return Order(f"O{number:08d}", customer_id, ordered_at, second, self._random())

    def statuses(self, order: Order) -> list[StatusRow]:
        """A row for each status the order reaches, oldest first."""
        order_id, customer_id, ordered_at, _, roll = order
        random = self._random
        steps = _PATHS[int(random() * 400)]
        head = f"{order_id},{customer_id},"
        day = self._day + (1 + int(random() * 3) if roll < _LATE_ORDER else 0)
        status = steps[0][1]
        line = f"{head}{STATUSES[status]},{ordered_at},{ordered_at}"
        rows = [(day, line, status)] if day < self._days else []
        for wait, status in steps[1:]:
            day = self._day + wait
            if day >= self._days:
                break
            at = f"{self._dates[day]} {self._minutes[int(random() * 1440)]}"
            rows.append((day, f"{head}{STATUSES[status]},{ordered_at},{at}", status))
        return rows

    def items(self, order: Order) -> tuple[int, list[ItemRow]]:
        """The price of the order and the rows of its items, oldest first."""
        order_id, _, ordered_at, _, roll = order
        random, catalogue = self._random, self._catalogue
        prices, count = catalogue.prices, len(catalogue.prices)
        rows: list[ItemRow] = []
        total = 0
        for line in range(1, _SIZES[int(random() * 16)] + 1):
            product = int(random() * random() * count)
            quantity = _QUANTITIES[int(random() * 16)]
            freight, freight_text = _FREIGHTS[int(random() * 31)]
            price = prices[product]
            total += quantity * price + freight
            text = (
                f"{order_id},{line},{catalogue.ids[product]},{quantity},"
                f"{catalogue.texts[product]},{freight_text},{ordered_at}"
            )
            rows.append((self._day, text, line, quantity, price, freight))
        if _LATE_ORDER <= roll < _CORRECTED:
            rows = self._disturbed(rows, roll)
        return total, rows

    def _disturbed(self, rows: list[ItemRow], roll: float) -> list[ItemRow]:
        if roll < _LATE_ITEMS:
            day = self._day + 1 + int(self._random() * 3)
            return [(day, *row[1:]) for row in rows] if day < self._days else []
        if self._day + 1 < self._days:
            rows.append(self._corrected(rows[0]))
        return rows

    def _corrected(self, row: ItemRow) -> ItemRow:
        _, text, line, quantity, price, freight = row
        day = self._day + 1
        if self._random() < 0.5:
            quantity += 1
        else:
            price -= price // 10
        order_id, _, product_id, _, _, freight_text, _ = text.split(",")
        at = f"{self._dates[day]} {self._minutes[int(self._random() * 1440)]}"
        text = f"{order_id},{line},{product_id},{quantity},{money(price)},{freight_text},{at}"
        return day, text, line, quantity, price, freight

    def payments(self, order: Order, total: int, canceled: bool) -> list[PaymentRow]:
        """The payments of an order and perhaps, days later, a refund."""
        random, day, second = self._random, self._day, order.second
        payment_type = _TYPES[int(random() * 20)]
        if payment_type == "bank_transfer":
            day += 1
        rows: list[PaymentRow] = []
        rest = total
        if random() < 0.05:
            rest -= (voucher := min(2000, total // 3))
            self._pay(rows, order, "voucher", voucher, day, second)
        second = min(second + int(random() * 900), DAY_SECONDS - 1)
        self._pay(rows, order, payment_type, rest, day, second)
        if rows and random() < (0.25 if canceled else 0.011):
            day += 2 + int(random() * 9)
            self._pay(rows, order, "refund", -total, day, int(random() * 1440) * 60)
        return rows

    def _pay(
        self,
        rows: list[PaymentRow],
        order: Order,
        payment_type: str,
        amount: int,
        day: int,
        second: int,
    ) -> None:
        drop = day
        if _CORRECTED <= order.roll < _LATE_PAYMENT:
            drop += 1 + int(self._random() * 2)
        if drop >= self._days:
            return
        at = f"{self._dates[day]} {self._clock[second]}"
        text = f"{order.id},{len(rows) + 1},{payment_type},{money(amount)},{at},{at}"
        rows.append((drop, text, amount, day if payment_type == "refund" else -1))
