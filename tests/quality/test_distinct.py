"""Keys of large tables are proven to differ rather than counted: the numbers are those of COUNT(DISTINCT)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.project.contract import read_contract, soda_text
from pipeline.steps import soda
from pipeline.steps.distinct import _hashes_differ, _in_order, count_distinct
from pipeline.steps.lean import Look
from tests.conftest import Shop
from tests.quality.little import agree, attributes

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
    ordered=st.booleans(),
)
def test_the_number_of_keys_is_that_of_count_distinct(
    rows: list[tuple[Any, ...]], key: list[str], by: str, ordered: bool
) -> None:
    names = ["word", "number", "float"]
    if by != "none":
        rows = sorted(rows, key=lambda row: [str(row[names.index(name)]) for name in key])
    if by == "pieces":
        rows = rows[len(rows) // 2 :] + rows[: len(rows) // 2]
    connection = table_of(rows)
    what = key[0] if len(key) == 1 else f"row({', '.join(key)})"
    row = connection.execute(f"SELECT count(DISTINCT {what}) FROM s.t").fetchone()
    assert row is not None and count_distinct(connection, "s.t", key, ordered=ordered) == row[0]


@pytest.mark.parametrize(
    ("numbers", "proven"),
    [
        ([1, 2, 3, 4], True),
        ([3, 4, 1, 2], True),
        ([1, 2, 2, 3], False),
        ([1, 4, 2, 3], False),
        ([3, 4, 1, 3], False),
        ([], True),
        ([7], True),
        (list(range(1100, 0, -1)), False),  # too many pieces
    ],
)
def test_what_lies_in_order_in_pieces_that_do_not_overlap_is_proven(numbers: list[int], proven: bool) -> None:
    connection = table_of([("x", number, None) for number in numbers])
    for key in (["number"], ["word", "number"]):
        assert connection.execute(_in_order("s.t", key)).fetchone() == (proven,)


def test_sorted_hashes_prove_keys_in_any_order() -> None:
    connection = table_of([(str(number * 7919 % 5000), number, None) for number in range(5000)])
    assert connection.execute(_hashes_differ("s.t", ["word"])).fetchone() == (True,)
    connection.execute("INSERT INTO s.t VALUES ('17', 0, NULL)")
    assert connection.execute(_hashes_differ("s.t", ["word"])).fetchone() == (False,)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_contract_of_a_large_table_finds_the_same_as_that_of_a_small_one(shop: Shop, ordered: bool) -> None:
    own = f"- duplicate: {{missing_values: ['x'], {attributes('uniqueness')}}}"
    agree(
        shop,
        "silver.orders",
        f"- duplicate: {{columns: [a, b], {attributes('uniqueness')}}}",
        f"- name: a\n  checks:\n    - duplicate: {{{attributes('uniqueness')}}}\n"
        f"- name: b\n  checks:\n    {own}\n    - missing: {{{attributes()}}}",
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

    small, large = found(Look()), found(Look(large=True, ordered=ordered))
    assert small == large
    assert {one.path: one.value for one in small}["columns.a.checks.duplicate"] == 1000


def test_a_key_that_is_not_there_is_not_evaluated_in_a_large_table_either(shop: Shop) -> None:
    agree(shop, "silver.orders", "", f"- name: nobody\n  checks: [{{duplicate: {{{attributes('uniqueness')}}}}}]")
    contract = read_contract("silver.orders", shop.folder / "sql/silver/orders.contract.yml")
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA silver; CREATE TABLE silver.orders AS SELECT 1 AS a")
    text = soda_text(contract, contract.checks, None)
    found = soda.verify(connection, text, "true", datetime(2024, 1, 1), Look(large=True, ordered=True))
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
