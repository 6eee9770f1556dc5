"""Deletes, versions out of order, and tables published in parts: small cases to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.published import manifest_hash
from pipeline.runner import Order
from tests.conftest import Shop
from tests.incremental.little import drop, little_shop, write_model

AT = "2024-01-31 0{}:00:00"


@pytest.fixture
def little(tmp_path: Path) -> Shop:
    shop = little_shop(tmp_path / "shop")
    drop(shop, "customers", 1, [f"a,Rome,{AT.format(1)},", f"b,Bonn,{AT.format(1)},"])
    drop(shop, "orders", 1, [f"1,a,open,2024-02-01,{AT.format(1)},", f"2,b,paid,2024-02-02,{AT.format(1)},"])
    drop(shop, "items", 1, [f"1,1,p,1.00,{AT.format(1)},", f"2,1,q,2.00,{AT.format(1)},"])
    shop.run()
    return shop


def status(result: Any) -> dict[str, str]:
    return {task.table: task.status for task in result.tasks}


# ---------------------------------------------------------------- deletes
def test_a_deleted_key_leaves_silver_and_gold_and_comes_back_when_it_is_inserted_again(little: Shop) -> None:
    drop(little, "orders", 2, [f"1,,,,{AT.format(2)},D"])
    little.run()
    assert little.ask("SELECT order_id FROM fact_orders") == [("2",)]
    assert little.ask("SELECT day, orders, amount FROM days") == little.warehouse("SELECT day, 1, 2.00 FROM silver.orders")
    assert little.ask("SELECT order_id FROM fact_items") == [("2",)]
    assert little.quarantine() == []
    drop(little, "orders", 3, [f"1,a,paid,2024-02-03,{AT.format(3)},I"])
    little.run()
    assert little.ask("SELECT order_id, status, amount FROM fact_orders ORDER BY 1") == [("1", "paid", 1), ("2", "paid", 2)]
    assert little.warehouse("SELECT rows_in, kept, superseded FROM ledger.tables WHERE table_name = 'silver.orders'") == [(4, 2, 2)]


def test_an_older_row_that_comes_late_does_not_bring_a_deleted_key_back(little: Shop) -> None:
    drop(little, "orders", 2, [f"1,,,,{AT.format(5)},d"])
    little.run()
    drop(little, "orders", 3, [f"1,a,paid,2024-02-03,{AT.format(4)},"])
    little.run()
    assert little.ask("SELECT order_id FROM fact_orders") == [("2",)]


def test_a_delete_that_came_before_its_row_counts_all_the_same(little: Shop) -> None:
    drop(little, "orders", 2, [f"9,,,,{AT.format(5)},D"])
    little.run()
    drop(little, "orders", 3, [f"9,a,paid,2024-02-03,{AT.format(4)},"])
    little.run()
    assert little.ask("SELECT count(*) FROM fact_orders WHERE order_id = '9'") == [(0,)]


def test_a_deleted_customer_s_version_is_closed_and_a_new_one_opens_when_they_come_back(little: Shop) -> None:
    drop(little, "customers", 2, [f"a,,{AT.format(3)},D"])
    little.run()
    versions = "SELECT city, valid_to, is_current FROM gold.dim_customers WHERE customer_id = 'a' ORDER BY valid_from"
    three, forever = little.warehouse(f"SELECT TIMESTAMP '{AT.format(3)}', TIMESTAMP '9999-12-31'")[0]
    assert little.warehouse(versions) == [("Rome", three, False)]
    drop(little, "customers", 3, [f"a,Rome,{AT.format(5)},"])
    little.run()
    assert little.warehouse(versions) == [("Rome", three, False), ("Rome", forever, True)]
    keys = little.warehouse("SELECT customer_key FROM gold.dim_customers WHERE customer_id = 'a'")
    assert len(set(keys)) == 2


def test_a_version_that_is_deleted_at_the_time_it_began_is_gone_for_readers_too(little: Shop) -> None:
    drop(little, "customers", 2, [f"b,Rome,{AT.format(1)},d", f"b,Rome,{AT.format(3)},"])
    little.run()
    asked = "SELECT count(*) FROM {}dim_customers WHERE customer_id = 'b' AND is_current"
    assert little.ask(asked.format("")) == [(1,)]
    drop(little, "customers", 3, [f"b,Rome,{AT.format(3)},D"])  # nothing new comes, a version only goes
    assert status(little.run())["gold.dim_customers"] == "succeeded"
    assert little.warehouse(asked.format("gold.")) == little.ask(asked.format("")) == [(0,)]


def test_versions_that_come_late_and_out_of_order_land_in_their_place(little: Shop) -> None:
    drop(little, "customers", 2, [f"a,Oslo,{AT.format(7)},"])
    little.run()
    drop(little, "customers", 3, [f"a,Kyiv,{AT.format(4)},", f"a,Rome,{AT.format(2)},"])
    little.run()
    rows = little.warehouse("SELECT city, hour(valid_from), hour(valid_to), is_current FROM gold.dim_customers WHERE customer_id = 'a' ORDER BY valid_from")
    assert rows == [("Rome", 1, 4, False), ("Kyiv", 4, 7, False), ("Oslo", 7, 0, True)]


def test_a_source_that_begins_to_tell_of_deletes_is_built_anew(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,gone,paid,2.00,2024-01-01")
    shop.run()
    text = (shop.folder / "sql/bronze/orders.yml").read_text()
    shop.write("sql/bronze/orders.yml", text + "operation: {column: customer_id, delete: gone}\n")
    shop.run()
    assert shop.warehouse("SELECT order_id FROM silver.orders") == [("1",)]


def test_an_operation_that_names_no_column_is_refused(shop: Shop) -> None:
    text = (shop.folder / "sql/bronze/orders.yml").read_text()
    shop.write("sql/bronze/orders.yml", text + "operation: {column: op, delete: [D]}\n")
    done = shop.cli("run")
    assert done.returncode == 1 and "operation names 'op', which is not one of the columns" in done.stderr


# ---------------------------------------------------------------- what is built
def test_only_what_a_change_reaches_is_built(little: Shop) -> None:
    drop(little, "orders", 2, [f"1,a,paid,2024-02-01,{AT.format(2)},"])  # its status, and nothing else
    seen = status(little.run())
    assert {name for name, what in seen.items() if what == "succeeded"} == {
        "bronze.orders", "silver.orders", "gold.fact_orders", "gold.summary", "gold",
    }


def test_a_change_that_moves_an_order_to_another_day_and_customer_changes_both_sides(little: Shop) -> None:
    drop(little, "orders", 2, [f"1,b,lost,2024-03-01,{AT.format(2)},"])
    little.run()
    assert little.ask("SELECT strftime(day, '%m-%d'), orders, lost FROM days ORDER BY 1") == [("02-02", 1, 0), ("03-01", 1, 1)]
    assert little.ask("SELECT customer_id, many FROM people WHERE what = 'order'") == [("b", 2)]


def test_two_tables_that_change_at_once_touch_the_key_they_made_together(little: Shop) -> None:
    assert little.ask("SELECT product_id, city FROM pairs ORDER BY 1") == [("p", "Rome"), ("q", "Bonn")]
    drop(little, "items", 2, [f"1,1,r,1.00,{AT.format(2)},"])
    drop(little, "orders", 2, [f"1,b,open,2024-02-01,{AT.format(2)},"])
    little.run()  # (p, Rome) is gone: neither table says so any more by itself
    assert little.ask("SELECT product_id, city FROM pairs ORDER BY 1") == [("q", "Bonn"), ("r", "Bonn")]


def test_a_table_whose_keys_the_sql_does_not_show_is_rebuilt_and_the_run_says_why(little: Shop) -> None:
    drop(little, "items", 2, [f"1,1,p,7.00,{AT.format(2)},"])
    result = little.run()
    assert [note for note in result.notes if "rebuilt whole" in note] == [
        "gold.shares was rebuilt whole: gold.fact_orders has changed, and a sub-query inside an expression reads it"
    ]
    drop(little, "items", 3, [f"1,1,p,8.00,{AT.format(3)},"])
    how = {task["task"]: task["how"] for task in little.cli_json("plan")}
    assert how["build gold.shares"] == "whole: gold.fact_orders changes, and a sub-query inside an expression reads it"
    assert how["build gold.fact_orders"] == "touched keys, by order_id"
    assert how["build silver.items"] == "the new rows" and how["build gold.summary"] == "whole"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT order_id, random() AS r FROM silver.orders", "RAND gives another value in each run"),
        ("SELECT order_id, now() AS t FROM silver.orders", "now gives another value in each run"),
        ("SELECT order_id FROM silver.orders ORDER BY order_id LIMIT 3", "its SELECT has LIMIT"),
        ("SELECT max(order_id) AS order_id FROM silver.orders", "order_id is not what its rows are grouped by"),
        ("SELECT c.city AS order_id FROM silver.orders o LEFT JOIN silver.customers c ON c.customer_id = o.customer_id", "order_id comes from the optional side of a join"),
        ("SELECT o.order_id FROM silver.orders o RIGHT JOIN silver.customers c ON c.customer_id = o.customer_id", "it has a RIGHT JOIN"),
        ("SELECT order_id FROM silver.orders NATURAL JOIN silver.items", "it reads _batch, by name, by * or by NATURAL"),
            ("SELECT * FROM silver.orders", "it reads _file_id, by name, by * or by NATURAL"),
            ("SELECT o.order_id FROM silver.orders o ASOF JOIN silver.items i ON o.order_id = i.order_id AND o.changed >= i.changed", "ASOF"),
    ],
)
def test_sql_that_shows_no_keys_is_built_whole_and_the_plan_says_why(little: Shop, sql: str, reason: str) -> None:
    little.write("sql/gold/odd.sql", f"/* ---\ndescription: x\nkind: incremental\nkey: [order_id]\n--- */\n{sql}\n")
    little.run()
    drop(little, "orders", 2, [f"3,b,paid,2024-02-01,{AT.format(2)},"])
    how = {task["task"]: task["how"] for task in little.cli_json("plan")}["build gold.odd"]
    assert how.startswith("whole: ") and reason in how
    assert little.run().status == "succeeded"


def test_a_model_said_otherwise_is_rebuilt_and_one_with_new_blanks_is_not(little: Shop) -> None:
    path = little.folder / "sql/gold/summary.sql"
    path.write_text(path.read_text().replace("SELECT", "-- a remark\nSELECT\n   ").replace("description: x", "description: y"))
    assert little.run().status == "nothing_to_do"
    write_model(little, "gold/summary", "SELECT status, count(*) + 0 AS orders FROM gold.fact_orders GROUP BY status")
    assert status(little.run())["gold.summary"] == "unchanged"  # rebuilt, and found the same


def test_change_sets_are_dropped_when_all_have_seen_them(little: Shop) -> None:
    drop(little, "orders", 2, [f"3,b,paid,2024-02-01,{AT.format(2)},"])
    little.run(Order(select=("+silver.orders",)))
    assert little.warehouse("SELECT table_name, removed, added FROM ledger.changes") == [("silver.orders", 0, 1)]
    drop(little, "orders", 3, [f"3,b,paid,2024-02-02,{AT.format(3)},"])
    little.run()
    assert little.warehouse("SELECT count(*) FROM ledger.changes WHERE table_name = 'silver.orders'") == [(0,)]
    assert little.ask("SELECT order_id, strftime(day, '%d') FROM fact_orders WHERE order_id = '3'") == [("3", "02")]


# ---------------------------------------------------------------- parts
def numbered(shop: Shop, first: int, last: int, file: int, status: str = "open") -> None:
    drop(shop, "orders", file, [f"{number:03d},a,{status},2024-02-01,{AT.format(file % 9)}," for number in range(first, last)])


def parts(shop: Shop, version: str) -> dict[str, int]:
    """file -> inode of a table published in parts."""
    folder = shop.home / "published" / version / "fact_orders.parquet"
    return {path.name: path.stat().st_ino for path in sorted(folder.iterdir())}


@pytest.fixture
def in_parts(tmp_path: Path) -> Shop:
    shop = little_shop(tmp_path / "shop")
    shop.environ |= {"GOLDFEED_PARTS_ABOVE": "100", "GOLDFEED_PART_ROWS": "40"}
    numbered(shop, 0, 200, 1)
    shop.run()
    return shop


def test_a_large_table_is_published_in_parts_and_only_those_with_changes_are_written_anew(in_parts: Shop) -> None:
    before = parts(in_parts, "000001")
    assert len(before) == 5
    numbered(in_parts, 0, 1, 2, "paid")
    in_parts.run()
    after = parts(in_parts, "000002")
    assert len(after) == 5 and len(set(before.values()) & set(after.values())) == 4
    assert in_parts.ask("SELECT status, count(*) FROM fact_orders GROUP BY 1 ORDER BY 1") == [("open", 199), ("paid", 1)]
    assert [row[0] for row in in_parts.ask("SELECT order_id FROM fact_orders")] == [f"{number:03d}" for number in range(200)]


def test_rows_that_come_behind_a_full_part_begin_one_of_their_own_and_those_after_them_fill_it(in_parts: Shop) -> None:
    before = parts(in_parts, "000001")
    numbered(in_parts, 200, 210, 2)
    in_parts.run()
    after = parts(in_parts, "000002")
    assert len(after) == 6 and set(before.values()) < set(after.values())
    numbered(in_parts, 205, 215, 3, "paid")
    in_parts.run()
    last = parts(in_parts, "000003")
    assert len(last) == 6 and set(before.values()) < set(last.values())
    assert in_parts.ask("SELECT order_id, status FROM fact_orders WHERE order_id > '199'") == [
        (f"{number:03d}", "paid" if number >= 205 else "open") for number in range(200, 215)
    ]


def test_a_row_that_comes_late_is_put_into_its_part_beside_those_that_come_behind(in_parts: Shop) -> None:
    drop(in_parts, "orders", 2, [f"198x,a,open,2024-02-01,{AT.format(2)},", f"777,a,open,2024-02-01,{AT.format(2)},"])
    in_parts.run()
    assert len(parts(in_parts, "000002")) == 6
    assert [row[0] for row in in_parts.ask("SELECT order_id FROM fact_orders")][-4:] == ["198", "198x", "199", "777"]


def test_rows_without_a_key_stay_in_the_last_part_whatever_comes_behind(in_parts: Shop) -> None:
    in_parts.environ |= {"GOLDFEED_PARTS_ABOVE": "30000", "GOLDFEED_PART_ROWS": "20000"}
    many = "SELECT CASE WHEN n.i > 3 THEN n.i END AS number FROM generate_series(1, 60000) AS n (i)"  # smaller ones are written anew
    in_parts.write("sql/gold/loose.sql", f"/* ---\ndescription: x\nkey: [number]\n--- */\n{many} UNION ALL SELECT 60001 + CAST(order_id AS BIGINT) FROM gold.fact_orders\n")
    in_parts.run()
    numbered(in_parts, 200, 210, 2)
    assert in_parts.run().status == "succeeded"
    assert in_parts.ask("SELECT count(*), count(number), count(DISTINCT number) FROM loose") == [(60210, 60207, 60207)]


def test_a_part_that_has_grown_is_cut_and_the_manifest_names_every_file(in_parts: Shop) -> None:
    numbered(in_parts, 200, 400, 2)
    in_parts.run()
    assert len(parts(in_parts, "000002")) >= 8
    table = in_parts.cli_json("query", "SELECT count(*) AS n, count(DISTINCT order_id) AS d FROM fact_orders")
    assert table == [{"n": 400, "d": 400}]
    manifest = json.loads((in_parts.home / "published/000002/manifest.json").read_text())["tables"]["fact_orders"]
    assert sum(file["rows"] for file in manifest["files"]) == manifest["rows"] == 400
    assert manifest["files"][0]["from"] is None and manifest["files"][-1]["to"] is None


def test_k9_a_flipped_bit_in_one_part_has_the_version_refused(in_parts: Shop) -> None:
    numbered(in_parts, 0, 1, 2, "paid")
    in_parts.run()
    folder = in_parts.home / "published/000002/fact_orders.parquet"
    path = sorted(folder.iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert in_parts.ask("SELECT count(*) FROM fact_orders WHERE status = 'paid'") == [(0,)]  # the version before


def moved(tmp_path: Path) -> Shop:
    """Six customers in parts of their own, all of whom move: their first versions end, in place."""
    shop = little_shop(tmp_path / "shop")
    drop(shop, "customers", 1, [f"{who},Rome,{AT.format(hour)}," for hour, who in enumerate("fcaebd")])
    shop.run()
    drop(shop, "customers", 2, [f"{who},Oslo,{AT.format(9)}," for who in "fcaebd"])
    return shop


def test_versions_that_end_are_published_with_their_new_columns_and_the_old_ones(tmp_path: Path) -> None:
    shop = moved(tmp_path)
    assert shop.cli("run", env={"GOLDFEED_CRASH_AT": "publish.after_columns"}).returncode < 0, "no part kept its columns"
    shop.run()
    rows = "SELECT * FROM {}dim_customers ORDER BY customer_key"
    assert shop.ask(rows.format("")) == shop.warehouse(rows.format("gold."))
    assert shop.ask("SELECT city, is_current, count(*) FROM dim_customers WHERE customer_key > 0 GROUP BY ALL ORDER BY ALL") == [("Oslo", True, 6), ("Rome", False, 6)]


def test_parts_of_a_version_made_before_they_were_cut_by_surrogate_keys_are_cut_anew(tmp_path: Path) -> None:
    shop = moved(tmp_path)
    path = shop.home / "published/000001/manifest.json"
    manifest = json.loads(path.read_text())
    for table in manifest["tables"].values():
        del table["cut_by"]
    path.write_text(json.dumps({**manifest, "sha256": manifest_hash({**manifest})}))
    drop(shop, "orders", 2, [f"1,a,open,2024-02-01,{AT.format(9)},"])
    shop.run()
    rows = "SELECT * FROM {}dim_customers ORDER BY customer_key"
    assert shop.ask(rows.format("")) == shop.warehouse(rows.format("gold."))
    tables = json.loads((shop.home / "published/000002/manifest.json").read_text())["tables"]
    assert tables["dim_customers"]["cut_by"] == "customer_key"


def test_a_bit_that_flipped_in_a_part_is_not_carried_over_into_the_next_version(tmp_path: Path) -> None:
    shop = moved(tmp_path)
    for path in sorted((shop.home / "published/000001/dim_customers.parquet").iterdir())[1:]:  # in the first none moves
        at, size = duckdb.sql(f"SELECT data_page_offset, total_compressed_size FROM parquet_metadata('{path}') WHERE path_in_schema = 'city'").fetchall()[0]
        data = bytearray(path.read_bytes())
        data[at + size - 6] ^= 1
        path.write_bytes(bytes(data))
    shop.run()
    rows = "SELECT * FROM {}dim_customers ORDER BY customer_key"
    assert shop.ask(rows.format("")) == shop.warehouse(rows.format("gold."))


def test_a_lost_warehouse_takes_its_keys_from_a_table_in_parts(tmp_path: Path) -> None:
    shop = little_shop(tmp_path / "shop")
    drop(shop, "customers", 1, [f"{who},Rome,{AT.format(hour)}," for hour, who in enumerate("fcaebd")])
    shop.run()
    before = shop.ask("SELECT customer_id, customer_key FROM dim_customers ORDER BY ALL")
    assert (shop.home / "published/000001/dim_customers.parquet").is_dir()
    for path in shop.home.glob("warehouse.duckdb*"):
        path.unlink()
    drop(shop, "customers", 0, [f"z,Rome,{AT.format(0)},"])
    shop.run(Order(from_archive=True))
    shop.run()
    after = shop.ask("SELECT customer_id, customer_key FROM dim_customers WHERE customer_id IS DISTINCT FROM 'z' ORDER BY ALL")
    assert after == before
