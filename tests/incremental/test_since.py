"""What spares a day the history: ranges read from their first change on, tables rebuilt whole but written where they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.project.since import span_of
from tests.conftest import Shop, tiny
from tests.incremental.little import drop, little_shop
from tests.incremental.test_deletes_and_parts import AT, parts

ends = st.one_of(st.none(), st.integers(0, 6))
rows = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2, None]), ends, ends), max_size=4)


@settings(max_examples=60, deadline=None)
@given(came=rows, went=rows, low=st.sampled_from([">=", ">"]), high=st.sampled_from(["<", "<=", None]))
def test_before_the_first_difference_every_value_is_matched_as_it_was(
    came: list[tuple[object, ...]], went: list[tuple[object, ...]], low: str, high: str | None
) -> None:
    on = f'"p"."k" = "x"."k" AND "x"."v" {low} "p"."low"' + (f' AND "x"."v" {high} "p"."high"' if high else "")
    span = span_of(sqlglot.parse_one(on, read="duckdb"), "p", ["said"], "came", "went")
    assert span is not None and span.owner == "x"
    with duckdb.connect() as base:
        base.execute("CREATE TABLE x AS SELECT k, v FROM (VALUES ('a'), ('b')) AS t(k), range(-1, 9) AS r(v)")
        for name, held in (("came", came), ("went", went)):
            base.execute(f"CREATE TEMP TABLE {name} (k VARCHAR, said INTEGER, low INTEGER, high INTEGER)")
            if held:
                base.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", held)
        base.execute(span.statement)
        first = base.execute("SELECT getvariable(?)", [span.name]).fetchall()[0][0]
        sides = [f"SELECT x.k, x.v, p.said FROM {name} p JOIN x ON {on}" for name in ("came", "went")]
        differ = base.execute(f"({sides[0]} EXCEPT ALL {sides[1]}) UNION ALL ({sides[1]} EXCEPT ALL {sides[0]})").fetchall()
    assert all(first is not None and value >= first for _, value, _ in differ)


def test_a_condition_that_says_more_than_one_range_gives_no_first_difference() -> None:
    for on in ("p.k = x.k AND x.v < p.high", "x.v >= p.low AND x.w < p.high", "x.v >= p.low AND p.city = 'Rome'", "x.v + y.v >= p.low"):
        assert span_of(sqlglot.parse_one(on, read="duckdb"), "p", [], "came", "went") is None


def test_of_a_full_table_only_the_rows_that_differ_are_written_and_published(tmp_path: Path) -> None:
    shop = little_shop(tmp_path / "shop")
    shop.environ |= {"GOLDFEED_PARTS_ABOVE": "50000", "GOLDFEED_PART_ROWS": "20000"}
    shop.write(
        "sql/gold/fact_orders.sql",  # here a table of kind full, larger than what is simply written anew
        "/* ---\ndescription: x\nkey: [order_id]\n--- */\nSELECT r.i AS order_id, coalesce(o.status, 'none') AS status "
        "FROM (SELECT unnest(range(60000)) AS i) AS r LEFT JOIN silver.orders AS o ON o.order_id = CAST(r.i AS VARCHAR)\n",
    )
    for name in ("days", "products", "months", "shares", "summary"):
        (shop.folder / f"sql/gold/{name}.sql").unlink()
    drop(shop, "orders", 1, [f"7,a,open,2024-02-01,{AT.format(1)},"])
    shop.run()
    before = parts(shop, "000001")
    drop(shop, "orders", 2, [f"7,a,paid,2024-02-01,{AT.format(2)},", f"8,a,open,2024-02-01,{AT.format(2)},"])
    shop.run()
    after = parts(shop, "000002")
    assert len(before) == len(after) == 3 and len(set(before.values()) & set(after.values())) == 2
    assert shop.ask("SELECT order_id, status FROM fact_orders WHERE status <> 'none' ORDER BY 1") == [(7, "paid"), (8, "open")]
    assert shop.ask("SELECT count(*), count(DISTINCT order_id) FROM fact_orders") == [(60000, 60000)]


ALIASES = ("r", "t", "w", "f", "a")  # what SQL of ours calls tables, and people may call columns


def lettered(shop: Shop, rows: int, mark: str) -> None:
    shop.drop(f"letters_{mark}.csv", "r,t,w,f,a,said\n" + "".join(f"{row},t,w,f,a,{mark}\n" for row in range(rows)))


def rebuilt(shop: Shop) -> tuple[Any, str]:
    """(what gold.letters holds, what became of it in the run)"""
    result = shop.run()
    (status,) = (task.status for task in result.tasks if task.table == "gold.letters")
    return shop.ask("SELECT * FROM letters ORDER BY r"), status


@pytest.mark.parametrize("rows", [3, 150])  # few are written and then compared, more are compared first
def test_a_rebuilt_table_is_changed_by_its_rows_alone_whatever_its_columns_are_called(tmp_path: Path, rows: int) -> None:
    shop = tiny(tmp_path / "shop")
    columns = "".join(f"\n  {name}: {{type: {'integer' if name == 'r' else 'varchar'}}}" for name in (*ALIASES, "said"))
    shop.write("sql/bronze/letters.yml", f"files: 'letters*.csv'\nkey: [r]\ncolumns:{columns}\n")
    model = "/* ---\ndescription: x\nrules:\n  not_one: r <> 1\n--- */\nSELECT r, {said} AS said, t, w, f, a FROM bronze.letters\n"
    newest = "WHERE _file_id = (SELECT max(_file_id) FROM bronze.letters)"
    shop.write("sql/gold/letters.sql", (model + newest).format(said="said"))
    lettered(shop, rows, "old")
    assert rebuilt(shop)[1] == "succeeded"
    lettered(shop, rows, "new")
    held, status = rebuilt(shop)
    assert status == "succeeded" and {row[1] for row in held} == {"new"} and len(held) == rows - 1
    shop.drop("letters_again.csv", "r,t,w,f,a,said\n" + "".join(f"{row},t,w,f,a,new\n" for row in reversed(range(rows))))
    assert rebuilt(shop) == (held, "unchanged")
    (raw,) = {row[3] for row in shop.quarantine()}
    assert json.loads(raw).items() >= {"r": 1, "said": "new", **{name: name for name in ALIASES[1:]}}.items()


def test_a_small_table_with_the_same_rows_and_another_type_is_changed(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,ann,paid,10.00,2024-01-01")
    model = "/* ---\ndescription: x\nkey: [status]\n--- */\nSELECT status, CAST(count(*) AS {kind}) AS orders FROM silver.orders GROUP BY status\n"
    for kind in ("INTEGER", "BIGINT"):
        shop.write("sql/gold/totals.sql", model.format(kind=kind))
        assert next(task.status for task in shop.run().tasks if task.table == "gold.totals") == "succeeded"
        assert shop.ask("SELECT typeof(orders) FROM totals") == [(kind,)]
