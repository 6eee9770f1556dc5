"""The exact totals the gold tables must show."""

from __future__ import annotations

import json
from array import array
from typing import Any

from pipeline.demo.events import ItemRow, PaymentRow, StatusRow
from pipeline.demo.layout import CANCELED, STATUSES
from pipeline.demo.times import money


class DayTotals:
    """One day of mart_daily_kpis; money in cents."""

    def __init__(self) -> None:
        self.orders = self.canceled = self.items = self.sales = 0
        self.fresh = self.returning = self.refunds = 0

    def row(self, order_date: str) -> dict[str, Any]:
        kept = self.orders - self.canceled
        return {
            "order_date": order_date,
            "orders": self.orders,
            "items": self.items,
            "revenue": money(self.sales),
            "average_order_value": money(_rounded(self.sales, kept)) if kept else None,
            "new_customers": self.fresh,
            "returning_customers": self.returning,
            "cancellation_rate": _rate(self.canceled, self.orders),
            "refunds": money(self.refunds),
        }


class Truth:
    """Adds up orders as the gold tables do, from the rows that load."""

    def __init__(self, dates: list[str], last_order: array[int]) -> None:
        self._dates = dates
        self._last_order = last_order
        self._days = [DayTotals() for _ in dates]
        self._statuses = [0] * len(STATUSES)
        self._lines = self._payments = self._paid = 0

    def add(
        self,
        day: int,
        customer: int,
        statuses: list[StatusRow],
        items: list[ItemRow],
        payments: list[PaymentRow],
    ) -> None:
        """Count an order made that day; without a status row it does not exist."""
        if not statuses:
            return
        totals = self._days[day]
        totals.orders += 1
        status = statuses[-1][2]
        self._statuses[status] += 1
        self._see(totals, day, customer)
        quantity, amount = self._add_items(items)
        if status == CANCELED:
            totals.canceled += 1
        else:
            totals.items += quantity
            totals.sales += amount
        for _, _, paid, refund_day in payments:
            self._payments += 1
            self._paid += paid
            if refund_day >= 0:
                self._days[refund_day].refunds -= paid

    def _see(self, totals: DayTotals, day: int, customer: int) -> None:
        before = self._last_order[customer]
        if before == day:
            return
        self._last_order[customer] = day
        if before < 0:
            totals.fresh += 1
        else:
            totals.returning += 1

    def _add_items(self, items: list[ItemRow]) -> tuple[int, int]:
        winning = {row[2]: row for row in items}
        self._lines += len(winning)
        quantity = amount = 0
        for _, _, _, count, price, freight in winning.values():
            quantity += count
            amount += count * price + freight
        return quantity, amount

    def overall(self) -> dict[str, Any]:
        """The totals over all days."""
        days = self._days
        return {
            "orders": sum(self._statuses),
            "order_items": self._lines,
            "payments": self._payments,
            "revenue": money(sum(day.sales for day in days)),
            "items": sum(day.items for day in days),
            "refunds": money(sum(day.refunds for day in days)),
            "canceled_orders": self._statuses[CANCELED],
            "payments_amount": money(self._paid),
            "status": {name: count for name, count in zip(STATUSES, self._statuses, strict=True) if count},
        }

    def daily(self) -> list[dict[str, Any]]:
        """The days that have an order or a refund."""
        return [
            totals.row(order_date)
            for order_date, totals in zip(self._dates, self._days, strict=True)
            if totals.orders or totals.refunds
        ]


def as_json(truth: dict[str, Any]) -> bytes:
    return (json.dumps(truth, indent=1) + "\n").encode()


def _rounded(value: int, parts: int) -> int:
    """value / parts, halves rounded up; both are not negative."""
    return (2 * value + parts) // (2 * parts)


def _rate(part: int, whole: int) -> str | None:
    if not whole:
        return None
    scaled = _rounded(part * 10_000, whole)
    return f"{scaled // 10_000}.{scaled % 10_000:04d}"
