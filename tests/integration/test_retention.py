"""Retention: what is old and no longer needed goes; a rebuild gives the same tables as before."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipeline.clock import Clock
from pipeline.errors import ProjectError
from pipeline.failpoints import NAMES
from pipeline.runner import Order, open_warehouse
from pipeline.steps.again import Period
from pipeline.steps.context import Run
from pipeline.steps.retain import Removed, retain
from tests.conftest import ORDERS_YML, SILVER_ORDERS, Shop
from tests.integration.test_service import Hands, by_hand, silence

__all__ = ["silence"]

NOW = datetime(2024, 3, 1, 12)
KEEP = "name: tiny\nretention: {bronze: 10d, quarantine: 10d, archive: 10d, ledger: 10d}\n"
DELETES = ORDERS_YML + "operation: {column: op, delete: [D]}\n"
HISTORY = "/* ---\ndescription: x\nkind: append\n--- */\nSELECT order_id, status FROM bronze.orders\n"


def at(day: int) -> Clock:
    """The clock on a day of January 2024, and on."""
    time = datetime(2024, 1, 1, 3) + timedelta(days=day - 1)
    return Clock(now=lambda: time)


def let_go(shop: Shop, now: datetime = NOW, *, dry: bool = False) -> dict[str, int]:
    """What went of each table."""
    return {f"{row.layer} {row.table}": row.removed for row in details(shop, now, dry=dry)}


def details(shop: Shop, now: datetime = NOW, *, dry: bool = False) -> list[Removed]:
    clock = Clock(now=lambda: now)
    database = open_warehouse(shop.project(), clock)
    try:
        return retain(Run(0, now, shop.project(), database, clock), dry=dry)
    finally:
        database.close()


def gold(shop: Shop) -> list[tuple[Any, ...]]:
    return sorted(shop.ask("SELECT * FROM totals"))


def held(shop: Shop) -> tuple[Any, ...]:
    """Rows in bronze, rows set aside, files in archive/."""
    counts = shop.warehouse("SELECT (SELECT count(*) FROM bronze.orders), (SELECT count(*) FROM ledger.quarantine)")[0]
    return (*counts, len(list((shop.home / "archive").glob("*.zst"))))


def days_of(shop: Shop, rows: Sequence[Sequence[str]], first: int = 1) -> None:
    """One file a day, each in a run of its own."""
    for day, lines in enumerate(rows, first):
        shop.drop_orders(f"orders_{day:03d}.csv", *lines)
        assert shop.run(clock=at(day)).status == "succeeded"


def balanced(shop: Shop) -> None:
    """Promise 2, from the tables themselves."""
    for name, rows_in, kept, superseded, quarantined in shop.warehouse(
        "SELECT table_name, rows_in, kept, superseded, quarantined FROM ledger.tables WHERE table_name NOT LIKE 'gold.%'"
    ):
        assert rows_in == kept + superseded + quarantined and min(kept, superseded, quarantined) >= 0, name
        assert shop.warehouse(f"SELECT count(*) FROM {name}") == [(kept,)]


def test_superseded_rows_and_the_files_they_came_in_go_and_what_stands_stays(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    days_of(shop, [["1,c,created,1.00,2024-01-01", "2,c,paid,2.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02", "9,c,lost,1.00,2024-01-02"], ["3,c,paid,x,2024-01-03", "2,c,created,2.00,2023-12-31"]])
    days_of(shop, [["2,c,shipped,2.00,2024-02-29"]], 60)
    before = gold(shop)
    assert held(shop) == (6, 2, 4)
    would = let_go(shop, dry=True)
    assert held(shop) == (6, 2, 4), "a dry run changes nothing"
    gone = let_go(shop)
    assert gone == would and (gone["bronze bronze.orders"], gone["quarantine silver.orders"], gone["archive files"]) == (3, 1, 1)
    assert held(shop) == (3, 1, 3) and gold(shop) == before
    balanced(shop)
    assert sum(let_go(shop).values()) == 0
    days_of(shop, [["1,c,shipped,1.00,2024-03-01"]], 61)
    balanced(shop)


def rebuilt(shop: Shop) -> None:
    """By a full refresh, by a backfill of all time, and from the archive: the same tables."""
    before = gold(shop)
    assert shop.run(Order(full_refresh=True)).status in ("succeeded", "nothing_to_do") and gold(shop) == before
    balanced(shop)
    shop.run(Order(again=Period(datetime(2020, 1, 1).date(), datetime(2030, 1, 1).date())))
    assert gold(shop) == before
    balanced(shop)
    (shop.home / "warehouse.duckdb").unlink()
    shutil.rmtree(shop.home / "published")
    shop.run(Order(from_archive=True))
    assert gold(shop) == before
    balanced(shop)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
@pytest.mark.parametrize("deletes", [False, True], ids=["plain", "deletes"])
def test_law_whatever_came_a_rebuild_after_retention_is_as_before(shop: Shop, seed: int, deletes: bool) -> None:
    dice = random.Random(seed)
    shop.write("goldfeed.yml", KEEP)
    if deletes:
        shop.write("sql/bronze/orders.yml", DELETES.replace("  updated_at:", "  op: {type: varchar}\n  updated_at:"))
    for number in range(1, 9):
        lines = [
            f"{dice.randint(1, 9)},c,{dice.choice(['paid', 'created', 'lost'])},{dice.choice(['1.00', '2.50', 'x'])},2024-01-{dice.randint(1, 20):02d},{dice.choice('IUD')}"
            for _ in range(dice.randint(1, 8))
        ]
        shop.drop(f"orders_{number}.csv", "\n".join(["order_id,customer_id,status,amount,updated_at,op", *lines]) + "\n")
        shop.run(clock=at(number * 8))
        if dice.random() < 0.4:
            let_go(shop, at(number * 8 + 1).now())
            balanced(shop)
    before, rows = gold(shop), held(shop)
    let_go(shop)
    assert gold(shop) == before and held(shop) <= rows
    balanced(shop)
    rebuilt(shop)


def test_a_file_that_was_let_go_and_is_delivered_again_counts_once(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    old = ["1,c,created,1.00,2024-01-01"]
    days_of(shop, [old, ["1,c,paid,1.00,2024-01-02"]])
    before = gold(shop)
    assert let_go(shop)["archive files"] == 1
    shop.drop_orders("again.csv", *old)
    shop.drop_orders("orders_again.csv", *old)
    result = shop.run()
    assert any("duplicate" in note for note in result.notes) and gold(shop) == before
    assert held(shop) == (1, 0, 1)


def test_a_source_of_which_every_row_is_needed_is_kept_whole_and_says_why(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    shop.write("sql/silver/history.sql", HISTORY)
    days_of(shop, [["1,c,created,1.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02"]])
    row = next(row for row in details(shop) if row.layer == "bronze")
    assert (row.removed, row.note) == (0, "silver.history of kind append needs every row") and held(shop) == (2, 0, 2)


def test_a_table_that_is_behind_keeps_its_rows(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    days_of(shop, [["1,c,created,1.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02"]])
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("amount,", "amount * 2 AS amount,"))
    assert [row.note for row in details(shop) if row.layer == "bronze"] == ["silver.orders is not up to date"]
    assert shop.run().status == "succeeded" and held(shop) == (2, 0, 2)


def test_what_is_younger_than_its_window_stays_whole(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    days_of(shop, [["1,c,created,x,2024-01-01", "1,c,created,1.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02"]])
    assert sum(let_go(shop, at(10).now()).values()) == 0 and held(shop) == (2, 1, 2)


def test_the_ledger_keeps_what_is_asked_for(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP)
    days_of(shop, [["1,c,paid,1.00,2024-01-01"], ["2,c,paid,1.00,2024-01-02"], ["3,c,paid,1.00,2024-01-03"]])
    shutil.rmtree(shop.home / "published/000001")
    let_go(shop)
    assert shop.warehouse("SELECT run_id FROM ledger.runs ORDER BY 1") == [(2,), (3,)]  # their versions can be seen
    assert shop.warehouse("SELECT DISTINCT run_id FROM ledger.tasks ORDER BY 1") == [(2,), (3,)]
    assert shop.warehouse("SELECT version FROM ledger.publications") == [("000002",), ("000003",)]
    assert shop.warehouse("SELECT count(*) FROM ledger.files") == [(3,)]
    days_of(shop, [["4,c,paid,1.00,2024-01-04"]], 4)
    assert shop.warehouse("SELECT max(run_id) FROM ledger.runs") == [(4,)] and shop.ask("SELECT sum(orders) FROM totals") == [(4,)]


def test_versions_stay_by_age_as_well_as_by_count(shop: Shop) -> None:
    shop.environ["GOLDFEED_KEEP_VERSIONS"] = "1"
    shop.write("goldfeed.yml", "name: tiny\nretention: {versions: 5d}\n")
    days_of(shop, [[f"{day},c,paid,1.00,2024-01-01"] for day in range(1, 5)])
    names = [path.name for path in sorted((shop.home / "published").glob("0*"))]
    assert names == ["000001", "000002", "000003", "000004"]
    days_of(shop, [["9,c,paid,1.00,2024-01-01"]], 8)
    assert sorted(path.name for path in (shop.home / "published").glob("0*")) == ["000003", "000004", "000005"]
    assert let_go(shop) == {"published versions": 2}
    assert [path.name for path in (shop.home / "published").glob("0*")] == ["000005"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("retain.")])
def test_k1_killed_while_it_lets_go_the_next_one_ends_it(shop: Shop, name: str) -> None:
    shop.write("goldfeed.yml", KEEP.replace("10d", "1s"))
    days_of(shop, [["1,c,created,1.00,2024-01-01"], ["1,c,shipped,x,2024-01-01", "1,c,shipped,1.00,2024-01-02"], ["1,c,paid,1.00,2024-01-03"]])
    before = gold(shop)
    assert shop.cli("retain", env={"GOLDFEED_CRASH_AT": name}).returncode == -signal.SIGKILL
    assert gold(shop) == before
    assert shop.cli("retain").returncode == 0
    assert held(shop)[0] == 1 and held(shop)[2] == (2 if held(shop)[1] else 1)
    balanced(shop)


def test_the_service_lets_go_each_night_and_after_downtime_and_says_so(shop: Shop) -> None:
    shop.write("goldfeed.yml", KEEP.replace(", ledger: 10d", "").replace("{bronze", "{schedule: '30 3 * * *', bronze") + "flows:\n  tiny: {schedule: '0 2 1 1 *'}\n")
    days_of(shop, [["1,c,created,1.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02"]])
    hands = Hands()
    service = by_hand(shop, hands)
    service.begin()
    for moment, rows in ((datetime(2024, 1, 2, 3, 31), 2), (datetime(2024, 1, 2, 12), 2), (datetime(2024, 1, 13, 3, 29), 1), (datetime(2024, 1, 13, 3, 31), 1)):
        hands.time = moment
        service.turn(moment)
        assert held(shop)[0] == rows, moment
    times = shop.warehouse("SELECT strftime(done_at, '%d %H:%M') FROM ledger.retentions WHERE layer = 'all' ORDER BY 1")
    assert times == [("02 03:31",), ("13 03:29",), ("13 03:31",)]  # that of the twelfth was late
    hands.time = datetime(2024, 1, 14, 12)
    service = by_hand(shop, hands)
    service.begin()
    service.turn(hands.time)
    assert shop.warehouse("SELECT count(*) FROM ledger.retentions WHERE layer = 'all'") == [(4,)]


def test_the_command_shows_what_goes(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\n")
    assert "goldfeed.yml has no retention: everything is kept but old versions." in shop.cli("retain").stdout
    shop.write("goldfeed.yml", KEEP.replace("10d", "1s"))
    days_of(shop, [["1,c,created,1.00,2024-01-01"], ["1,c,paid,1.00,2024-01-02"]])
    facts = shop.cli_json("retain", "--dry-run")
    assert facts["dry_run"] and {"layer": "bronze", "table": "bronze.orders", "removed": 1, "note": ""} in facts["removed"]
    assert held(shop)[0] == 2
    done = shop.cli("retain")
    assert done.returncode == 0 and "went" in done.stdout and held(shop)[0] == 1


def test_a_wrong_retention_is_refused(shop: Shop) -> None:
    for text, message in (("{bronce: 1d}", "did you mean 'bronze'?"), ("{bronze: long}", "goldfeed.yml:2: retention.bronze: 'long' is no length of time"), ("{schedule: '1 2'}", "no cron expression")):
        shop.write("goldfeed.yml", f"name: tiny\nretention: {text}\n")
        with pytest.raises(ProjectError) as found:
            shop.project()
        assert message in found.value.sentence()
