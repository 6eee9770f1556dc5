"""`goldfeed test`: rows given, rows expected, on the real steps and no data of anybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.project.modeltest import find_tests
from pipeline.steps.proof import Proof, prove
from tests.conftest import ROOT, Shop

ORDERS_TEST = """
tests:
  the latest wins:
    steps:
      - given:
          bronze.orders: |
            order_id, status,  amount, updated_at
            1,        PAID,    1.50,   2024-01-02
            2,        created,       , 2024-01-01
        expect:
          - {order_id: 1, status: paid, amount: 1.50}
          - {order_id: 2, status: created, amount: null}
      - given:
          bronze.orders:
            - {order_id: 1, status: created, updated_at: 2024-01-01}
            - {order_id: 3, status: lost, updated_at: 2024-01-01}
        expect:
          - {order_id: 2, status: created, amount: null}
          - {order_id: 1, status: paid, amount: 1.50}
        set_aside: {rule known_status: 1}
"""


def proofs(shop: Shop) -> list[Proof]:
    project = shop.project()
    return [prove(project, test) for tests in find_tests(project.folder / "sql", project.graph).values() for test in tests]


def test_given_rows_go_through_the_real_steps_one_drop_after_the_other(shop: Shop) -> None:
    shop.write("sql/silver/orders.test.yml", ORDERS_TEST)
    assert [(proof.table, proof.name, proof.status, proof.error) for proof in proofs(shop)] == [("silver.orders", "the latest wins", "passed", None)]
    assert not (shop.home / "warehouse.duckdb").exists(), "a test leaves no table behind"


def test_a_failing_test_shows_the_rows_that_differ_side_by_side_and_ends_with_1(shop: Shop) -> None:
    shop.write("sql/silver/orders.test.yml", ORDERS_TEST.replace("{order_id: 2, status: created, amount: null}\n      -", "{order_id: 2, status: paid, amount: null}\n      -"))
    done = shop.cli("test", "silver.orders")
    assert done.returncode == 1 and "FAILED silver.orders: the latest wins" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if "│ 2" in line]
    assert [line[1] for line in lines] == ["-", "+"] and "after step 1" in done.stdout and "1 failed" in done.stdout
    assert shop.cli_json("plan") == []


def test_rows_set_aside_otherwise_than_expected_are_told_in_words(shop: Shop) -> None:
    shop.write("sql/silver/orders.test.yml", ORDERS_TEST.replace("known_status: 1", "known_status: 2"))
    (proof,) = proofs(shop)
    assert proof.differences[0].words == "set aside: 2 by 'rule known_status' expected, 1 by 'rule known_status' found"


def test_a_given_row_takes_the_place_of_that_with_its_key_and_the_tested_table_follows(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: x\nkind: incremental\nkey: [status]\n--- */\nSELECT status, count(*) AS orders FROM silver.orders GROUP BY status\n")
    shop.write(
        "sql/gold/totals.test.yml",
        """
        tests:
          an order that is paid is created no more:
            steps:
              - given: {silver.orders: [{order_id: 1, status: created}, {order_id: 2, status: created}]}
                expect: [{status: created, orders: 2}]
              - given: {silver.orders: [{order_id: 1, status: paid}]}
                expect: [{status: created, orders: 1}, {status: paid, orders: 1}]
        """,
    )
    assert [proof.status for proof in proofs(shop)] == ["passed"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tests:\n  a:\n    given: {gold.totals: []}\n    expect: []\n", "'a' gives rows of gold.totals, which silver.orders is not made of; it is made of bronze.orders"),
        ("tests:\n  a:\n    given: {bronze.orders: [{nme: 1}]}\n    expect: []\n", "row 1: there is no column 'nme'"),
        ("tests:\n  a:\n    given: {bronze.orders: [{amount: much}]}\n    expect: []\n", "Could not convert string"),
        ("tests:\n  a:\n    given: {}\n    expect: [{status: 1}, {amount: 1}]\n", "expects row 2 with other columns than row 1"),
        ("tests:\n  a:\n    given: {}\n", "a step needs `expect` or `set_aside`"),
        ("tests:\n  a:\n    expct: []\n", "did you mean 'expect'?"),
        ("tests: [\n", "this is not YAML"),
    ],
)
def test_a_mistake_in_a_test_is_one_sentence_with_its_line(shop: Shop, text: str, says: str) -> None:
    path = shop.write("sql/silver/orders.test.yml", text)
    done = shop.cli("test")
    assert done.returncode == 1 and says in done.stdout + done.stderr and f"{path}:" in done.stdout + done.stderr


def test_a_table_without_tests_is_said_to_have_none(shop: Shop) -> None:
    done = shop.cli("test", "gold.totals")
    assert done.returncode == 2 and "has no tests" in done.stderr
    shop.write("sql/silver/nothing.test.yml", "tests: {}\n")
    assert "there is no model silver.nothing to test" in shop.cli("test").stderr


def test_all_models_of_the_shop_pass_their_tests(real_shop: Callable[[Path], Shop]) -> None:
    results = proofs(real_shop(ROOT))
    assert {proof.table for proof in results} == set(real_shop(ROOT).project().graph.models), "each model has a test"
    assert [(proof.table, proof.name, proof.differences, proof.error) for proof in results if proof.status != "passed"] == []
