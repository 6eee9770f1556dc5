"""F3: what fails stays out. Silver stops what is below it, gold withholds the publication, a person can overrule."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.log import logger
from pipeline.notify import message_of
from pipeline.service import Service
from pipeline.steps.gate import in_the_way, withheld
from pipeline.warehouse.audits import last_audits
from tests.conftest import Shop
from tests.quality.little import GOOD, agree, attributes

MODEST = f"- name: amount\n  checks: [{{invalid: {{valid_max: 50, {attributes()}}}}}]"
TOO_MUCH = "3,cy,paid,500.00,2024-01-03"
MENDED = "3,cy,paid,5.00,2024-01-04"


def published(shop: Shop) -> dict[str, bytes]:
    """Every byte that readers can see, and where `current` points."""
    folder = shop.home / "published"
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "state.json"]  # that one tells of it
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return {**found, "current": str(Path(folder / "current").readlink()).encode()}


@pytest.fixture
def agreed(shop: Shop) -> Shop:
    """A shop whose gold may not show more than 50 for a status, with one good version published."""
    agree(shop, "gold.totals", "", MODEST)
    shop.drop_orders("orders1.csv", *GOOD)
    assert shop.run().version == "000001"
    return shop


def test_f3_an_error_in_gold_leaves_what_readers_see_as_it_was_byte_for_byte(agreed: Shop) -> None:
    before = published(agreed)
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    result = agreed.run()
    assert (result.status, result.version) == ("withheld", None)
    assert published(agreed) == before
    assert agreed.warehouse("SELECT amount FROM gold.totals WHERE status = 'paid'")[0][0] == 510  # built, to be looked at


def test_the_reason_is_in_the_result_the_ledger_and_the_message(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    result = agreed.run()
    reason = "gold.totals.amount.invalid (accuracy): found 1, must be 0"
    publish = next(task for task in result.tasks if task.task == "publish gold")
    assert publish.status == "withheld" and reason in str(publish.error)
    status, error = agreed.warehouse("SELECT status, error FROM ledger.runs WHERE run_id = 2")[0]
    assert status == "withheld" and reason in error
    message = message_of("withheld", result, "000001")
    assert "withheld" in message.title and reason in message.body and "Readers see version 000001" in message.body
    assert any(reason in note for note in result.notes)


def test_the_command_ends_with_exit_code_1_and_says_why(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    done = agreed.cli("run", "--quiet")
    assert done.returncode == 1
    assert "publish gold withheld: gold.totals.amount.invalid" in done.stdout.replace("\n", " ")


def test_with_nothing_new_the_next_run_says_that_it_is_still_withheld(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    again = agreed.run()
    assert [(task.task, task.status) for task in again.tasks] == [("publish gold", "withheld")]
    assert again.status == "withheld"


def test_the_next_good_run_publishes(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    agreed.drop_orders("orders3.csv", MENDED)
    result = agreed.run()
    assert (result.status, result.version) == ("succeeded", "000002")
    assert agreed.ask("SELECT amount FROM totals WHERE status = 'paid'")[0][0] == 15


def test_a_mended_contract_publishes_without_a_new_file(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    agree(agreed, "gold.totals", "", MODEST.replace("50", "5000"))
    result = agreed.run()
    assert [(task.task, task.status) for task in result.tasks] == [
        ("check gold.totals", "succeeded"),
        ("publish gold", "succeeded"),
    ]


def test_an_error_in_silver_stops_what_is_below_it_with_the_cause(shop: Shop) -> None:
    agree(shop, "silver.orders", "", MODEST)
    shop.drop_orders("orders1.csv", *GOOD)
    shop.run()
    before = published(shop)
    shop.drop_orders("orders2.csv", TOO_MUCH)
    result = shop.run()
    assert {task.task: task.status for task in result.tasks} == {
        "ingest bronze.orders": "succeeded", "build silver.orders": "failed", "build gold.totals": "skipped",
        "publish gold": "skipped",
    }  # fmt: skip
    assert all("silver.orders.amount.invalid" in str(task.error) for task in result.tasks[1:])
    assert published(shop) == before
    again = shop.run()  # nothing new: what waits still waits, and the run says so
    assert again.status == "withheld" and {task.status for task in again.tasks} == {"skipped"}
    shop.drop_orders("orders3.csv", MENDED)
    assert shop.run().status == "succeeded"


def test_an_error_in_bronze_stops_what_is_below_it(shop: Shop) -> None:
    agree(shop, "bronze.orders", "", MODEST)
    shop.drop_orders("orders1.csv", *GOOD, TOO_MUCH)
    result = shop.run()
    assert [task.status for task in result.tasks] == ["failed", "skipped", "skipped", "skipped"]
    assert shop.warehouse("SELECT count(*) FROM bronze.orders") == [(3,)]


def test_a_table_that_does_not_need_the_bad_one_is_built(shop: Shop) -> None:
    shop.write("sql/gold/other.sql", "/* ---\ndescription: Of bronze.\n--- */\nSELECT count(*) AS n FROM bronze.orders")
    agree(shop, "silver.orders", "", MODEST)
    shop.drop_orders("orders1.csv", TOO_MUCH)
    result = shop.run()
    assert {task.task: task.status for task in result.tasks}["build gold.other"] == "succeeded"
    assert result.version is None


# ---------------------------------------------------------------- overruled
def test_a_person_overrules_one_failure_once_and_it_is_kept(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    done = agreed.cli("publish", "--accept", "gold.totals.amount.invalid", "--why", "a large order, called the customer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert agreed.ask("SELECT amount FROM totals WHERE status = 'paid'")[0][0] == 510
    assert agreed.warehouse("SELECT table_name, check_name, why FROM ledger.acceptances") == [
        ("gold.totals", "amount.invalid", "a large order, called the customer")
    ]
    assert agreed.cli_json("checks", "gold.totals")[0]["accepted"] == "a large order, called the customer"
    agreed.drop_orders("orders3.csv", "4,di,paid,1.00,2024-01-05")
    assert agreed.run().status == "withheld"  # once


def test_to_overrule_one_of_two_failures_is_not_enough(agreed: Shop) -> None:
    agree(agreed, "gold.totals", f"- failed_rows: {{expression: orders > 1, {attributes()}}}", MODEST)
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    done = agreed.cli("publish", "--accept", "gold.totals.amount.invalid", "--why", "known", "--json")
    assert done.returncode == 1 and "gold.totals.failed_rows" in done.stdout
    assert agreed.ask("SELECT count(*) FROM totals WHERE amount > 50") == [(0,)]


@pytest.mark.slow
def test_an_error_in_silver_can_be_overruled_and_what_waited_is_built(shop: Shop) -> None:
    agree(shop, "silver.orders", "", MODEST)
    shop.drop_orders("orders1.csv", *GOOD, TOO_MUCH)
    shop.run()
    done = shop.cli("publish", "--accept", "silver.orders.amount.invalid", "--why", "known")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.ask("SELECT amount FROM totals WHERE status = 'paid'")[0][0] == 510


@pytest.mark.parametrize("words", [["--accept", "gold.totals.nothing", "--why", "x"], ["--accept", "gold.totals.x"], ["--why", "x"]])
def test_to_overrule_what_does_not_stand_or_without_a_reason_is_a_wrong_use(agreed: Shop, words: list[str]) -> None:
    done = agreed.cli("publish", *words)
    assert done.returncode == 2 and done.stderr.startswith("error: publish")


def test_publish_takes_in_no_new_files(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", MENDED)
    done = agreed.cli("publish")
    assert done.returncode == 0 and "Nothing" in done.stdout
    assert (agreed.home / "landing" / "orders2.csv").exists()


# ---------------------------------------------------------------- asked from elsewhere
def test_the_gate_can_be_asked_without_a_run_or_the_service(agreed: Shop) -> None:
    from pipeline.clock import Clock
    from pipeline.runner import open_warehouse
    from pipeline.warehouse.audits import Audits

    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    database = open_warehouse(agreed.project(), Clock())
    try:
        audits = Audits().load(database)
        assert "gold.totals.amount.invalid" in str(withheld(audits, ["gold.totals"]))
        assert in_the_way(audits, ["bronze.orders", "silver.orders"]) is None
        assert last_audits(database)["gold.totals"].outcome == "failed"
    finally:
        database.close()


def test_checks_lists_failures_first_and_those_of_one_run(agreed: Shop) -> None:
    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    latest = agreed.cli_json("checks")
    assert [(row["check"], row["outcome"], row["run_id"]) for row in latest] == [
        ("amount.invalid", "failed", 2), ("row_count", "passed", 2)
    ]  # fmt: skip
    assert {row["outcome"] for row in agreed.cli_json("checks", "--run", "1")} == {"passed"}
    assert agreed.cli("checks", "gold.nowhere").returncode == 2


def test_the_service_tells_of_a_withheld_publication_and_of_the_recovery(agreed: Shop, tmp_path: Path) -> None:
    service = Service(agreed.project, logger())
    try:
        agreed.drop_orders("orders2.csv", TOO_MUCH)
        flow = next(iter(service.project.flows.values()))
        result = service.run(flow, "test")
        assert result is not None and result.status == "withheld"
        assert flow.name in service.notifier.failing()
        agreed.drop_orders("orders3.csv", MENDED)
        good = service.run(flow, "test")
        assert good is not None and good.status == "succeeded" and flow.name not in service.notifier.failing()
    finally:
        service.end()


def test_the_gate_stays_closed_when_old_history_is_forgotten(agreed: Shop) -> None:
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.runner import open_warehouse
    from pipeline.warehouse.history import forget_history

    agreed.drop_orders("orders2.csv", TOO_MUCH)
    agreed.run()
    assert agreed.run().status == "withheld"
    database = open_warehouse(agreed.project(), Clock())
    try:
        forget_history(database, datetime(2100, 1, 1), [])
    finally:
        database.close()
    assert agreed.run().status == "withheld"


# ---------------------------------------------------------------- deliveries
def many(first: int, count: int) -> list[str]:
    return [f"{number},ann,paid,0.01,2024-01-01" for number in range(first, first + count)]


@pytest.fixture
def used_to_it(shop: Shop) -> Shop:
    """Five deliveries of two hundred orders."""
    for day in range(5):
        shop.drop_orders(f"orders_{day}.csv", *many(day * 200, 200))
        assert shop.run().status == "succeeded"
    return shop


@pytest.mark.parametrize("rows", [0, 19])
def test_h9_an_empty_or_far_smaller_delivery_is_not_published(used_to_it: Shop, rows: int) -> None:
    before = published(used_to_it)
    used_to_it.drop_orders("orders_6.csv", *many(5000, rows))
    result = used_to_it.run()
    assert result.status == "failed" and "bronze.orders.delivery (completeness): found" in str(result.tasks[0].error)
    assert published(used_to_it) == before
    used_to_it.drop_orders("orders_7.csv", *many(6000, 150))
    assert used_to_it.run().status == "succeeded"


def test_h9_a_somewhat_smaller_delivery_is_published(used_to_it: Shop) -> None:
    used_to_it.drop_orders("orders_6.csv", *many(5000, 25))
    assert used_to_it.run().status == "succeeded"


@pytest.mark.slow
def test_h9_a_small_delivery_can_be_accepted(used_to_it: Shop) -> None:
    used_to_it.drop_orders("orders_6.csv", *many(5000, 3))
    used_to_it.run()
    done = used_to_it.cli("publish", "--accept", "bronze.orders.delivery", "--why", "a holiday")
    assert done.returncode == 0, done.stdout + done.stderr
    assert used_to_it.ask("SELECT orders FROM totals") == [(1003,)]


def test_nobody_overrules_what_is_not_there(shop: Shop) -> None:
    from pipeline.clock import Clock
    from pipeline.runner import open_warehouse
    from pipeline.warehouse.audits import accept

    database = open_warehouse(shop.project(), Clock())
    try:
        with pytest.raises(UsageError, match=r"no error of the name x stands"):
            accept(database, "x", "because", Clock().now())
    finally:
        database.close()
