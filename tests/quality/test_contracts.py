"""Contracts: every kind of check and every dimension, with data that passes and data that does not."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from pipeline.project.contract import DIMENSIONS, read_contract, soda_text
from pipeline.steps import soda
from pipeline.steps.check import demanded
from pipeline.steps.lean import Look
from tests.conftest import HEADER, ORDERS_YML, ROOT, Shop
from tests.quality.little import GOOD, agree, attributes, results

FRESH = "freshness: {column: updated_at, unit: day, threshold: {must_be_less_than: 36500}, %s}"
# name, dimension, checks of the table, checks of columns, a row that breaks it
KINDS = {
    "missing": ("completeness", "", "- name: customer_id\n  checks: [{missing: {%s}}]", "3,,paid,5.00,2024-01-03"),
    "invalid value": (
        "accuracy", "", "- name: status\n  checks: [{invalid: {valid_values: [paid, created], %s}}]", "3,cy,shipped,5.00,2024-01-03",
    ),
    "invalid format": (
        "accuracy", "", "- name: customer_id\n  checks: [{invalid: {valid_format: {name: name, regex: '^[a-z]+$'}, %s}}]",
        "3,C3,paid,5.00,2024-01-03",
    ),
    "invalid range": ("accuracy", "", "- name: amount\n  checks: [{invalid: {valid_min: 0, %s}}]", "3,cy,paid,-5.00,2024-01-03"),
    "duplicate": ("uniqueness", "", "- name: customer_id\n  checks: [{duplicate: {%s}}]", "3,ann,paid,5.00,2024-01-03"),
    "duplicate of two columns": (
        "uniqueness", "- duplicate: {columns: [customer_id, status], %s}", "", "3,ann,paid,5.00,2024-01-03",
    ),
    "failed rows by expression": (
        "accuracy", "- failed_rows: {qualifier: small, expression: amount > 100, %s}", "", "3,cy,paid,500.00,2024-01-03",
    ),
    "failed rows by query": (
        "consistency",
        "- failed_rows: {qualifier: whole, query: 'SELECT s.n FROM (SELECT sum(amount) AS n FROM silver.orders) AS s WHERE s.n > 100', %s}",
        "", "3,cy,paid,500.00,2024-01-03",
    ),
    "row count": ("completeness", "- row_count: {qualifier: two, threshold: {must_be: 2}, %s}", "", "3,cy,paid,5.00,2024-01-03"),
    "aggregate": (
        "accuracy", "", "- name: amount\n  checks: [{aggregate: {function: max, threshold: {must_be_less_than: 100}, %s}}]",
        "3,cy,paid,500.00,2024-01-03",
    ),
    "metric": (
        "consistency", "- metric: {qualifier: sum, expression: sum(amount), threshold: {must_be_less_than: 100}, %s}", "",
        "3,cy,paid,500.00,2024-01-03",
    ),
    "freshness": ("timeliness", f"- {FRESH}", "", None),
    "schema": ("consistency", "- schema: {%s}", "\n".join(f"- name: {n}" for n in HEADER.split(",")), None),
}  # fmt: skip


def _write(shop: Shop, kind: str, severity: str = "error") -> None:
    dimension, checks, columns, _ = KINDS[kind]
    words = attributes(dimension, severity)
    if kind == "schema":
        checks = checks.replace("{%s}", "{allow_extra_columns: true, %s}")
    agree(shop, "silver.orders", checks % words if checks else "", columns % words if "%s" in columns else columns)


def _the_check(shop: Shop) -> dict[str, object]:
    found = results(shop, "silver.orders")
    return next(check for name, check in found.items() if name != "row_count")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_check_passes_good_rows_and_the_ledger_says_so(shop: Shop, kind: str) -> None:
    _write(shop, kind)
    shop.drop_orders("orders1.csv", *GOOD)
    assert shop.run().status == "succeeded"
    assert (_the_check(shop)["outcome"], _the_check(shop)["dimension"]) == ("passed", KINDS[kind][0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][3]])
def test_each_kind_of_check_stops_a_bad_row_and_the_ledger_says_so(shop: Shop, kind: str) -> None:
    _write(shop, kind)
    shop.drop_orders("orders1.csv", *GOOD, str(KINDS[kind][3]))
    result = shop.run()
    assert result.status == "failed" and result.version is None
    check = _the_check(shop)
    assert (check["outcome"], check["severity"], check["dimension"]) == ("failed", "error", KINDS[kind][0])


def test_old_rows_are_not_fresh(shop: Shop) -> None:
    agree(shop, "silver.orders", "- " + (FRESH % attributes("timeliness")).replace("36500", "30"))
    shop.drop_orders("orders1.csv", *GOOD)
    assert shop.run().status == "failed"
    assert results(shop, "silver.orders")["freshness"]["outcome"] == "failed"


def test_a_column_that_is_not_as_agreed_breaks_the_schema(shop: Shop) -> None:
    columns = "- name: order_id\n- name: amount\n  data_type: varchar"
    agree(shop, "silver.orders", f"- schema: {{allow_extra_columns: true, {attributes('consistency')}}}", columns)
    shop.drop_orders("orders1.csv", *GOOD)
    done = shop.run()
    assert done.status == "failed" and any("of another type: amount" in (task.error or "") for task in done.tasks)
    assert results(shop, "silver.orders")["schema"]["outcome"] == "failed"


def test_a_warning_is_kept_and_stops_nothing(shop: Shop) -> None:
    _write(shop, "missing", "warn")
    shop.drop_orders("orders1.csv", *GOOD, "3,,paid,5.00,2024-01-03")
    assert shop.run().status == "succeeded"
    check = results(shop, "silver.orders")["customer_id.missing"]
    assert (check["outcome"], check["severity"], check["rows_failed"]) == ("failed", "warn", 1)
    assert shop.quarantine() == []


def test_the_rows_that_failed_are_shown_in_quarantine_and_stay_in_the_table(shop: Shop) -> None:
    agree(shop, "silver.orders", "", f"- name: amount\n  checks: [{{invalid: {{valid_min: 0, {attributes()}}}}}]")
    shop.drop_orders("orders1.csv", *GOOD, "3,cy,paid,-5.00,2024-01-03")
    shop.run()
    assert [(source, reason) for source, _, reason, _ in shop.quarantine()] == [("silver.orders", "contract amount.invalid")]
    assert '"order_id":"3"' in shop.quarantine()[0][3]
    assert shop.warehouse("SELECT count(*) FROM silver.orders") == [(3,)]
    shop.drop_orders("orders2.csv", "3,cy,paid,5.00,2024-01-04")
    assert shop.run().status == "succeeded"
    assert shop.quarantine() == []


@pytest.mark.parametrize("kind", ["duplicate", "duplicate of two columns", "failed rows by query", "missing"])
def test_the_rows_of_every_kind_of_check_are_found(shop: Shop, kind: str) -> None:
    _write(shop, kind)
    shop.drop_orders("orders1.csv", *GOOD, str(KINDS[kind][3]))
    shop.run()
    assert len(shop.quarantine()) == (2 if kind.startswith("duplicate") else 1)


# ---------------------------------------------------------------- only what changed
def test_the_contract_of_a_table_that_has_not_changed_is_not_run(shop: Shop) -> None:
    shop.write("sql/bronze/other.yml", ORDERS_YML.replace("orders*.csv*", "other*.csv*"))
    for table in ("silver.orders", "gold.totals"):
        agree(shop, table)
    shop.drop_orders("orders1.csv", *GOOD)
    shop.run()
    shop.drop_orders("other1.csv", *GOOD)
    shop.run()
    assert shop.warehouse("SELECT DISTINCT run_id FROM ledger.checks") == [(1,)]


NOT_NEGATIVE = f"- name: amount\n  checks: [{{invalid: {{valid_min: 0, {attributes()}}}}}, {{missing: {{{attributes()}}}}}]"


@pytest.fixture
def large(shop: Shop) -> Shop:
    """A shop whose tables all count as large, with twenty good orders."""
    shop.environ["GOLDFEED_CHECK_WHOLE_BELOW"] = "1"
    checks = f"- duplicate: {{columns: [order_id, status], {attributes('uniqueness')}}}"
    agree(shop, "silver.orders", checks, NOT_NEGATIVE)
    shop.drop_orders("orders1.csv", *(f"{number},ann,paid,10.00,2024-01-01" for number in range(20)))
    assert shop.run().status == "succeeded"
    return shop


def test_of_a_large_table_row_checks_look_at_the_changed_rows_and_the_others_at_all(large: Shop) -> None:
    large.drop_orders("orders2.csv", "21,bob,paid,5.00,2024-01-02")
    assert large.run().status == "succeeded"
    looked = {name: check["rows_looked_at"] for name, check in results(large, "silver.orders").items()}
    assert looked == {"amount.invalid": "changed", "amount.missing": "changed", "duplicate": "changed", "row_count": "all"}
    assert results(large, "silver.orders")["row_count"]["value"] == 21


def test_of_a_small_table_row_checks_look_at_all_rows(large: Shop) -> None:
    large.environ["GOLDFEED_CHECK_WHOLE_BELOW"] = "21"
    large.drop_orders("orders2.csv", "21,bob,paid,5.00,2024-01-02")
    assert large.run().status == "succeeded"
    assert {check["rows_looked_at"] for check in results(large, "silver.orders").values()} == {"all"}


def test_row_checks_of_columns_alone_are_narrowed_too(large: Shop) -> None:
    agree(large, "silver.orders", "", NOT_NEGATIVE)
    large.run()
    large.drop_orders("orders2.csv", "21,bob,paid,-5.00,2024-01-02")
    assert large.run().status == "failed"
    found = {name: (check["rows_looked_at"], check["value"]) for name, check in results(large, "silver.orders").items()}
    assert found == {"amount.invalid": ("changed", 1), "amount.missing": ("changed", 0), "row_count": ("all", 21)}


def test_a_changed_row_that_is_wrong_is_found_and_the_next_audit_looks_at_all_rows(large: Shop) -> None:
    large.drop_orders("orders2.csv", "3,bob,paid,-5.00,2024-01-02")
    assert large.run().status == "failed"
    assert results(large, "silver.orders")["amount.invalid"]["value"] == 1
    large.drop_orders("orders3.csv", "4,bob,paid,5.00,2024-01-03")
    assert large.run().status == "failed"  # row 3 has not changed, and is still wrong
    assert results(large, "silver.orders")["amount.invalid"]["rows_looked_at"] == "all"


def test_all_rows_are_checked_when_their_time_has_come_and_the_table_has_not_changed(large: Shop) -> None:
    large.drop_orders("orders2.csv", "21,bob,paid,5.00,2024-01-02")
    large.run()
    assert large.run().status == "nothing_to_do"
    large.environ["GOLDFEED_FULL_CHECK_HOURS"] = "0"
    result = large.run()
    assert [task.task for task in result.tasks] == ["check silver.orders"]
    assert results(large, "silver.orders")["amount.invalid"]["rows_looked_at"] == "all"


def test_a_contract_that_has_changed_is_checked_at_once(shop: Shop) -> None:
    agree(shop, "silver.orders")
    shop.drop_orders("orders1.csv", *GOOD)
    shop.run()
    agree(shop, "silver.orders", "", f"- name: amount\n  checks: [{{invalid: {{valid_min: 15, {attributes()}}}}}]")
    result = shop.run()
    assert [(task.task, task.status) for task in result.tasks] == [("check silver.orders", "failed")]


@pytest.mark.parametrize("small", ["1", "100000"])  # a query may compare a small table with large ones
def test_a_query_that_names_the_changed_rows_is_narrowed_to_them(shop: Shop, small: str) -> None:
    shop.environ["GOLDFEED_CHECK_WHOLE_BELOW"] = small
    query = "'SELECT order_id FROM silver.orders WHERE amount < 0 AND ${var.changed}'"
    agree(
        shop, "silver.orders", f"- failed_rows: {{qualifier: cheap, query: {query}, {attributes()}}}",
        top='variables:\n  changed: {default: "true"}\n',
    )  # fmt: skip
    shop.drop_orders("orders1.csv", *(f"{number},ann,paid,10.00,2024-01-01" for number in range(20)))
    shop.run()
    shop.drop_orders("orders2.csv", "3,bob,paid,-5.00,2024-01-02")
    assert shop.run().status == "failed"
    check = results(shop, "silver.orders")["failed_rows.cheap"]
    assert (check["rows_looked_at"], check["rows_failed"]) == ("changed", 1)


# ---------------------------------------------------------------- the shop's own
def test_every_table_of_the_shop_has_a_contract_and_together_they_cover_the_five_dimensions() -> None:
    project = Shop(ROOT).project()
    assert set(project.contracts) == set(project.graph.order)
    checks = [check for name, path in project.contracts.items() for check in read_contract(name, path).checks]
    assert {check.dimension for check in checks} == set(DIMENSIONS)


LINES = """
CREATE SCHEMA silver; CREATE SCHEMA gold;
CREATE TABLE silver.orders AS SELECT 'o' || range AS order_id FROM range(10);
CREATE TABLE silver.order_items AS
    SELECT 'o' || (range // 3) AS order_id, range % 3 AS line_number, range AS quantity, CAST(1.5 AS DECIMAL(18, 2)) AS unit_price
    FROM range(33);
CREATE TABLE gold.fact_order_items AS
    SELECT order_id, line_number, CAST(quantity * unit_price AS DECIMAL(18, 2)) AS line_amount
    FROM silver.order_items WHERE order_id <> 'o10';
CREATE TABLE silver.payments AS SELECT order_id, line_number AS payment_number, unit_price * quantity AS amount FROM silver.order_items;
CREATE TABLE gold.fact_payments AS SELECT order_id, line_number AS payment_number, line_amount AS amount FROM gold.fact_order_items;
"""
HARMS = {
    "a line that is not in gold": "DELETE FROM gold.{gold} WHERE order_id = 'o3' AND {number} = 1",
    "a line that is in gold twice": "INSERT INTO gold.{gold} SELECT * FROM gold.{gold} WHERE order_id = 'o3' AND {number} = 1",
    "a line that is not in silver": "DELETE FROM silver.{silver} WHERE order_id = 'o3' AND {number} = 1",
    "another amount": "UPDATE gold.{gold} SET {amount} = {amount} + 0.01 WHERE order_id = 'o3' AND {number} = 1",
    "no amount": "UPDATE gold.{gold} SET {amount} = NULL WHERE order_id = 'o3' AND {number} = 1",
    "an order that has come, its lines have not": "INSERT INTO silver.orders VALUES ('o10')",
    "a line whose order has not come": "INSERT INTO gold.{gold} SELECT 'o10', 0, 45",
    "nothing in gold": "DELETE FROM gold.{gold}",
}
NAMES = {
    "every_line": {"gold": "fact_order_items", "silver": "order_items", "number": "line_number", "amount": "line_amount"},
    "every_payment": {"gold": "fact_payments", "silver": "payments", "number": "payment_number", "amount": "amount"},
}


def compared(name: str, harm: str) -> str:
    """What the shop's comparison of a fact with silver says of it, after some harm."""
    table = f"gold.{NAMES[name]['gold']}"
    contract = read_contract(table, ROOT / f"sql/{table.replace('.', '/')}.contract.yml")
    wanted = tuple(check for check in contract.checks if check.path.endswith(name))
    connection = duckdb.connect()
    connection.execute(LINES + harm.format(**NAMES[name]))
    found = soda.verify(connection, soda_text(contract, wanted, None), "true", datetime(2024, 1, 1), Look(large=True))
    return demanded(contract, wanted, found)[wanted[0].path].outcome


@pytest.mark.parametrize("name", NAMES)
def test_the_shop_lets_a_line_wait_for_its_order(name: str) -> None:
    assert compared(name, "") == "PASSED"
    assert compared(name, "DELETE FROM silver.{silver}; DELETE FROM gold.{gold}") == "PASSED"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", HARMS)
def test_the_shop_notices_what_a_fact_does_not_share_with_silver(name: str, harm: str) -> None:
    assert compared(name, HARMS[harm]) == "FAILED"


def test_the_shop_notices_a_payment_of_an_order_that_nobody_knows_in_the_place_of_another() -> None:
    harm = "UPDATE gold.fact_payments SET order_id = 'nobody' WHERE order_id = 'o3' AND payment_number = 1"
    assert compared("every_payment", harm) == "FAILED"
