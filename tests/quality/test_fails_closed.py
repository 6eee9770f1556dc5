"""A contract never passes without having been checked: each way in which that could happen fails."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PermanentError, ProjectError
from pipeline.project.contract import read_contract
from pipeline.steps.check import demanded
from pipeline.steps.soda import Outcome, Verified
from tests.conftest import ROOT, Shop
from tests.quality.little import GOOD, agree, attributes, contract, results

NEGATIVE = f"- name: amount\n  checks: [{{invalid: {{valid_min: 0, {attributes()}}}}}]"
REFUSED = {
    "no checks": ("dataset: goldfeed/silver/orders\n", "row_count"),
    "no row_count": (contract("silver.orders", counted=False, checks=f"- schema: {{{attributes()}}}"), "row_count"),
    "another table": (contract("silver.others"), "the dataset must be goldfeed/silver/orders"),
    "an unknown check": (contract("silver.orders", f"- row_cuont: {{{attributes()}}}"), "there is no check 'row_cuont'"),
    "an unknown key": (contract("silver.orders", f"- schema: {{colums: [a], {attributes()}}}"), "there is no key 'colums'"),
    "a misspelt threshold": (
        contract("silver.orders", f"- row_count: {{qualifier: x, threshold: {{must_be_mroe_than: 5}}, {attributes()}}}"),
        "there is no key 'must_be_mroe_than'",
    ),
    "no dimension": (contract("silver.orders", "- schema: {attributes: {severity: error}}"), "dimension must be one of"),
    "no severity": (contract("silver.orders", "- schema: {attributes: {dimension: accuracy}}"), "severity must be one of"),
    "two of one name": (
        contract(
            "silver.orders",
            f"- failed_rows: {{expression: a, {attributes()}}}\n- failed_rows: {{expression: b, {attributes()}}}",
        ),
        "two checks are named failed_rows",
    ),
    "not YAML": ("dataset: [", "this is not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_contract_that_soda_would_pass_over_is_refused_with_its_line(tmp_path: Path, what: str) -> None:
    text, sentence = REFUSED[what]
    path = tmp_path / "orders.contract.yml"
    path.write_text(text)
    with pytest.raises(ProjectError, match=sentence) as caught:
        read_contract("silver.orders", path)
    assert f"{path}:" in str(caught.value)


def test_a_refused_contract_fails_the_task_and_the_table_stays_as_it_was(shop: Shop) -> None:
    shop.drop_orders("orders1.csv", *GOOD)
    assert shop.run().status == "succeeded"
    shop.write("sql/silver/orders.contract.yml", REFUSED["no checks"][0])
    shop.drop_orders("orders2.csv", "3,cy,paid,5.00,2024-01-03")
    result = shop.run()
    assert result.status == "failed" and "row_count" in str(result.tasks[1].error)
    assert shop.warehouse("SELECT count(*) FROM silver.orders") == [(2,)]


BROKEN = {
    "a column that is not there": ("", f"- name: amuont\n  checks: [{{missing: {{{attributes()}}}}}]"),
    "a query that cannot run": (f"- failed_rows: {{query: SELECT x FROM nowhere, {attributes()}}}", ""),
    "an expression that cannot run": (f"- failed_rows: {{expression: CAST(status AS INTEGER) > 0, {attributes()}}}", ""),
    "a variable nobody declared": (f"- failed_rows: {{query: 'SELECT 1 WHERE ${{var.nobody}}', {attributes()}}}", ""),
    "an unknown function": ("", f"- name: amount\n  checks: [{{aggregate: {{function: mdian, threshold: {{must_be: 1}}, {attributes()}}}}}]"),
    "no threshold where one is needed": ("", f"- name: amount\n  checks: [{{aggregate: {{function: max, {attributes()}}}}}]"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_check_that_cannot_be_evaluated_fails_the_task(shop: Shop, what: str) -> None:
    agree(shop, "silver.orders", *BROKEN[what])
    shop.drop_orders("orders1.csv", *GOOD)
    result = shop.run()
    assert result.status == "failed" and result.version is None
    assert "contract" in str(next(task.error for task in result.tasks if task.status == "failed"))
    assert shop.warehouse("SELECT count(*) FROM ledger.audits") == [(0,)]


@pytest.mark.parametrize("what", ["a column that is not there", "a query that cannot run"])
def test_a_muted_logger_does_not_make_a_check_pass(shop: Shop, what: str) -> None:
    agree(shop, "silver.orders", *BROKEN[what])
    shop.drop_orders("orders1.csv", *GOOD)
    muted = logging.getLogger("soda")
    muted.disabled = True
    try:
        assert shop.run().status == "failed"
    finally:
        muted.disabled = False


@pytest.mark.parametrize("outcome", ["NOT_EVALUATED", "EXCLUDED", None, "PASSED"])
def test_an_outcome_that_is_missing_or_without_a_value_is_no_pass(tmp_path: Path, outcome: str | None) -> None:
    path = tmp_path / "orders.contract.yml"
    path.write_text(contract("silver.orders"))
    held = read_contract("silver.orders", path)
    found = Verified([Outcome("checks.row_count", outcome, None, "", None)] if outcome else [])
    with pytest.raises(PermanentError, match=r"row_count of silver\.orders was not evaluated"):
        demanded(held, held.checks, found)


def test_an_empty_table_does_not_pass_for_a_good_one(shop: Shop) -> None:
    agree(shop, "silver.orders", f"- row_count: {{qualifier: some, {attributes('completeness')}}}", NEGATIVE)
    shop.drop_orders("orders1.csv")
    assert shop.run().status == "failed"
    assert results(shop, "silver.orders")["amount.invalid"]["outcome"] == "passed"


def test_a_key_that_is_blank_among_the_changed_rows_has_all_rows_looked_at(shop: Shop) -> None:
    shop.environ["GOLDFEED_CHECK_WHOLE_BELOW"] = "1"
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: By customer.\nkind: incremental\nkey: [customer_id]\n--- */\n"
               "SELECT customer_id, sum(amount) AS amount FROM silver.orders GROUP BY customer_id")  # fmt: skip
    agree(shop, "gold.totals", "", NEGATIVE)
    shop.drop_orders("orders1.csv", *(f"{number},c{number},paid,10.00,2024-01-01" for number in range(20)))
    shop.run()
    shop.drop_orders("orders2.csv", "30,,paid,-5.00,2024-01-02")
    assert shop.run().status == "withheld"
    assert results(shop, "gold.totals")["amount.invalid"]["rows_looked_at"] == "all"


WATCHED = """
import socket, sys
tried = []
def hear(event, words):
    if event == "socket.getaddrinfo" or event in ("socket.connect", "socket.sendto") and words[0].family != socket.AF_UNIX:
        tried.append((event, words[1:]))
sys.addaudithook(hear)
sys.argv = ["goldfeed", *sys.argv[1:]]
from pipeline.cli import main
try:
    main()
finally:
    import time
    time.sleep(0.5)
    loaded = [name for name in sys.modules if name in ("soda_core.telemetry", "soda_core.common.soda_cloud", "requests", "opentelemetry")]
    print("TRIED", tried, "LOADED", loaded, file=sys.stderr)
"""


def without_a_network() -> list[str]:
    """What starts a process with no network at all, not even a route; nothing where that is not allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and not subprocess.run([*words, "true"], capture_output=True).returncode
    return words if allowed else []


@pytest.mark.parametrize("said", ["true", pytest.param("", marks=pytest.mark.slow)])
def test_soda_never_leaves_the_machine_whatever_the_environment_says(shop: Shop, said: str) -> None:
    agree(shop, "silver.orders", "", NEGATIVE)
    shop.drop_orders("orders1.csv", *GOOD)
    environ = {**os.environ, **shop.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("SODA_CORE_TELEMETRY_ENABLED", None)
    if said:
        environ["SODA_CORE_TELEMETRY_ENABLED"] = said
    words = [*without_a_network(), sys.executable, "-c", WATCHED, "--project", str(shop.folder), "--home", str(shop.home), "run", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, env=environ, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "TRIED [] LOADED []" in done.stderr
    assert results(shop, "silver.orders")["amount.invalid"]["outcome"] == "passed"
