"""Reads the files of a shop afresh and adds them up by the rules of the loader."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

KEYS = {
    "customers": ["customer_id"],
    "products": ["product_id"],
    "orders": ["order_id"],
    "order_items": ["order_id", "line_number"],
    "payments": ["order_id", "payment_number"],
}
WIDTHS = {"customers": 9, "products": 5, "orders": 5, "order_items": 7, "payments": 6}
WORDS = {
    "status": {"created", "paid", "shipped", "delivered", "canceled"},
    "payment_type": {"credit_card", "paypal", "bank_transfer", "voucher", "refund"},
}
MONEY = {"price", "unit_price", "freight_amount", "amount"}
WHOLE = {"line_number", "payment_number", "quantity"}
NAME = re.compile(r"([a-z_]+)_(\d{8})(_resend)?\.csv(\.gz)?")
Row = dict[str, Any]


def decoded(data: bytes) -> str:
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:2] == b"\xff\xfe":
        return data[2:].decode("utf-16-le")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def raw_rows(text: str) -> Iterator[Row | None]:
    """Each row by header name; None for one that is structurally broken."""
    header, *lines = re.split(r"\r?\n", text)
    delimiter = ";" if ";" in header else ","
    names = [name.strip().lower() for name in header.split(delimiter)]
    for line in filter(None, lines):
        try:
            fields = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            yield None
            continue
        row = dict(zip(names, fields, strict=False))
        yield row if len(fields) == len(names) else None


def decimal(text: str) -> Decimal:
    text = text.strip().removesuffix(" EUR")
    if re.fullmatch(r"-?(\d+|\d{1,3}(\.\d{3})+),\d+", text):
        text = text.replace(".", "").replace(",", ".")
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise ValueError(text)
    return Decimal(text)


def timestamp(text: str) -> datetime:
    form = "%d/%m/%Y %H:%M" if "/" in text else "%Y-%m-%d %H:%M:%S"
    return datetime.strptime(text, form)


def value(name: str, text: str) -> Any:
    if name in MONEY:
        return decimal(text)
    if name in WHOLE:
        return int(text)
    if name.endswith("_at"):
        return timestamp(text)
    text = text.strip()
    return text.lower() if name in {*WORDS, "email"} else text or None


def loaded(source: str, raw: Row | None) -> Row | None:
    if raw is None or not all(raw[key].strip() for key in KEYS[source]):
        return None
    try:
        row = {name: value(name, text) for name, text in raw.items()}
    except ValueError:
        return None
    unknown = any(row[name] not in WORDS[name] for name in WORDS if name in row)
    negative = row.get("unit_price", 0) < 0 or row.get("freight_amount", 0) < 0
    return None if unknown or negative or row.get("quantity", 1) <= 0 else row


def drops(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Source and content of each distinct daily file."""
    seen = set()
    for path in sorted(folder.rglob("year=*/**/*")):
        if path.is_file():
            match = NAME.fullmatch(path.name)
            assert match, path
            data = path.read_bytes()
            digest = match[1], hashlib.sha256(data).digest()
            if digest not in seen:
                seen.add(digest)
                yield match[1], data


class Silver:
    """The winning rows of a shop, read from its files."""

    def __init__(self, folder: Path) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in KEYS}
        self.loadable: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        for source, data in drops(folder):
            for raw in raw_rows(decoded(data)):
                row = loaded(source, raw)
                self.loadable[source] += row is not None
                self.quarantined[source] += row is None
                if row is not None:
                    self.merge(source, row)

    def merge(self, source: str, row: Row) -> None:
        assert len(row) == WIDTHS[source]
        key = tuple(row[name] for name in KEYS[source])
        old = self.rows[source].get(key)
        if old is None or row["updated_at"] > old["updated_at"]:
            self.rows[source][key] = row
        elif row["updated_at"] == old["updated_at"]:
            assert row == old, "two versions with the same updated_at"

    def of_orders(self, source: str) -> list[Row]:
        orders = self.rows["orders"]
        return [r for r in self.rows[source].values() if (r["order_id"],) in orders]


def rounded(number: Decimal, places: str) -> str:
    return str(number.quantize(Decimal(places), ROUND_HALF_UP))


def day_row(day: date, orders: list[Row], first: dict[str, date], refunds: Decimal) -> Row:
    kept = [order for order in orders if order["status"] != "canceled"]
    revenue = sum((order["total"] for order in kept), Decimal("0.00"))
    customers = {order["customer_id"] for order in orders}
    new = sum(first[customer] == day for customer in customers)
    rate = Decimal(len(orders) - len(kept)) / len(orders) if orders else None
    return {
        "order_date": day.isoformat(),
        "orders": len(orders),
        "items": sum(order["items"] for order in kept),
        "revenue": str(revenue),
        "average_order_value": rounded(revenue / len(kept), "0.01") if kept else None,
        "new_customers": new,
        "returning_customers": len(customers) - new,
        "cancellation_rate": None if rate is None else rounded(rate, "0.0001"),
        "refunds": str(refunds),
    }


def daily(silver: Silver) -> list[Row]:
    for order in silver.rows["orders"].values():
        order.update(items=0, total=Decimal("0.00"), day=order["ordered_at"].date())
    for item in silver.of_orders("order_items"):
        order = silver.rows["orders"][item["order_id"],]
        order["items"] += item["quantity"]
        order["total"] += item["quantity"] * item["unit_price"] + item["freight_amount"]
    first: dict[str, date] = {}
    days: dict[date, list[Row]] = defaultdict(list)
    for order in silver.rows["orders"].values():
        customer = order["customer_id"]
        first[customer] = min(first.get(customer, date.max), order["day"])
        days[order["day"]].append(order)
    refunds: dict[date, Decimal] = defaultdict(lambda: Decimal("0.00"))
    for payment in silver.of_orders("payments"):
        if payment["payment_type"] == "refund":
            refunds[payment["paid_at"].date()] -= payment["amount"]
    dates = sorted({*days, *refunds})
    return [day_row(day, days[day], first, refunds[day]) for day in dates]


def recomputed(folder: Path) -> Row:
    silver = Silver(folder)
    rows = daily(silver)
    statuses = Counter(order["status"] for order in silver.rows["orders"].values())
    payments = silver.of_orders("payments")
    with (folder / "employees.csv").open(encoding="utf-8", newline="") as file:
        employees = len(list(csv.DictReader(file)))
    return {
        "overall": {
            "orders": len(silver.rows["orders"]),
            "order_items": len(silver.of_orders("order_items")),
            "payments": len(payments),
            "customers": len(silver.rows["customers"]),
            "products": len(silver.rows["products"]),
            "employees": employees,
            "revenue": str(sum((Decimal(r["revenue"]) for r in rows), Decimal("0.00"))),
            "items": sum(row["items"] for row in rows),
            "refunds": str(sum((Decimal(r["refunds"]) for r in rows), Decimal("0.00"))),
            "canceled_orders": statuses["canceled"],
            "payments_amount": str(sum((row["amount"] for row in payments), Decimal("0.00"))),
            "status": dict(statuses),
        },
        "quarantined": {n: silver.quarantined[n] for n in KEYS} | {"employees": 0},
        "rows": {n: silver.loadable[n] for n in KEYS} | {"employees": employees},
        "daily": rows,
    }
