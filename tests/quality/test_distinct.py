"""Large tables are looked at in our way, their keys proven to differ rather than counted: the numbers are Soda's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.project.contract import read_contract, soda_text
from pipeline.steps import check, soda
from pipeline.steps.distinct import _grow, _hashes_grow, count_distinct
from pipeline.steps.lean import Look
from tests.conftest import Shop
from tests.quality.little import GOOD, agree, attributes, results

WORDS = st.sampled_from([None, "", "a", "b", "ä", "B", "10", "9"])
NUMBERS = st.one_of(st.none(), st.integers(-2, 3), st.just(10**15))
FLOATS = st.sampled_from([None, 0.0, -0.0, 1.5, float("nan"), float("inf")])


def table_of(rows: list[tuple[Any, ...]]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA s; CREATE TABLE s.t (word VARCHAR, number BIGINT, float DOUBLE)")
    if rows:
        connection.executemany("INSERT INTO s.t VALUES (?, ?, ?)", rows)
    return connection


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(WORDS, NUMBERS, FLOATS), max_size=12),
    key=st.sampled_from([["word"], ["number"], ["float"], ["word", "number"], ["number", "word"], ["float", "word", "number"]]),
    by=st.sampled_from(["none", "key", "pieces"]),
)
def test_the_number_of_keys_is_that_of_count_distinct(
    rows: list[tuple[Any, ...]], key: list[str], by: str
) -> None:
    names = ["word", "number", "float"]
    if by != "none":
        rows = sorted(rows, key=lambda row: [str(row[names.index(name)]) for name in key])
    if by == "pieces":
        rows = rows[len(rows) // 2 :] + rows[: len(rows) // 2]
    connection = table_of(rows)
    what = key[0] if len(key) == 1 else f"row({', '.join(key)})"
    row = connection.execute(f"SELECT count(DISTINCT {what}) FROM s.t").fetchone()
    assert row is not None and count_distinct(connection, "s.t", key) == row[0]


@pytest.mark.parametrize(
    ("numbers", "proven"),
    [
        ([1, 2, 3, 4], True),
        ([1, 2, 3, 4, 5], True),
        ([7, 9], True),
        ([3, 4, 1, 2], False),
        ([1, 2, 2, 3], False),  # where the halves meet
        ([1, 1, 2, 3], False),
        ([1, 2, 3, 3], False),
        ([1, 2, 1, 2], False),  # each half grows, the whole does not
        ([1, 2, None, 3], False),
    ],
)
def test_what_grows_from_row_to_row_is_proven(numbers: list[int | None], proven: bool) -> None:
    connection = table_of([("x", number, None) for number in numbers])
    for key in (["number"], ["word", "number"]):
        assert (_grow(connection, "s.t WHERE true", key, len(numbers) // 2) == len(numbers) - 1) is proven


def test_a_row_in_the_middle_that_is_gone_proves_nothing_and_is_not_counted() -> None:
    connection = table_of([("x", number, None) for number in range(101)])
    connection.execute("DELETE FROM s.t WHERE number BETWEEN 40 AND 60")
    assert _grow(connection, "s.t WHERE true", ["number"], 50) < 79
    assert count_distinct(connection, "s.t", ["number"]) == 80
    connection.execute("UPDATE s.t SET number = 99 WHERE number = 100")
    assert count_distinct(connection, "s.t", ["number"]) == 79


@pytest.mark.parametrize("kind", ["BIGINT", "VARCHAR"])
def test_a_column_called_rowid_is_no_place(kind: str) -> None:
    connection = duckdb.connect()
    connection.execute(f"CREATE SCHEMA s; CREATE TABLE s.t AS SELECT CAST(range // 2 AS {kind}) AS rowid FROM range(10)")
    assert count_distinct(connection, "s.t", ["rowid"]) == 5


def test_hashes_in_order_prove_keys_in_any_order() -> None:
    connection = table_of([(str(number * 7919 % 5000), number, None) for number in range(5000)])
    assert _hashes_grow(connection, "s.t WHERE true", ["word"]) == 4999
    connection.execute("INSERT INTO s.t VALUES ('17', 0, NULL)")
    assert _hashes_grow(connection, "s.t WHERE true", ["word"]) == 4999
    assert count_distinct(connection, "s.t", ["word"]) == 5000


def test_keys_are_told_apart_in_the_transaction_that_writes_them() -> None:
    connection = table_of([])
    connection.execute("INSERT INTO s.t SELECT 'x', range, NULL FROM range(300_000)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO s.t SELECT 'x', 300_000 + range, NULL FROM range(300_000)")
    connection.execute("DELETE FROM s.t WHERE number = 5")
    assert count_distinct(connection, "s.t", ["word", "number"]) == 599_999
    connection.execute("INSERT INTO s.t VALUES ('x', 4, NULL)")
    assert count_distinct(connection, "s.t", ["word", "number"]) == 599_999
    connection.execute("CREATE OR REPLACE TABLE s.t AS SELECT 'x' AS word, range AS number FROM range(300_000)")
    assert _grow(connection, "s.t WHERE true", ["number"], 150_000) == 299_999
    connection.execute("INSERT INTO s.t VALUES ('x', 299_999)")
    assert count_distinct(connection, "s.t", ["number"]) == 300_000


def test_a_contract_of_a_large_table_finds_the_same_as_that_of_a_small_one(shop: Shop) -> None:
    own, values = f"- duplicate: {{missing_values: ['x'], {attributes('uniqueness')}}}", "valid_values: ['1', '2', x]"
    percent = "threshold: {metric: percent, must_be_less_than: 15}"
    agree(
        shop,
        "silver.orders",
        f"- duplicate: {{columns: [a, b], {attributes('uniqueness')}}}\n"
        f"- duplicate: {{qualifier: young, columns: [a, b], filter: a < 500, {attributes('uniqueness')}}}\n"
        f"- row_count: {{qualifier: many, threshold: {{must_be: 10000}}, {attributes('completeness')}}}\n"
        f"- row_count: {{qualifier: some, filter: a < 5, threshold: {{must_be: 11}}, {attributes('completeness')}}}\n"
        f"- failed_rows: {{qualifier: few, expression: a < 1500, {percent}, {attributes()}}}\n"
        f"- failed_rows: {{qualifier: same, expression: CAST(a AS VARCHAR) = b OR a = 1700, {attributes()}}}\n"
        f"- metric: {{qualifier: sum, expression: sum(a), threshold: {{must_be_greater_than: 5}}, {attributes()}}}",
        f"- name: a\n  checks:\n    - duplicate: {{{attributes('uniqueness')}}}\n"
        f"    - invalid: {{valid_min: 10, valid_max: 8998, {attributes()}}}\n"
        f"- name: b\n  checks:\n    {own}\n    - missing: {{{attributes()}}}\n"
        f"    - missing: {{qualifier: x, missing_values: ['x'], {attributes()}}}\n"
        f"    - invalid: {{{values}, {percent}, {attributes()}}}\n"
        f"    - invalid: {{qualifier: form, valid_format: {{name: n, regex: '^[0-4x]$'}}, filter: a > 100, {attributes()}}}",
    )
    contract = read_contract("silver.orders", shop.folder / "sql/silver/orders.contract.yml")
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA silver")
    connection.execute(
        "CREATE TABLE silver.orders AS SELECT range % 9000 AS a, CASE range % 5 WHEN 0 THEN 'x' WHEN 1 THEN NULL "
        "ELSE CAST(range % 7 AS VARCHAR) END AS b FROM range(10_000)"
    )

    def found(look: Look) -> list[soda.Outcome]:
        text = soda_text(contract, contract.checks, None)
        return soda.verify(connection, text, "true", datetime(2024, 1, 1), look).outcomes

    small, large = found(Look()), found(Look(large=True))
    told = {one.path: (one.outcome, one.value, one.rows_failed) for one in small}
    assert told == {one.path: (one.outcome, one.value, one.rows_failed) for one in large} and small == large
    assert told["columns.a.checks.duplicate"][1] == 1000 and told["columns.a.checks.invalid"][1] == 21
    assert told["columns.b.checks.missing"][1] == 2000 and len(told) == 15 and told['checks.duplicate.young'][1] == 200 and {one[0] for one in told.values()} == {'PASSED', 'FAILED'}


def test_a_key_that_is_not_there_is_not_evaluated_in_a_large_table_either(shop: Shop) -> None:
    agree(shop, "silver.orders", "", f"- name: nobody\n  checks: [{{duplicate: {{{attributes('uniqueness')}}}}}]")
    contract = read_contract("silver.orders", shop.folder / "sql/silver/orders.contract.yml")
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA silver; CREATE TABLE silver.orders AS SELECT 1 AS a")
    text = soda_text(contract, contract.checks, None)
    found = soda.verify(connection, text, "true", datetime(2024, 1, 1), Look(large=True))
    assert {one.path: one.outcome for one in found.outcomes}["columns.nobody.checks.duplicate"] == "NOT_EVALUATED"
    assert "nobody" in found.complaints[0]


def test_a_type_is_not_taken_for_another_kind_of_number(shop: Shop) -> None:
    columns = "- name: a\n  data_type: integer\n- name: b\n  data_type: decimal\n  numeric_precision: 18\n  numeric_scale: 2"
    agree(shop, "silver.orders", f"- schema: {{{attributes('consistency')}}}", columns)
    contract = read_contract("silver.orders", shop.folder / "sql/silver/orders.contract.yml")
    text = soda_text(contract, contract.checks, None)
    for first, second, outcome in (
        ("INTEGER", "DECIMAL(18,2)", "PASSED"),
        ("BIGINT", "DECIMAL(18,2)", "FAILED"),
        ("DECIMAL(18,2)", "DECIMAL(18,2)", "FAILED"),
        ("INTEGER", "DECIMAL(18,3)", "FAILED"),
    ):
        connection = duckdb.connect()
        connection.execute(f"CREATE SCHEMA silver; CREATE TABLE silver.orders (a {first}, b {second})")
        found = soda.verify(connection, text, "true", datetime(2024, 1, 1), Look()).outcomes
        assert {one.path: one.outcome for one in found}["checks.schema"] == outcome, (first, second)


def test_a_view_without_places_is_looked_at_all_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LARGE", -1)
    shop.write("sql/silver/orders.sql", "/* ---\ndescription: Orders\nkind: view\n--- */\nSELECT order_id, customer_id FROM bronze.orders")
    (shop.folder / "sql/gold/totals.sql").unlink()
    agree(shop, "silver.orders", "", f"- name: customer_id\n  checks: [{{duplicate: {{{attributes('uniqueness')}}}}}]")
    shop.drop_orders("orders1.csv", *GOOD)
    assert shop.run().status == "succeeded"
    shop.drop_orders("orders2.csv", "3,ann,paid,5.00,2024-01-03")
    assert shop.run().status == "failed"
    assert results(shop, "silver.orders")["customer_id.duplicate"]["outcome"] == "failed"


@pytest.mark.parametrize("condition", [None, "a < 200"])
def test_a_large_table_of_which_some_rows_are_looked_at_is_counted_among_them(shop: Shop, condition: str | None) -> None:
    checks = f"- duplicate: {{{attributes('uniqueness')}}}\n    - invalid: {{valid_max: 150, {attributes()}}}"
    agree(shop, "silver.orders", "", f"- name: a\n  checks:\n    {checks}", top="filter: a > 100\n")
    contract = read_contract("silver.orders", shop.folder / "sql/silver/orders.contract.yml")
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA silver; CREATE TABLE silver.orders AS SELECT range % 250 AS a FROM range(500)")
    text = soda_text(contract, contract.checks, condition)
    found = soda.verify(connection, text, "true", datetime(2024, 1, 1), Look(large=True)).outcomes
    most = 199 if condition else 249
    assert {one.path: one.value for one in found} == {
        "checks.row_count": 2 * (most - 100), "columns.a.checks.duplicate": most - 100, "columns.a.checks.invalid": 2 * (most - 150),
    }  # fmt: skip
