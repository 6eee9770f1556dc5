"""Promise 4: after any sequence of drops the tables equal a full rebuild, row for row."""

from __future__ import annotations

import os
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.feed.snapshot import open_snapshot
from pipeline.runner import Order
from pipeline.steps.again import Period
from tests.conftest import Shop
from tests.incremental.little import MODELS, OTHER_SQL, content, drop, little_shop, write_model

some = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
many = settings(some, max_examples=int(os.environ.get("GOLDFEED_SOAK_EXAMPLES", "200")) // 4)
order_ids, customers, products = st.integers(1, 4), st.sampled_from(["a", "a", "b", "c", ""]), st.sampled_from(["p", "q", ""])
days = st.sampled_from(["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"])
changed = st.integers(1, 9).map(lambda hour: f"2024-01-31 0{hour}:00:00")
op = st.sampled_from(["", "", "", "", "U", "D", "d"])
statuses, amounts = st.sampled_from(["open", "open", "paid", "lost", "odd"]), st.sampled_from(["1.00", "2.50", "3.00", "-1", "x"])
order_rows = st.tuples(order_ids, customers, statuses, days, changed, op)
item_rows = st.tuples(order_ids, st.integers(1, 2), products, amounts, changed, op)
customer_rows = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["Rome", "Bonn", ""]), changed, op)


def lines(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[str]]:
    return st.lists(rows.map(lambda row: ",".join(str(value) for value in row)), min_size=1, max_size=6)


files = st.one_of(
    st.tuples(st.just("orders"), lines(order_rows)),
    st.tuples(st.just("items"), lines(item_rows)),
    st.tuples(st.just("customers"), lines(customer_rows)),
)
models = st.tuples(st.just("model"), st.sampled_from(sorted(OTHER_SQL)))
again = st.tuples(st.just("again"), st.sampled_from([None, "gold.fact_orders"]))
parts = st.tuples(st.just("part"), st.sampled_from(["silver", "gold.fact_orders", "+gold.days", "bronze", "silver.orders"]))
steps = st.lists(st.one_of(files, files, files, files, models, parts, again, st.just(("run", None))), min_size=2, max_size=6)


@some
@given(steps=steps)
def test_incremental_equals_full_after_any_sequence(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    check(little_shop(tmp_path_factory.mktemp("shop")), steps)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
@many
@given(steps=steps)
def test_incremental_equals_full_after_hundreds_of_sequences(
    tmp_path_factory: pytest.TempPathFactory, share: int, steps: list[Any]
) -> None:
    check(little_shop(tmp_path_factory.mktemp("shop")), steps)


def check(shop: Shop, steps: list[Any]) -> None:
    """Play the steps; what is published is what the warehouse holds, and a full rebuild changes nothing."""
    play(shop, steps)
    before = content(shop)
    snapshot = open_snapshot(shop.project().settings)
    tables = {name: name.partition("/")[2] for name in MODELS if name.startswith("gold")}
    published = {name: snapshot.query(f"SELECT * FROM {table} ORDER BY ALL")[1] for name, table in tables.items()}
    assert published == {name: before[name] for name in published}
    shop.run(Order(full_refresh=True))
    assert content(shop) == before


BASE = {
    "orders": [f"{number},{who},open,2024-01-3{number % 2},2024-01-31 00:30:00," for number, who in enumerate("abca", 1)],
    "items": [f"{number},1,{'pq'[number % 2]},{number}.00,2024-01-31 00:30:00," for number in range(1, 5)],
    "customers": [f"{who},Rome,2024-01-01 00:00:00," for who in "ab"],
}


def play(shop: Shop, steps: list[Any]) -> None:
    """A few rows to begin with, then the steps, each drop followed by a run; then run to the end."""
    for source, rows in BASE.items():
        drop(shop, source, 9000, rows)
    shop.run()
    for number, (what, value) in enumerate([*steps, ("run", None)]):
        if what == "model":
            path = shop.folder / f"sql/{value}.sql"
            other = OTHER_SQL[value] not in path.read_text()
            write_model(shop, value, OTHER_SQL[value] if other else MODELS[value][1])
        elif what == "again":
            shop.run(Order(select=(value,) if value else (), again=Period(date(2000, 1, 1), date(2100, 1, 1))))
            continue
        elif what == "part":
            if (shop.home / "warehouse.duckdb").exists():
                shop.run(Order(select=(value,)))
            continue
        elif what != "run":
            drop(shop, what, number, value)
            if number % 3 == 2:
                continue  # this one waits for the next
        result = shop.run()
        assert result.status != "failed", [task.error for task in result.tasks if task.error]
