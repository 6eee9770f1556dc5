"""A table that is rebuilt from its first row takes those that read it by batch with it."""

from __future__ import annotations

from tests.conftest import SILVER_ORDERS, Shop

VERSIONS = SILVER_ORDERS.replace("kind: upsert\nkey: [order_id]", "kind: append")
DIM = """/* ---
description: x
kind: scd2
key: [order_id]
valid_from: valid_from
--- */
SELECT order_id, status, updated_at AS valid_from FROM silver.versions
"""


def test_versions_follow_a_change_of_the_table_they_are_made_of(shop: Shop) -> None:
    shop.write("sql/silver/versions.sql", VERSIONS)
    shop.write("sql/gold/dim_orders.sql", DIM)
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01", "2,c,lost,1,2024-01-01")
    shop.run()
    shop.write("sql/silver/versions.sql", VERSIONS.replace("lower(trim(status))", "upper(trim(status))").replace("status IN ('created', 'paid', 'shipped')", "1 = 1"))
    assert shop.run().status == "succeeded"
    assert shop.ask("SELECT order_id, status FROM dim_orders ORDER BY 1") == [("1", "PAID"), ("2", "LOST")]
    shop.write("sql/silver/versions.sql", VERSIONS.replace("lower(trim(status))", "trim(status)").replace("status IN ('created', 'paid', 'shipped')", "1 = 1"))
    shop.run()
    assert shop.ask("SELECT order_id, status FROM dim_orders ORDER BY 1") == [("1", "paid"), ("2", "lost")]
