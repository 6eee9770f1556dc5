"""What a day need not look for again: what a model's SQL shows, and where its rows lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.project import keys, narrowings
from pipeline.project.keys import Narrowing
from pipeline.project.narrowings import narrowing
from tests.conftest import SILVER_ORDERS, Shop
from tests.incremental.little import MODELS, drop, little_shop, write_model
from tests.incremental.test_deletes_and_parts import AT

COLUMNS = {
    "gold.fact_items": {"order_id": "VARCHAR", "line": "INTEGER", "day": "DATE", "product_id": "VARCHAR", "amount": "DECIMAL(18,2)"},
    "gold.fact_orders": {"order_id": "VARCHAR", "day": "DATE", "status": "VARCHAR"},
}


def shown(folder: Path, shop: Shop) -> Narrowing:
    """As the next process asks: nothing is in memory."""
    narrowings._known.clear()
    return narrowing(shop.project().graph.models["gold.products"], COLUMNS, folder)


def test_what_a_models_sql_shows_is_read_once_and_kept_for_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, folder = little_shop(tmp_path / "shop"), tmp_path / "kept"
    first = shown(folder, shop)
    with monkeypatch.context() as patched:
        patched.setattr(keys, "read_narrowing", lambda *_: pytest.fail("it was read again"))
        assert shown(folder, shop) == first
    write_model(shop, "gold/products", MODELS["gold/products"][1].replace("'lost'", "'gone'"))
    assert "'gone'" in shown(folder, shop).narrowed


@pytest.mark.parametrize(("was", "becomes"), [(".*", ""), (".*", "{}"), ("lost", "most"), ("$", " "), ("^.", "-"), ("\n.*", "")])
def test_what_is_kept_and_damaged_is_read_anew(tmp_path: Path, was: str, becomes: str) -> None:
    shop, folder = little_shop(tmp_path / "shop"), tmp_path / "kept"
    first = shown(folder, shop)
    path = folder / "gold.products.json"
    kept = path.read_text()
    path.write_text(re.sub(was, becomes, kept, count=1, flags=re.S))
    assert path.read_text() != kept and shown(folder, shop) == first and path.read_text() == kept


def test_where_it_cannot_be_kept_it_is_read_each_time(tmp_path: Path) -> None:
    shop = little_shop(tmp_path / "shop")
    (tmp_path / "file").write_text("")
    assert shown(tmp_path / "file", shop) == shown(tmp_path / "other", shop)


@pytest.mark.parametrize("column", ["rowid", "RowId", "_row", "_side", "_net", "_time", "_gone"])
def test_a_column_may_be_called_as_the_engine_calls_a_rows_place_or_as_a_step_might_its_own(tmp_path: Path, column: str) -> None:
    shop = little_shop(tmp_path / "shop")
    write_model(shop, "silver/customers", f"SELECT customer_id, city, changed, 7 AS {column} FROM silver.customer_versions")
    write_model(shop, "silver/first_days", f"SELECT customer_id, min(day) AS first_day, 7 AS {column} FROM silver.orders WHERE customer_id IS NOT NULL GROUP BY customer_id")
    write_model(shop, "gold/last_orders", f"SELECT * FROM (SELECT customer_id, order_id, day, 7 AS {column} FROM silver.orders) WHERE customer_id IS NOT NULL")
    for number, (city, day) in enumerate([("Rome", 3), ("Oslo", 2)]):
        names = ("ann", "bob", "cyd")[: 3 - number]  # the third stays as he is
        drop(shop, "customers", number, [f"{name},{city},{AT.format(number + 1)}," for name in names])
        drop(shop, "orders", number, [f"{name},{name},open,2024-02-0{day},{AT.format(number + 1)}," for name in names])
        assert shop.run().status == "succeeded"
    assert shop.warehouse(f"SELECT customer_id, city, {column} FROM silver.customers ORDER BY 1") == [("ann", "Oslo", 7), ("bob", "Oslo", 7), ("cyd", "Rome", 7)]
    days: list[tuple[Any, ...]] = shop.warehouse("SELECT customer_id, CAST(first_day AS VARCHAR) FROM silver.first_days ORDER BY 1")
    assert days == [("ann", "2024-02-02"), ("bob", "2024-02-02"), ("cyd", "2024-02-03")]
    assert shop.warehouse("SELECT customer_id, CAST(day AS VARCHAR) FROM gold.last_orders ORDER BY 1") == days


def test_so_may_a_column_of_a_table_that_is_merged(shop: Shop) -> None:
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace(" FROM bronze", ", 0 AS rowid FROM bronze"))
    shop.drop_orders("orders_1.csv", "1,ann,paid,10.00,2024-01-01", "2,bob,paid,7.00,2024-01-01")
    shop.run()
    shop.drop_orders("orders_2.csv", "2,bob,shipped,8.00,2024-01-02")
    shop.run()
    assert shop.warehouse("SELECT order_id, customer_id, status, amount FROM silver.orders ORDER BY 1") == [
        ("1", "ann", "paid", 10),
        ("2", "bob", "shipped", 8),
    ]


def test_a_touched_key_that_is_null_is_the_key_of_no_row_where_the_sql_says_so(tmp_path: Path) -> None:
    shop = little_shop(tmp_path / "shop")
    drop(shop, "customers", 1, [f"ann,Rome,{AT.format(1)},"])
    drop(shop, "orders", 1, [f"{n},ann,open,2024-02-01,{AT.format(1)}," for n in range(4)])
    drop(shop, "items", 1, [f"{n},1,lamp,2.00,{AT.format(1)}," for n in range(4)])
    assert shop.run().status == "succeeded"
    drop(shop, "orders", 2, [f"9,nobody,open,2024-02-02,{AT.format(2)},"])
    drop(shop, "items", 2, [f"9,1,lamp,2.00,{AT.format(2)},"])
    notes = shop.run().notes
    assert not [note for note in notes if "buyers" in note] and shop.warehouse("SELECT customer_id, items FROM gold.buyers") == [("ann", 4)]
    assert shop.warehouse("SELECT count(*) FROM gold.fact_items WHERE customer_key = -1") == [(1,)]
