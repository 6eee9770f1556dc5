"""Polars models of kind incremental: the function gets the rows of the touched keys, and must go key by key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ProjectError
from pipeline.project.keys import read_narrowing
from pipeline.project.model import read_model
from tests.conftest import ROOT, Shop
from tests.incremental.little import drop, little_shop

HEADER = "description: x\nkind: incremental\nkey: [customer_id]\nselect: |\n  SELECT customer_id, order_id\n  FROM silver.orders\n"
COUNTED = "return orders.group_by('customer_id').agg(pl.len().cast(pl.Int64).alias('orders'))"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = little_shop(tmp_path)
    for path in (tmp_path / "sql/gold").iterdir():
        path.unlink()
    function(shop, COUNTED)
    drop(shop, "orders", 1, [f"o{n},c{n % 4},open,2024-01-01,2024-01-01 00:00:00," for n in range(12)])
    return shop


def function(shop: Shop, body: str, header: str = HEADER, arguments: str = "orders") -> None:
    shop.write("sql/gold/counts.py", f'"""x\n---\n{header}---\n"""\nimport polars as pl\ndef model({arguments}):\n    {body}\n')


def counts(shop: Shop) -> dict[str, int]:
    return dict(shop.warehouse("SELECT customer_id, orders FROM gold.counts"))


def test_a_changed_row_has_its_key_computed_again_and_no_other(shop: Shop) -> None:
    shop.run()
    drop(shop, "orders", 2, ["o3,c1,open,2024-01-01,2024-01-02 00:00:00,", "o12,c9,open,2024-01-02,2024-01-02 00:00:00,"])
    (task,) = [task for task in shop.run().tasks if task.table == "gold.counts"]
    assert task.rows_in == 3  # c3 before, c1 after, and c9
    assert counts(shop) == {"c0": 3, "c1": 4, "c2": 3, "c3": 2, "c9": 1}


@pytest.mark.parametrize(
    "body",
    [
        "return orders.with_columns(pl.col('order_id').rank().alias('orders'))",
        "return orders.group_by('customer_id').agg(pl.len().alias('orders')).with_columns(pl.col('orders') / pl.col('orders').sum())",
        "return pl.concat([orders, orders.tail(1).with_columns(pl.lit('all').alias('customer_id'))])",
    ],
)
def test_a_function_that_looks_at_other_keys_fails_the_run(shop: Shop, body: str) -> None:
    function(shop, body)
    result = shop.run()
    assert result.status == "failed"
    (error,) = [task.error for task in result.tasks if task.table == "gold.counts"]
    assert error is not None
    assert "makes other rows of some keys by themselves than among all" in error
    assert error.endswith("let it look at the rows of one key only, or make it kind full.")


def test_a_function_that_answers_for_other_keys_later_has_the_table_rebuilt(shop: Shop) -> None:
    function(shop, COUNTED + ".with_columns(pl.col('customer_id').str.replace('c9', 'd9'))")
    shop.run()
    drop(shop, "orders", 2, ["o12,c9,open,2024-01-02,2024-01-02 00:00:00,"])
    assert "gold.counts was rebuilt whole: its function gives rows of keys that it was not asked for" in shop.run().notes


def test_a_function_whose_columns_depend_on_the_rows_has_the_table_rebuilt(shop: Shop) -> None:
    function(shop, f"counted = {COUNTED.removeprefix('return ')}\n    return counted if counted.collect().height > 1 else counted.cast({{'orders': pl.Int32}})")
    shop.run()
    drop(shop, "orders", 2, ["o12,c9,open,2024-01-02,2024-01-02 00:00:00,"])
    assert "gold.counts was rebuilt whole: its function gives the touched keys other columns" in shop.run().notes
    assert counts(shop)["c9"] == 1


def test_a_function_that_loses_the_key_fails_the_run(shop: Shop) -> None:
    function(shop, "return orders.select('order_id')")
    (error,) = [task.error for task in shop.run().tasks if task.table == "gold.counts"]
    assert error is not None and error.endswith("counts.py: its function gives no column customer_id, which is in the key; let it keep the key.")


@pytest.mark.parametrize(
    ("header", "arguments", "says"),
    [
        (HEADER.replace("incremental", "upsert"), "orders", r"counts\.py:\d+: a Polars model is of kind full, or of kind incremental with a select:"),
        ("description: x\nkind: incremental\nkey: [customer_id]\n", "orders", r"counts\.py:\d+: a Polars model is of kind full, or"),
        (HEADER, "orders, items", r"counts\.py:12: its function has 2 arguments, but the header's select: gives one; join the tables"),
        (HEADER.replace("customer_id, order_id", "order_id"), "orders", r"counts\.py:2: the header's select: gives no column customer_id, which is in the key; add it"),
        (HEADER.replace("SELECT c", "SELECT (c"), "orders", r"counts\.py:8: the SQL cannot be read: "),
        (HEADER.replace("silver.orders", "silver.ordres"), "orders", r"counts\.py:8: gold\.counts reads silver\.ordres, .*did you mean silver\.orders\?"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_its_line(shop: Shop, header: str, arguments: str, says: str) -> None:
    function(shop, COUNTED, header, arguments)
    with pytest.raises(ProjectError) as caught:
        shop.project()
    assert re.search(says, str(caught.value)), caught.value


def test_a_model_in_sql_has_no_select_in_its_header(shop: Shop) -> None:
    shop.write("sql/gold/x.sql", "/* ---\ndescription: x\nselect: SELECT 1\n--- */\nSELECT 1 AS a FROM silver.orders\n")
    with pytest.raises(ProjectError, match=r"x\.sql:2: only a Polars model has select: in its header; leave it out"):
        shop.project()


def test_blanks_and_comments_of_the_select_do_not_rebuild_the_table_and_its_words_do(shop: Shop) -> None:
    fingerprints = []
    for header in (HEADER, HEADER.replace("SELECT c", "SELECT  c").replace("FROM", "-- as they are\n  FROM"), HEADER.replace("order_id", "day")):
        function(shop, COUNTED, header)
        fingerprints.append(read_model(shop.folder / "sql/gold/counts.py").fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_the_shipped_scores_are_narrowed_and_a_changed_score_touches_those_of_its_value_and_measure() -> None:
    columns = {
        "gold.fact_customer_totals": {"customer_id": "VARCHAR", "last_order_date": "DATE", "frequency": "BIGINT", "monetary": "DECIMAL(18, 2)"},
        "gold.mart_rfm_scores": {"measure": "VARCHAR", "value": "BIGINT", "score": "INTEGER"},
    }
    found = read_narrowing(read_model(ROOT / "sql/gold/mart_customer_rfm.py"), columns)
    assert not found.blind and found.whole == {"gold.mart_rfm_scores"}
    for select, measure in zip(found.touches["gold.mart_rfm_scores"], ("recency", "frequency", "monetary"), strict=True):
        assert select.endswith(f"""."measure" = '{measure}'""")
