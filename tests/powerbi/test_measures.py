"""Every measure has a twin in SQL, and on the demo shop and on Olist the number that others found too."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pipeline.directquery.own import own_tables
from pipeline.powerbi.catalog import Table, read_catalog
from pipeline.powerbi.trust import with_trust
from tests.conftest import SAMPLE_DATA, needs_sample_data
from tests.powerbi.conftest import SHOPS, Exported
from tests.powerbi.dax import Context, Data, Dax, Link
from tests.powerbi.reader import ends
from tests.powerbi.twins import OF_THE_FEED, TWINS, twin

Make = Callable[[str], Exported]
EACH = pytest.mark.parametrize("name", SHOPS)
WINDOWS = {  # all days, a month, a week
    "shop": [("2024-01-01", "2024-12-31"), ("2024-02-01", "2024-02-29"), ("2024-02-05", "2024-02-11")],
    "olist": [("2016-01-01", "2018-12-31"), ("2018-02-01", "2018-02-28"), ("2017-11-20", "2017-11-26")],
}
EXPECTED: dict[str, dict[str, tuple[str | None, str | None, str | None]]] = {
    "shop": {
        "Orders": ("600", "257", "62"),
        "Orders Not Canceled": ("576", "245", "58"),
        "Revenue": ("1259860.59", "539857.39", "122190.96"),
        "Average Order Value": ("2187.257969", "2203.499551", "2106.740690"),
        "Items": ("2653", "1144", "259"),
        "Items per Order": ("4.605903", "4.669388", "4.465517"),
        "Product Revenue": ("1244732.32", "533372.15", "120629.16"),
        "Pieces Sold": ("2653", "1144", "259"),
        "Cancellation Rate": ("0.04", "0.046693", "0.064516"),
        "Refunds": ("24783.27", "14634.15", "163.94"),
        "Customers": ("198", "142", "52"),
        "New Customers": ("198", "72", "16"),
        "Returning Customers": ("0", "70", "36"),
        "Customers Last Month": ("116", "96", "36"),
        "Retained Customers": ("116", "70", "13"),
        "Retention %": ("0.545455", "0.729167", "0.361111"),
        "Cohort Retention %": ("0.683871", "0.683871", "0.683871"),
        "Revenue Last Month": ("734188.91", "546228.24", "159007.84"),
        "Revenue Last Year": (None, None, None),
        "Revenue Growth %": ("0.715990", "-0.011663", "-0.231541"),
        "Revenue Growth on Last Year %": (None, None, None),
        "Revenue Growth MTD %": ("-0.075472", "-0.011663", "-0.025420"),
        "Revenue Running Total": ("1259860.59", "1086085.63", "752042.57"),
        "Revenue Rolling 28 Days": ("507818.02", "526875.33", "494125.78"),
        "Freight Share": ("0.012060", "0.011969", "0.012587"),
    },
    "olist": {
        "Orders": ("8135", "537", "250"),
        "Orders Not Canceled": ("7510", "464", "241"),
        "Revenue": ("1159667.02", "70933.25", "32918.50"),
        "Average Order Value": ("154.416381", "152.873384", "136.591286"),
        "Items": ("7823", "495", "252"),
        "Items per Order": ("1.041678", "1.066810", "1.045643"),
        "Product Revenue": ("998029.08", "61036.79", "27941.75"),
        "Pieces Sold": ("7823", "495", "252"),
        "Cancellation Rate": ("0.076829", "0.135940", "0.036"),
        "Refunds": (None, None, None),
        "Customers": ("8016", "532", "250"),
        "New Customers": ("8016", "532", "247"),
        "Returning Customers": ("0", "0", "3"),
        "Customers Last Month": ("8011", "579", "91"),
        "Retained Customers": ("8011", "0", "0"),
        "Retention %": ("0.002599", "0.0", "0.0"),
        "Revenue Last Month": ("1159667.02", "84328.74", "10362.82"),
        "Revenue Last Year": ("368233.34", "27546.46", None),
        "Revenue Growth %": ("0.0", "-0.158848", "2.176597"),
        "Revenue Growth on Last Year %": ("2.149272", "1.575040", None),
        "Revenue Growth MTD %": (None, "-0.158848", "0.610217"),
        "Revenue Running Total": ("1159667.02", "692516.47", "458309.06"),
        "Revenue Rolling 28 Days": (None, "70933.25", "71638.21"),
    },
}


@EACH
def test_every_measure_has_a_twin(exported: Make, name: str) -> None:
    made = exported(name)
    measures = set(made.model().measures)
    assert measures - set(TWINS) == OF_THE_FEED
    for measure in sorted(measures - OF_THE_FEED):
        made.ask(twin(name, measure, "2010-12-01", "2010-12-31"))


@pytest.mark.parametrize("name", [SHOPS[0], SHOPS[2]])
def test_each_measure_has_its_number(exported: Make, name: str) -> None:
    made = exported(name)
    assert set(EXPECTED[name]) == set(made.model().measures) - OF_THE_FEED
    for measure, numbers in EXPECTED[name].items():
        for (first, last), number in zip(WINDOWS[name], numbers, strict=True):
            found = made.ask(twin(name, measure, first, last))[0][0]
            assert (found is None) == (number is None), (measure, first)
            assert found is None or abs(float(found) - float(number or 0)) < 1e-6, (measure, first, found)


def test_the_numbers_of_the_demo_shop_are_those_of_its_truth(exported: Make) -> None:
    truth = exported("shop").truth
    assert truth is not None
    days = truth["daily"]
    for column, (first, last) in enumerate(WINDOWS["shop"]):
        said = _figures([day for day in days if first <= day["order_date"] <= last])
        said["Revenue Running Total"] = _money(day for day in days if day["order_date"] <= last)
        for measure, value in said.items():
            number = EXPECTED["shop"][measure][column]
            assert abs(float(number or 0) - float(value)) < 1e-6, (measure, first)


def _figures(days: list[dict[str, Any]]) -> dict[str, Any]:
    orders, revenue = sum(day["orders"] for day in days), _money(days)
    canceled = sum(round(float(day["cancellation_rate"] or 0) * day["orders"]) for day in days)
    items = sum(day["items"] for day in days)
    return {
        "Orders": orders, "Orders Not Canceled": orders - canceled, "Revenue": revenue, "Items": items, "Pieces Sold": items,
        "Refunds": sum(Decimal(day["refunds"]) for day in days), "Cancellation Rate": canceled / orders,
        "Average Order Value": float(revenue) / (orders - canceled), "Items per Order": items / (orders - canceled),
    }  # fmt: skip


def _money(days: Any) -> Decimal:
    return sum((Decimal(day["revenue"]) for day in days), Decimal(0))


@needs_sample_data
def test_the_numbers_of_olist_are_those_of_its_files() -> None:
    people = {row["customer_id"]: row["customer_unique_id"] for row in _rows("olist_customers_dataset.csv")}
    lines: Counter[str] = Counter()
    money: Counter[str] = Counter()
    for row in _rows("olist_order_items_dataset.csv"):
        lines[row["order_id"]] += 1
        money[row["order_id"]] += round(100 * float(row["price"])) + round(100 * float(row["freight_value"]))
    orders = [(row["order_id"], row["order_purchase_timestamp"][:10], row["order_status"], people[row["customer_id"]])
              for row in _rows("olist_orders_dataset.csv")]
    firsts: dict[str, str] = {}
    for _, day, _, who in orders:
        firsts[who] = min(day, firsts.get(who, day))
    for column, (first, last) in enumerate(WINDOWS["olist"]):
        inside = [order for order in orders if first <= order[1] <= last]
        kept = [order for order in inside if order[2] != "canceled"]
        customers = {who for *_, who in inside}
        said = {
            "Orders": len(inside), "Orders Not Canceled": len(kept), "Items": sum(lines[order[0]] for order in kept),
            "Revenue": sum(money[order[0]] for order in kept) / 100, "Customers": len(customers),
            "New Customers": sum(first <= firsts[who] <= last for who in customers),
            "Returning Customers": sum(firsts[who] < first for who in customers),
        }
        for measure, value in said.items():
            assert abs(float(EXPECTED["olist"][measure][column] or 0) - value) < 1e-6, (measure, first)


def _rows(name: str) -> list[dict[str, str]]:
    with open(SAMPLE_DATA / "olist" / name, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def dax_of(made: Exported) -> Dax:
    """The measures of a shop over its published tables, with the names of the model."""
    catalog = with_trust(read_catalog(made.project, made.manifest))
    model = made.model()
    tables: dict[str, list[dict[str, Any]]] = {}
    for table in catalog.tables:
        names = [column.name for column in table.columns]
        tables[table.name] = [dict(zip(names, row, strict=True)) for row in _asked(made, table)]
    links = [Link(*ends(one), one.properties.get("isActive") != "false") for one in model.relationships]
    return Dax(Data(tables, links, {name: text for name, text in model.measures.items() if name != "Hours Since Publication"}))


def _asked(made: Exported, table: Table) -> list[tuple[Any, ...]]:
    if table.source.startswith("_"):
        return own_tables(made.snapshot, made.project.settings)[table.source][1]
    return made.ask(f"SELECT {', '.join(column.source for column in table.columns)} FROM {table.source}")


LOOKS = [("shop", 0), ("shop", 1), ("shop", 2), *(pytest.param("olist", n, marks=[pytest.mark.slow, needs_sample_data]) for n in (1, 2))]


@pytest.mark.parametrize(("name", "column"), LOOKS)
def test_the_dax_itself_says_the_same_number(exported: Make, name: str, column: int) -> None:
    dax = dax_of(exported(name))
    first, last = (date.fromisoformat(day) for day in WINDOWS[name][column])
    days = [row["Date"] for row in dax.data.tables["Date"] if first <= row["Date"] <= last]
    for measure, numbers in EXPECTED[name].items():
        found = dax.measure(measure, days)
        assert abs(float(found or 0) - float(numbers[column] or 0)) < 1e-6, (measure, found, numbers[column])


@pytest.mark.parametrize(("measure", "right", "wrong"), [
    ("Refunds", ", USERELATIONSHIP('Payments'[Paid Date], 'Date'[Date])", ""),
    ("New Customers", "REMOVEFILTERS('Date'), ", ""),
    ("Revenue Running Total", "<=", "<"),
    ("Product Revenue", '<> "canceled"', '= "canceled"'),
    ("Revenue Last Month", "MONTH", "YEAR"),
])  # fmt: skip
def test_a_measure_that_says_something_else_is_found(exported: Make, measure: str, right: str, wrong: str) -> None:
    dax = dax_of(exported("shop"))
    text = dax.data.measures[measure]
    assert right in text
    broken = Dax(replace(dax.data, measures={**dax.data.measures, measure: text.replace(right, wrong)}))
    days = [row["Date"] for row in dax.data.tables["Date"] if row["Date"].month == 2]
    assert float(broken.measure(measure, days) or 0) != pytest.approx(float(EXPECTED["shop"][measure][1] or 0))


def test_what_was_set_aside_is_counted_once_for_the_shop_and_on_its_way_for_a_table(exported: Make) -> None:
    made = exported("shop")
    shown = made.shop.cli_json("quarantine", "list")
    dax = dax_of(made)
    whole, orders = (
        dax.value(dax.trees["Rows Quarantined"], Context({} if table is None else {("Freshness", "Table"): frozenset([table])}))
        for table in (None, "fact_orders")
    )
    by_source = Counter(row["source"] for row in shown)
    assert whole == len(shown) > 10
    assert orders == sum(by_source[source] for source in ("orders", "order_items", "customers")) < whole
    assert dax.measure("Checks Failed", ()) == 0 and dax.measure("Contracts", ()) == "kept"
