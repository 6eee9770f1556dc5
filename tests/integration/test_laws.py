"""Laws of the kinds: the latest wins, versions neither overlap nor gap, and the order of arrival does not matter."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runner import Order
from tests.conftest import HEADER, ORDERS_YML, SILVER_ORDERS, Shop
from tests.examples import examples

DIM = """/* ---
description: x
kind: scd2
key: [order_id]
valid_from: valid_from
surrogate_key: order_key
--- */
SELECT order_id, status, updated_at AS valid_from FROM silver.versions
"""
quick = examples(3)
ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["created", "paid", "shipped"]), st.integers(0, 5)), min_size=1, max_size=14
)


def shop_of(factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(factory.mktemp("laws"))
    shop.write("goldfeed.yml", "name: laws\n")
    shop.write("sql/bronze/orders.yml", ORDERS_YML)
    shop.write("sql/silver/orders.sql", SILVER_ORDERS)
    shop.write("sql/silver/versions.sql", SILVER_ORDERS.replace("kind: upsert\nkey: [order_id]", "kind: append"))
    shop.write("sql/gold/dim_orders.sql", DIM)
    return shop


def files_of(rows: list[tuple[int, str, int]], size: int) -> list[tuple[str, str]]:
    """Rows cut into files whose names sort in the order of the rows."""
    lines = [f"{key},c,{status},{number},2024-01-{day + 1:02d}" for number, (key, status, day) in enumerate(rows)]
    parts = [lines[at : at + size] for at in range(0, len(lines), size)]
    return [(f"orders_{number:03d}.csv", "\n".join([HEADER, *part]) + "\n") for number, part in enumerate(parts)]


def tables(shop: Shop) -> dict[str, Any]:
    return {
        "orders": shop.warehouse("SELECT order_id, status, amount, updated_at FROM silver.orders ORDER BY 1"),
        "versions": shop.warehouse("SELECT order_id, status, valid_from, valid_to, is_current FROM gold.dim_orders ORDER BY ALL"),
    }


@quick
@given(rows=ROWS, size=st.integers(1, 5), shuffle=st.randoms(use_true_random=False), runs=st.integers(1, 4))
def test_i3_the_order_and_the_runs_in_which_files_come_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int]], size: int, shuffle: Any, runs: int
) -> None:
    at_once, parts = shop_of(tmp_path_factory), shop_of(tmp_path_factory)
    files = files_of(rows, size)
    for name, text in files:
        at_once.drop(name, text)
    at_once.run()
    shuffle.shuffle(files)
    for run in range(runs):
        for name, text in files[run::runs]:
            parts.drop(name, text)
        parts.run()
    assert tables(parts) == tables(at_once)
    best: dict[int, tuple[int, int]] = {}
    for number, (key, _, day) in enumerate(rows):
        best[key] = max(best.get(key, (-1, -1)), (day, number))
    assert [(int(row[0]), int(row[2])) for row in tables(parts)["orders"]] == sorted((key, number) for key, (_, number) in best.items())


@quick
@given(rows=ROWS, size=st.integers(1, 5))
def test_i5_versions_have_no_overlap_no_gap_and_one_current_each(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int]], size: int
) -> None:
    shop = shop_of(tmp_path_factory)
    for name, text in files_of(rows, size):
        shop.drop(name, text)
        shop.run()
    found = shop.warehouse("SELECT order_key, order_id, status, valid_from, valid_to, is_current FROM gold.dim_orders ORDER BY order_id, valid_from")
    unknown = [row for row in found if row[0] == -1]
    assert unknown == [(-1, None, "Unknown", datetime(1, 1, 1), datetime(9999, 12, 31), True)]
    known = [row for row in found if row[0] != -1]
    assert len({row[0] for row in known}) == len(known)
    for key in {row[1] for row in known}:
        versions = [row for row in known if row[1] == key]
        assert [row[5] for row in versions] == [False] * (len(versions) - 1) + [True]
        assert all(row[3] < row[4] for row in versions) and versions[-1][4] == datetime(9999, 12, 31)
        assert all(one[4] == two[3] and one[2] != two[2] for one, two in pairwise(versions))
        days = {datetime(2024, 1, 1) + timedelta(days=day) for number, _, day in rows if str(number) == key}
        assert versions[0][3] == min(days)


@quick
@given(rows=ROWS, size=st.integers(1, 5))
def test_a_version_keeps_its_key_through_every_run_and_rebuild(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int]], size: int
) -> None:
    shop, keys = shop_of(tmp_path_factory), dict[tuple[Any, ...], int]()
    for name, text in files_of(rows, size):
        shop.drop(name, text)
        for order in (Order(), Order(full_refresh=True)):
            shop.run(order)
            now = {row[:2]: row[2] for row in shop.warehouse("SELECT order_id, valid_from, order_key FROM gold.dim_orders")}
            assert all(now[version] == key for version, key in keys.items() if version in now)
            keys.update(now)


STATUSES = """/* ---
description: x
kind: full
key: [status]
surrogate_key: status_key
--- */
SELECT status, count(*) AS orders FROM silver.orders GROUP BY status
"""


def keys_of_statuses(shop: Shop) -> dict[str | None, int]:
    return dict(shop.ask("SELECT status, status_key FROM dim_statuses"))


def test_a_key_of_a_full_table_is_kept_through_runs_rebuilds_and_absence(shop: Shop) -> None:
    shop.write("sql/gold/dim_statuses.sql", STATUSES)
    shop.drop_orders("orders_1.csv", "1,c,paid,1,2024-01-01", "2,c,shipped,1,2024-01-01")
    shop.run()
    assert keys_of_statuses(shop) == {"paid": 1, "shipped": 2}
    shop.drop_orders("orders_2.csv", "2,c,created,1,2024-01-02")  # first by its name, but not on first sight
    shop.run()
    assert keys_of_statuses(shop) == {"paid": 1, "created": 3}
    shop.run(Order(full_refresh=True))
    assert keys_of_statuses(shop) == {"paid": 1, "created": 3}
    shop.drop_orders("orders_3.csv", "2,c,shipped,1,2024-01-03", "3,c,created,1,2024-01-03")
    shop.run()
    assert keys_of_statuses(shop) == {"paid": 1, "shipped": 2, "created": 3}


def test_a_key_of_a_full_table_is_kept_when_its_model_is_changed_or_the_warehouse_is_lost(shop: Shop) -> None:
    shop.write("sql/gold/dim_statuses.sql", STATUSES)
    for number, status in enumerate(("shipped", "paid", "created")):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,{status},1,2024-01-01")
        shop.run()
    held = {"shipped": 1, "paid": 2, "created": 3}
    assert keys_of_statuses(shop) == held
    shop.write("sql/gold/dim_statuses.sql", STATUSES.replace("count(*) AS orders", "count(*) AS orders, sum(amount) AS amount"))
    assert shop.run().status == "succeeded" and keys_of_statuses(shop) == held
    for path in shop.home.glob("warehouse.duckdb*"):
        path.unlink()
    assert shop.cli("run", "--from-archive").returncode == 0
    assert keys_of_statuses(shop) == held


def test_a_fact_keeps_pointing_at_the_member_of_a_full_table_it_pointed_at(shop: Shop) -> None:
    shop.write("sql/gold/dim_statuses.sql", STATUSES)
    shop.write(
        "sql/gold/fact.sql",
        "/* ---\ndescription: x\nkind: incremental\nkey: [order_id]\n--- */\nSELECT o.order_id, coalesce(d.status_key, -1) AS status_key "
        "FROM silver.orders AS o LEFT JOIN gold.dim_statuses AS d ON d.status = o.status\n",
    )
    for number, status in enumerate(("shipped", "paid", "created", "paid")):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,{status},1,2024-01-01")
        shop.run()
    asked = "SELECT f.order_id, d.status FROM fact AS f JOIN dim_statuses AS d ON d.status_key = f.status_key ORDER BY 1"
    assert shop.ask(asked) == [("0", "shipped"), ("1", "paid"), ("2", "created"), ("3", "paid")]
    shop.run(Order(full_refresh=True))
    assert shop.ask("SELECT status_key FROM fact ORDER BY order_id") == [(1,), (2,), (3,), (2,)]


def test_an_older_row_that_comes_late_changes_nothing_and_a_null_time_loses(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1,2024-01-05")
    shop.run()
    shop.drop_orders("orders_2.csv", "1,c,created,2,2024-01-01", "1,c,shipped,3,")
    result = shop.run()
    assert shop.ask("SELECT status FROM totals") == [("paid",)]
    assert next(task.status for task in result.tasks if task.table == "silver.orders") == "unchanged"
    assert shop.warehouse("SELECT rows_in, kept, superseded FROM ledger.tables WHERE table_name = 'silver.orders'") == [(3, 1, 2)]


def test_a_fact_joins_the_version_that_was_valid_at_its_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    shop = shop_of(tmp_path_factory)
    shop.write(
        "sql/gold/fact.sql",
        "/* ---\ndescription: x\n--- */\nSELECT v.order_id, v.updated_at, d.status, coalesce(d.order_key, -1) AS order_key FROM silver.versions v "
        "LEFT JOIN gold.dim_orders d ON d.order_id = v.order_id AND v.updated_at >= d.valid_from AND v.updated_at < d.valid_to\n",
    )
    shop.drop_orders("orders.csv", "1,c,created,1,2024-01-01", "1,c,paid,1,2024-01-03", "1,c,paid,1,2024-01-04", "1,c,shipped,1,2024-01-06")
    shop.run()
    assert shop.ask("SELECT status, order_key FROM fact ORDER BY updated_at") == [("created", 1), ("paid", 2), ("paid", 2), ("shipped", 3)]


def test_rules_of_a_full_table_set_rows_aside_until_the_next_build(shop: Shop) -> None:
    shop.write(
        "sql/gold/totals.sql",
        "/* ---\ndescription: x\nkey: [status]\nrules:\n  few: orders < 2\n--- */\nSELECT status, count(*) AS orders FROM silver.orders GROUP BY status\n",
    )
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01", "2,c,paid,1,2024-01-01", "3,c,created,1,2024-01-01")
    shop.run()
    assert shop.ask("SELECT * FROM totals") == [("created", 1)]
    assert shop.quarantine() == [("gold.totals", None, "rule few", '{"status":"paid","orders":2}')]
    shop.drop_orders("orders_2.csv", "2,c,shipped,1,2024-01-02")
    shop.run()
    assert shop.ask("SELECT status FROM totals ORDER BY 1") == [("created",), ("paid",), ("shipped",)] and shop.quarantine() == []
