"""Schema validation as files come in: types, columns that must be there, values that must be there, drift."""

from __future__ import annotations

import pytest

from tests.conftest import ORDERS_YML, Shop

STRICT = ORDERS_YML.replace("customer_id: {type: varchar,", "customer_id: {type: varchar, not_null: true,").replace("status:      {type: varchar}", "status:      {type: varchar, required: true}")


def test_a_blank_that_must_not_be_sets_its_row_aside(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", STRICT)
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01", "2,  ,paid,1,2024-01-01", "3,,,1,2024-01-01")
    shop.run()
    assert shop.warehouse("SELECT order_id FROM bronze.orders") == [("1",)]
    assert {row[2] for row in shop.quarantine()} == {"customer_id is blank but must not be"} and len(shop.quarantine()) == 2


def test_a_row_that_only_deletes_its_key_may_leave_the_rest_blank(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", STRICT.replace("columns:", "operation: {column: op, delete: [D]}\ncolumns:\n  op: {type: varchar}"))
    shop.drop("orders.csv", "order_id,customer_id,status,amount,updated_at,op\n1,c,paid,1,2024-01-01,\n1,,,,2024-01-02,D\n2,,paid,1,2024-01-01,\n")
    shop.run()
    assert shop.warehouse("SELECT order_id, op FROM bronze.orders ORDER BY _line") == [("1", None), ("1", "D")]
    assert [row[2] for row in shop.quarantine() if row[0] == "orders"] == ["customer_id is blank but must not be"]
    assert shop.warehouse("SELECT count(*) FROM silver.orders") == [(0,)]


@pytest.mark.parametrize("missing", ["customer_id", "status"])
def test_a_file_without_a_column_that_must_be_there_is_rejected(shop: Shop, missing: str) -> None:
    shop.write("sql/bronze/orders.yml", STRICT)
    names = [name for name in ("order_id", "customer_id", "status", "amount", "updated_at") if name != missing]
    shop.drop("orders.csv", ",".join(names) + "\n1,x,1,2024-01-01\n")
    notes = shop.run().notes
    assert f"it has no required column {missing}" in notes[0] and (shop.home / "rejected" / "orders.csv.error.txt").exists()


def test_a_column_cannot_both_become_null_and_must_not_be(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML.replace('"decimal(18,2)"', '"decimal(18,2)", not_null: true, on_error: "null"'))
    done = shop.cli("plan")
    assert done.returncode == 1 and "a column that is not_null cannot become NULL" in done.stderr


@pytest.mark.parametrize(("drift", "kept", "extra"), [("evolve", 1, True), ("ignore", 1, False), ("reject", 0, False)])
def test_a_column_nobody_declared_joins_is_left_out_or_is_refused(shop: Shop, drift: str, kept: int, extra: bool) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML.replace("columns:", f"drift: {drift}\ncolumns:"))
    shop.drop("orders.csv", "order_id,customer_id,status,amount,updated_at,colour\n1,c,paid,1,2024-01-01,red\n")
    shop.run()
    assert shop.warehouse("SELECT count(*) FROM bronze.orders") == [(kept,)]
    columns = [row[0] for row in shop.warehouse("SELECT column_name FROM duckdb_columns() WHERE schema_name = 'bronze'")]
    assert ("colour" in columns) == extra
