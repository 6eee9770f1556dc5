"""backfill, diff and doctor, as a person types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import WarehouseBusy
from pipeline.runner import Order
from pipeline.steps.again import Period, date_of
from pipeline.warehouse.database import open_database
from tests.conftest import ORDERS_YML, ROOT, Shop
from tests.incremental.little import content, drop, little_shop

JANUARY = Period(date(2024, 1, 1), date(2024, 1, 31))
HEADER = "order_id,customer_id,status,amount,updated_at\n"


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("year=2024/month=1/day=5/orders.csv", date(2024, 1, 5)),
        ("year=2024/month=01/day=05/orders_20231231.csv", date(2024, 1, 5)),
        ("drop/orders_2024-02-29_v2.csv", date(2024, 2, 29)),
        ("orders_20240131.csv.gz", date(2024, 1, 31)),
        ("orders_20241399.csv", None),
        ("orders_12345678901.csv", None),
    ],
)
def test_a_file_is_of_the_day_its_folders_or_its_name_say(path: str, day: date | None) -> None:
    assert date_of(path) == day


def two_months(shop: Shop) -> None:
    """January has a status nobody knows and an amount that is none; so has February."""
    shop.drop("year=2024/month=01/day=10/orders_a.csv", HEADER + "1,c,paid,1.00,2024-01-10\n2,c,odd,2.00,2024-01-10\n3,c,paid,x,2024-01-10\n")
    shop.drop("year=2024/month=02/day=10/orders_b.csv", HEADER + "4,c,paid,4.00,2024-02-10\n5,c,paid,y,2024-02-10\n1,c,shipped,1.50,2024-02-10\n")
    shop.run()


def now_blank_amounts_are_taken(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML.replace('amount:      {type: "decimal(18,2)"}', 'amount:      {type: "decimal(18,2)", on_error: "null"}'))


def test_i6_a_backfill_reads_its_days_again_and_no_others(shop: Shop) -> None:
    two_months(shop)
    assert shop.ask("SELECT * FROM totals ORDER BY 1") == [("paid", 1, 4), ("shipped", 1, 1.5)]
    now_blank_amounts_are_taken(shop)
    assert shop.run().status == "nothing_to_do"
    done = shop.cli("backfill", "--from", "2024-01-01", "--to", "2024-01-31")
    assert done.returncode == 0, done.stderr
    assert shop.warehouse("SELECT order_id, amount FROM silver.orders ORDER BY 1") == [("1", 1.5), ("3", None), ("4", 4)]
    assert [row[2] for row in shop.quarantine()] == ["amount is not a decimal(18,2)", "rule known_status"]
    assert shop.ask("SELECT * FROM totals ORDER BY 1") == [("paid", 2, 4), ("shipped", 1, 1.5)]
    assert shop.warehouse("SELECT rows_in, kept, quarantined FROM ledger.tables WHERE table_name = 'bronze.orders'") == [(6, 5, 1)]


def test_i6_a_backfill_of_all_days_equals_a_fresh_build(shop: Shop, tmp_path: Path) -> None:
    two_months(shop)
    now_blank_amounts_are_taken(shop)
    shop.run(Order(again=Period(date(2024, 1, 1), date(2024, 12, 31))))
    fresh = Shop(shop.folder, tmp_path / "fresh")
    two_months(fresh)
    for sql in ("SELECT * EXCLUDE (_loaded_at) FROM bronze.orders ORDER BY ALL", "SELECT * FROM silver.orders ORDER BY ALL", "SELECT * FROM gold.totals ORDER BY ALL"):
        assert shop.warehouse(sql) == fresh.warehouse(sql)
    assert sorted(shop.quarantine()) == sorted(fresh.quarantine())


def test_a_backfill_that_finds_the_same_rows_publishes_nothing_new(shop: Shop) -> None:
    two_months(shop)
    result = shop.run(Order(again=JANUARY))
    assert {task.status for task in result.tasks if task.task.startswith("build")} <= {"unchanged"}
    assert shop.ask("SELECT count(*) FROM totals") == [(2,)] and len(list((shop.home / "published").glob("0*"))) == 1


def test_a_selected_table_is_rebuilt_by_a_backfill(shop: Shop) -> None:
    two_months(shop)
    result = shop.run(Order(select=("gold.totals",), again=JANUARY))
    assert [(task.task, task.status) for task in result.tasks if task.task != "publish gold"] == [
        ("ingest bronze.orders", "succeeded"), ("build silver.orders", "unchanged"), ("build gold.totals", "unchanged"),
    ]


@pytest.mark.parametrize("point", ["ingest.before_commit", "ingest.after_commit", "build.before_commit", "publish.before_swap"])
def test_i6_a_backfill_that_was_cut_off_is_finished_by_the_next_run(shop: Shop, tmp_path: Path, point: str) -> None:
    two_months(shop)
    now_blank_amounts_are_taken(shop)
    days = ("--from", "2024-01-01", "--to", "2024-01-31")
    assert shop.cli("backfill", *days, env={"GOLDFEED_CRASH_AT": point}).returncode == -signal.SIGKILL
    shop.cli("run")
    if point == "ingest.before_commit":  # nothing of it was done yet
        shop.cli("backfill", *days, check=True)
    assert shop.ask("SELECT * FROM totals ORDER BY 1") == [("paid", 2, 4), ("shipped", 1, 1.5)]


def test_a_backfill_waits_for_the_run_that_holds_the_warehouse(shop: Shop) -> None:
    two_months(shop)
    code = f"import duckdb; c = duckdb.connect({str(shop.home / 'warehouse.duckdb')!r}); print('held', flush=True); input()"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdin is not None and holder.stdout is not None and holder.stdout.readline() == "held\n"
        days = ("backfill", "--from", "2024-01-01", "--to", "2024-01-31")
        refused = shop.cli(*days, "--wait", "0")
        assert refused.returncode == 1 and "another process holds the warehouse" in refused.stderr
        with shop.begin(*days) as waiting:
            assert waiting.stderr is not None and "this one waits for it" in waiting.stderr.readline()
            holder.stdin.write("\n")
            holder.stdin.flush()
            assert waiting.wait(60) == 0


def test_a_run_in_the_middle_of_a_backfill_is_refused_and_both_end_right(shop: Shop) -> None:
    two_months(shop)
    now_blank_amounts_are_taken(shop)
    shop.drop("year=2024/month=02/day=11/orders_c.csv", HEADER + "9,c,paid,9.00,2024-02-11\n")
    ended: list[subprocess.CompletedProcess[str]] = []
    one = threading.Thread(target=lambda: ended.append(shop.cli("backfill", "--from", "2024-01-01", "--to", "2024-01-31")))
    one.start()
    time.sleep(0.5)
    other = shop.cli("run")
    one.join()
    assert ended[0].returncode == 0, ended[0].stderr
    assert other.returncode == 0 or "another process holds the warehouse" in other.stderr
    shop.cli("run", check=True)
    assert shop.ask("SELECT * FROM totals ORDER BY 1") == [("paid", 3, 13), ("shipped", 1, 1.5)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "yesterday", "--to", "2024-01-31"), "backfill: --from yesterday is no day; write it as 2024-01-31."),
        (("--from", "2024-02-01", "--to", "2024-01-31"), "backfill: --from 2024-02-01 is after --to 2024-01-31; turn them round."),
        (("--from", "2024-01-01", "--to", "2024-01-31", "--select", "nope"), "--select nope means no table; see `goldfeed plan`."),
        (("--from", "2024-01-01", "--to", "2024-01-31", "--wait", "-1"), "backfill: --wait takes 0 to 86400 seconds."),
    ],
)
def test_a_wrong_backfill_says_what_to_type(shop: Shop, words: tuple[str, ...], message: str) -> None:
    done = shop.cli("backfill", *words)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_a_backfill_of_days_without_files_does_nothing(shop: Shop) -> None:
    two_months(shop)
    done = shop.cli("backfill", "--from", "2020-01-01", "--to", "2020-01-31")
    assert done.returncode == 0 and "Nothing" in done.stdout


def test_a_file_that_archive_has_lost_stops_the_backfill_before_it_begins(shop: Shop) -> None:
    two_months(shop)
    for path in (shop.home / "archive").iterdir():
        path.unlink()
    done = shop.cli("backfill", "--from", "2024-01-01", "--to", "2024-01-31")
    assert done.returncode == 1 and "archive/ has lost this file, so it cannot be read again; restore" in done.stderr
    assert shop.warehouse("SELECT count(*) FROM silver.orders") == [(2,)]


# ---------------------------------------------------------------- diff
def test_diff_counts_keys_and_shows_how_far_the_sums_have_drifted(shop: Shop) -> None:
    shop.write("sql/gold/days.sql", "/* ---\ndescription: x\nkey: [day]\n--- */\nSELECT CAST(updated_at AS DATE) AS day, sum(amount) AS amount FROM silver.orders GROUP BY 1\n")
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,created,2.00,2024-01-02")
    shop.run()
    shop.drop_orders("orders_2.csv", "2,c,shipped,2.50,2024-01-03")
    shop.run()
    found = {table["table"]: table for table in shop.cli_json("diff")["tables"]}
    assert {name: (t["added"], t["removed"], t["changed"]) for name, t in found.items()} == {"totals": (1, 1, 0), "days": (1, 1, 0)}
    assert [(d["day"], d["before"], d["after"]) for d in found["days"]["drift"]] == [
        (None, "3.00", "3.50"), ("2024-01-03", None, "2.50"), ("2024-01-02", "2.00", None),
    ]
    shown = shop.cli("diff", "000001", "000002").stdout
    assert "version 000001 -> 000002" in shown and "0.50" in shown
    assert {t["status"] for t in shop.cli_json("diff", "000002", "000002")["tables"]} == {"same"}


def test_diff_without_an_older_version_says_so(shop: Shop) -> None:
    assert "nothing is published yet" in shop.cli("diff").stderr
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    shop.run()
    assert "there is no version older than 000001 to compare with" in shop.cli("diff").stderr
    assert "there is no version 000009" in shop.cli("diff", "000009").stderr


# ---------------------------------------------------------------- doctor
def grown(shop: Shop) -> None:
    """A warehouse with free blocks in it."""
    for number in range(3):
        rows = [f"{key},{'customer' * 9}{key},paid,{number}.00,2024-01-0{number + 1}" for key in range(60_000)]
        shop.drop_orders(f"orders_{number}.csv", *rows)
        shop.run()
    shop.run(Order(full_refresh=True))


def test_doctor_compacts_the_warehouse_and_loses_nothing(shop: Shop) -> None:
    grown(shop)
    sql = "SELECT count(*), sum(hash(o)) FROM silver.orders o"
    before, size = shop.warehouse(sql), (shop.home / "warehouse.duckdb").stat().st_size
    facts = shop.cli_json("doctor", "--compact")
    assert facts["warehouse"] == "good" and facts["damaged_versions"] == {}
    assert facts["compacted"]["bytes_after"] == (shop.home / "warehouse.duckdb").stat().st_size < size
    assert shop.warehouse(sql) == before and shop.run().status == "nothing_to_do"
    assert not list(shop.home.glob("*.compact*"))


@pytest.mark.parametrize("point", ["compact.after_copy", "compact.before_rename", "compact.after_rename"])
def test_k1_a_compaction_killed_anywhere_leaves_a_whole_warehouse(shop: Shop, point: str) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,1.00,2024-01-01")
    shop.run()
    before = shop.warehouse("SELECT * FROM silver.orders")
    assert shop.cli("doctor", "--compact", env={"GOLDFEED_CRASH_AT": point}).returncode == -signal.SIGKILL
    assert shop.run().status == "nothing_to_do"
    assert shop.warehouse("SELECT * FROM silver.orders") == before and not list(shop.home.glob("*.compact*"))


def test_a_run_compacts_a_file_that_is_mostly_free(shop: Shop) -> None:
    shop.environ |= {"GOLDFEED_COMPACT_ABOVE": "1%", "GOLDFEED_COMPACT_FROM": "1MB"}
    grown(shop)
    shop.drop_orders("orders_9.csv", "1,c,paid,1.00,2024-02-01")
    size = (shop.home / "warehouse.duckdb").stat().st_size
    shop.cli("run", check=True)
    assert (shop.home / "warehouse.duckdb").stat().st_size < size
    assert shop.warehouse("SELECT count(*) FROM silver.orders") == [(60_000,)]


def test_doctor_names_what_is_damaged(shop: Shop) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,1.00,2024-01-01")
    shop.run()
    path = shop.home / "published/000001/totals.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = shop.cli("doctor")
    assert done.returncode == 1 and "damaged versions: 000001" in done.stdout
    (shop.home / "warehouse.duckdb").write_bytes(b"x" * 5000)
    done = shop.cli("doctor", "--json")
    assert done.returncode == 1 and "the warehouse file cannot be opened" in json.loads(done.stdout)["warehouse"]


def test_backfills_in_any_place_change_nothing_when_nothing_has_changed(tmp_path: Path) -> None:
    shop = little_shop(tmp_path / "shop")
    drop(shop, "orders", 1, ["1,a,open,2024-01-30,2024-01-31 01:00:00,", "2,b,odd,2024-01-30,2024-01-31 01:00:00,"])
    drop(shop, "items", 1, ["1,1,p,1.00,2024-01-31 01:00:00,", "1,2,p,x,2024-01-31 01:00:00,"])
    shop.run()
    before = content(shop)
    shop.run(Order(again=Period(date(2000, 1, 1), date(2100, 1, 1))))
    assert content(shop) == before


def test_a_warehouse_that_is_open_in_the_same_process_is_busy_not_damaged(shop: Shop) -> None:
    opened = closing(open_database(shop.project().settings))
    with opened, pytest.raises(WarehouseBusy, match="this process has the warehouse open already"):
        open_database(shop.project().settings)
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01")
    assert shop.run().status == "succeeded"


def test_a_warehouse_in_larger_groups_of_rows_goes_on_as_it_is(shop: Shop) -> None:
    with duckdb.connect(str(shop.home / "warehouse.duckdb")) as older:
        older.execute("CREATE SCHEMA silver; CREATE TABLE silver.older AS SELECT range AS n FROM range(200000)")
    with closing(open_database(shop.project().settings)) as database:
        database.run("INSERT INTO silver.older SELECT range FROM range(200000)")
        database.checkpoint()
    assert shop.warehouse("SELECT count(*), sum(n) FROM silver.older") == [(400_000, 2 * 199_999 * 100_000)]


def test_blocks_of_tables_are_let_go_of_unless_memory_is_full_of_them(shop: Shop) -> None:
    held, limit = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag = 'BASE_TABLE'", "SELECT current_setting('memory_limit')"
    given = shop.project().settings
    with closing(open_database(given)) as database:
        database.run("CREATE TABLE many AS SELECT hash(range) AS n FROM range(500000)")
        database.checkpoint()
        first, before = int(database.value(held)), database.value(limit)
        database.let_go("6MB")
        assert int(database.value(held)) == first > 3_000_000
        database.let_go(given.memory_limit)
        assert int(database.value(held)) < first // 4
        assert database.value(limit) == before
        assert database.value("SELECT count(*) FROM many") == 500_000
