"""Large tables are written for the next version while others are still built: nobody sees them before, nor if there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from pipeline.clock import Clock
from pipeline.errors import TransientError
from pipeline.runner import execute, open_warehouse
from pipeline.situation import Order
from pipeline.steps import draft, publish
from pipeline.warehouse.connections import another_of
from pipeline.warehouse.database import Database
from tests.conftest import Shop
from tests.incremental.little import drop, little_shop
from tests.incremental.test_deletes_and_parts import AT

FIRST = [f"{n},c,open,2024-01-0{n},{AT.format(1)}," for n in range(1, 7)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with a first version, whose tables of more than two rows are large."""
    made = little_shop(tmp_path / "shop")
    drop(made, "orders", 1, FIRST)
    assert made.run().version == "000001"
    drop(made, "orders", 2, [f"7,d,paid,2024-01-09,{AT.format(2)},"])
    return made


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that are written on connections of their own, in order."""
    return heard(monkeypatch, lambda table: None)


def heard(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> list[str]:
    seen, really = list[str](), draft.write_table

    def write(run: Any, model: Any, *rest: Any, **more: Any) -> Any:
        seen.append(model.name)
        before(model.name)
        return really(run, model, *rest, **more)

    monkeypatch.setattr(draft, "write_table", write)
    return seen


def published(shop: Shop) -> list[str]:
    return sorted(path.name for path in (shop.home / "published").iterdir() if path.is_dir() and path.name != "current")


def test_a_large_table_is_written_once_and_as_if_it_had_been_written_at_the_end(shop: Shop, written: list[str]) -> None:
    assert shop.run().version == "000002"
    assert "gold.fact_orders" in written and len(written) == len(set(written))
    assert shop.ask("SELECT * FROM fact_orders ORDER BY 1") == shop.warehouse("SELECT * FROM gold.fact_orders ORDER BY 1")
    entry = shop.project().settings.published / "000002/manifest.json"
    assert '"last_batch": 2' in entry.read_text() and published(shop) == ["000001", "000002"]


def test_what_was_written_early_is_gone_when_another_task_fails(shop: Shop, written: list[str]) -> None:
    shop.write("sql/gold/summary.sql", "/* ---\ndescription: x\n--- */\nSELECT CAST(order_id || 'x' AS INTEGER) AS n FROM gold.fact_orders\n")
    assert shop.run().status == "failed"
    assert "gold.fact_orders" in written and published(shop) == ["000001"]
    assert shop.ask("SELECT count(*) FROM fact_orders") == [(6,)]
    shop.write("sql/gold/summary.sql", "/* ---\ndescription: x\n--- */\nSELECT count(*) AS n FROM gold.fact_orders\n")
    assert shop.run().version == "000002" and shop.ask("SELECT count(*) FROM fact_orders") == [(7,)]


def test_what_was_written_early_is_gone_when_the_version_is_withheld(shop: Shop, written: list[str]) -> None:
    shop.write(
        "sql/gold/days.contract.yml",
        "dataset: goldfeed/gold/days\nchecks:\n  - row_count: {threshold: {must_be_less_than: 7}, "
        "attributes: {dimension: completeness, severity: error}}\n",
    )
    assert shop.run().status == "withheld"
    assert "gold.fact_orders" in written and published(shop) == ["000001"]


def test_a_table_that_could_not_be_written_early_is_written_at_the_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = ["the disk is full for a moment"]

    def once(table: str) -> None:
        if table == "gold.fact_orders" and failures:
            raise TransientError(failures.pop(), where=table, do="try again")

    written = heard(monkeypatch, once)
    result = shop.run()
    assert result.version == "000002" and written.count("gold.fact_orders") == 2
    assert {task.attempts for task in result.tasks if task.layer == "gold"} == {1}
    assert shop.ask("SELECT count(*) FROM fact_orders") == [(7,)]


def test_where_no_folder_can_be_made_the_publication_fails_and_the_tables_are_built(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Any) -> Any:
        raise TransientError("the disk is full", where="published", do="free some of it")

    for module in (draft, publish):
        monkeypatch.setattr(module, "begin", refuse)
    result = shop.run()
    assert {task.task: task.status for task in result.tasks}["publish gold"] == "failed"
    assert shop.warehouse("SELECT count(*) FROM gold.fact_orders") == [(7,)] and published(shop) == ["000001"]


def test_a_checkpoint_that_the_engine_refuses_while_tables_are_written_is_made_after_them(
    shop: Shop, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, really = list[bool](), Database.checkpoint

    def checkpoint(self: Database) -> bool:
        other = another_of(self.connection)
        if not made:
            other.execute("BEGIN; CREATE TABLE ledger.under_way (n INTEGER)")
        made.append(really(self))
        other.close()
        return made[-1]

    monkeypatch.setattr(Database, "checkpoint", checkpoint)
    assert shop.run().version == "000002" and made == [False, True]
    assert len(written) == len(set(written))


def test_who_reads_the_warehouse_for_long_holds_up_no_publication(shop: Shop) -> None:
    project, clock = shop.project(), Clock()
    database = open_warehouse(project, clock)
    reader = database.another()
    reader.connection.execute("BEGIN")
    assert reader.value("SELECT count(*) FROM silver.orders") == 6
    done = execute(project, database, Order(), clock=clock)
    assert (done.status, done.version) == ("succeeded", "000002") and {task.attempts for task in done.tasks} == {1}
    assert reader.value("SELECT count(*) FROM silver.orders") == 6 and shop.ask("SELECT count(*) FROM fact_orders") == [(7,)]
    assert not database.checkpoint()
    reader.connection.execute("COMMIT")
    assert database.checkpoint()
    database.close()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_interrupt_reaches_the_connections_made_from_others(shop: Shop, steps: int) -> None:
    database = open_warehouse(shop.project(), Clock())
    working = database
    for _ in range(steps):
        working = working.another(bare=True)
    ends, waited = [], Event()

    def work() -> None:
        try:
            working.run("SELECT count(*) FROM range(100000) a(i) CROSS JOIN range(1000000) b(j) WHERE (i + j) % 7 = 3")
        except TransientError as error:
            ends.append(error)

    thread = Thread(target=work)
    thread.start()
    for _ in range(600):  # the statement may not have begun
        database.interrupt()
        if not thread.is_alive():
            break
        waited.wait(0.05)
    thread.join(1)
    database.close()
    assert len(ends) == 1 and not thread.is_alive()
