"""A rebuilt table beside the one it replaces: which rows differ, whether or not a key tells them apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.steps.kinds import whole
from pipeline.steps.kinds.paired import Placed, pair
from pipeline.warehouse.changes import net_of, of_sign
from pipeline.warehouse.database import Database
from tests.conftest import Shop, tiny

KEYS = st.sampled_from(["a", "b", "c", "d", None])
ROWS = st.lists(st.tuples(KEYS, KEYS, st.sampled_from([1, 2, None])), max_size=7)
Rows = list[tuple[Any, ...]]


def base(fresh: Rows, held: Rows) -> Database:
    connection = duckdb.connect()
    for name, rows in (("fresh", fresh), ("held", held)):
        connection.execute(f"CREATE TABLE {name} (k VARCHAR, m VARCHAR, v INTEGER)")
        if rows:
            connection.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", rows)
    return Database(connection, Path("memory"))


def came_and_went(database: Database, fresh: str, held: str) -> tuple[Counter[Any], Counter[Any]]:
    database.run(f"CREATE OR REPLACE TEMP TABLE net AS {net_of(f'FROM {fresh}', f'FROM {held}')}")
    came, went = (database.rows(of_sign("temp.net", sign)) for sign in ("", "-"))
    return Counter(came), Counter(went)


def unique(rows: Rows, key: list[int]) -> bool:
    keys = [tuple(row[place] for place in key) for row in rows]
    told = [one for one in keys if None not in one]
    return len(told) == len(set(told))


@settings(max_examples=150, deadline=None)
@given(fresh=ROWS, held=ROWS, key=st.sampled_from([["k"], ["k", "m"], ["k", "m", "v"], []]), most=st.sampled_from([1, 3, 50]))
def test_rows_found_by_their_key_are_those_that_differ(fresh: Rows, held: Rows, key: list[str], most: int) -> None:
    database, columns = base(fresh, held), ["k", "m", "v"]
    sides = Placed("fresh", "rowid", len(fresh)), Placed("held", "rowid", len(held))
    found = pair(database, *sides, key, columns, most)
    differ = came_and_went(database, "fresh", "held")
    if found:
        assert came_and_went(database, sides[0].found("came", columns), sides[1].found("went", columns)) == differ
    elif key and most > max(len(fresh), len(held)):
        places = [columns.index(name) for name in key]
        assert not (unique(fresh, places) and unique(held, places)), "the key tells the rows apart, and they are few"


@pytest.mark.parametrize("key", ["1", "r.i"])  # one key for all rows, and one for each
def test_a_rebuilt_table_holds_what_its_sql_gives_whatever_its_key_is_worth(tmp_path: Path, key: str) -> None:
    shop = large(tmp_path, f"SELECT {key} AS id, coalesce(o.status, 'none') AS status FROM range({MANY}) AS r(i) "
                 "LEFT JOIN silver.orders AS o ON CAST(o.order_id AS INTEGER) = r.i AND o.status <> 'created'")
    for day, (status, others) in enumerate([("paid", []), ("shipped", [("shipped", 1)]), ("created", [])], 1):
        shop.drop_orders(f"orders_{day}.csv", f"7,ann,{status},1,2024-01-0{day}", f"8,bob,paid,1,2024-01-0{day}")
        assert shop.run().status == "succeeded"
        paid = 2 if status == "paid" else 1
        held = [("none", MANY - paid - len(others)), ("paid", paid), *others]
        assert shop.ask("SELECT status, count(*) FROM large GROUP BY 1 ORDER BY 1") == held


MANY = whole.REWRITTEN + 1


def large(folder: Path, sql: str) -> Shop:
    """The tiny shop with a table of kind full, larger than what is simply written anew."""
    shop = tiny(folder / "shop")
    shop.write("sql/gold/large.sql", f"/* ---\ndescription: x\nkey: [id]\n--- */\n{sql}\n")
    return shop


@pytest.mark.parametrize("column", ["v", "file_row_number", "RowId"])
def test_a_polars_table_is_changed_where_it_differs_whatever_its_columns_are_called(tmp_path: Path, column: str) -> None:
    shop = tiny(tmp_path / "shop")
    shop.write(
        "sql/gold/large.py",
        f'"""x\n---\ndescription: x\nkey: [id]\n---\n"""\nimport polars as pl\n\n\ndef model(orders: pl.LazyFrame) -> pl.LazyFrame:\n'
        f'    ids = pl.LazyFrame({{"id": range({MANY})}})\n'
        '    some = orders.select(pl.col("order_id").cast(pl.Int64).alias("id"), pl.col("status"))\n'
        f'    return ids.join(some, on="id", how="left").select("id", pl.col("status").fill_null("none").alias("{column}"))\n',
    )
    for day, status in enumerate(("paid", "shipped"), 1):
        shop.drop_orders(f"orders_{day}.csv", f"7,ann,{status},1,2024-01-0{day}", f"{day},bob,paid,1,2024-01-01")
        assert shop.run().status == "succeeded"
    assert shop.ask(f'SELECT id, "{column}" FROM large WHERE "{column}" <> \'none\' ORDER BY 1') == [(1, "paid"), (2, "paid"), (7, "shipped")]
    assert shop.ask("SELECT count(*), count(DISTINCT id) FROM large") == [(MANY, MANY)]
