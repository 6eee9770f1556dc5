"""Publication: all of gold or nothing, swapped at once, verified before it is read, and back again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pytest

from pipeline.clock import Clock
from pipeline.feed.snapshot import open_snapshot
from pipeline.planner import plan
from pipeline.published import read_manifest, seen_manifest
from pipeline.runner import Order, look, open_warehouse
from tests.conftest import GOLD_TOTALS, ROOT, SILVER_ORDERS, Shop


def row(number: int, status: str = "paid", amount: str = "1", day: int = 1) -> str:
    return f"{number},c,{status},{amount},2024-01-{day:02d}"


def two_versions(shop: Shop) -> None:
    for number in (1, 2):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        assert shop.run().version == f"{number:06d}"


def sha(shop: Shop, name: str) -> str:
    return hashlib.sha256((shop.home / name).read_bytes()).hexdigest()


def test_i2_a_second_run_finds_nothing_new_says_so_and_changes_nothing(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1))
    shop.run()
    before = sha(shop, "warehouse.duckdb"), sorted(path.name for path in (shop.home / "published").iterdir())
    done = shop.cli("run")
    assert done.returncode == 0 and done.stdout.startswith("Nothing new: no file in landing/ that a source takes, no changed model")
    result = shop.cli_json("run")
    assert result["status"] == "nothing_to_do" and result["run_id"] is None and result["tasks"] == []
    assert before == (sha(shop, "warehouse.duckdb"), sorted(path.name for path in (shop.home / "published").iterdir()))


def test_a_run_that_is_not_asked_for_more_says_nothing_on_standard_error(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1))
    done = shop.cli("run", "--quiet")
    assert done.returncode == 0 and done.stderr == ""


def test_run_json_is_what_other_programs_rely_on(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1), row(2, "lost"))
    result = shop.cli_json("run")
    assert {"run_id", "flow", "status", "version", "seconds", "tasks"} <= set(result)
    keys = {"task", "layer", "table", "status", "rows_in", "rows_out", "rows_quarantined", "attempts", "seconds", "error"}
    assert all(set(task) == keys for task in result["tasks"])
    silver = next(task for task in result["tasks"] if task["table"] == "silver.orders")
    assert (silver["rows_in"], silver["rows_out"], silver["rows_quarantined"], silver["attempts"]) == (2, 1, 1, 1)
    assert result["accounting"] == {"files": 1, "lines": 3, "header": 1, "blank": 0, "bronze": 2, "quarantine": 0}


def test_query_json_has_decimals_as_strings_and_times_in_iso_8601(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1, amount="1.50"))
    shop.run()
    assert shop.cli_json("query", "SELECT amount FROM totals") == [{"amount": "1.50"}]
    assert shop.cli_json("query", "--warehouse", "SELECT updated_at FROM silver.orders") == [{"updated_at": "2024-01-01T00:00:00"}]


def test_unchanged_tables_are_hard_links_and_changed_ones_new_files(shop: Shop) -> None:
    shop.write("sql/bronze/people.yml", 'files: "people*.csv"\ncolumns:\n  name: {type: varchar}\n')
    shop.write("sql/gold/people.sql", "/* ---\ndescription: x\nkey: [name]\n--- */\nSELECT DISTINCT name FROM bronze.people\n")
    shop.drop("people.csv", "name\na\n")
    two_versions(shop)
    published = shop.home / "published"
    inode = {(version, table): (published / version / f"{table}.parquet").stat().st_ino for version in ("000001", "000002") for table in ("people", "totals")}
    assert inode["000001", "people"] == inode["000002", "people"] and inode["000001", "totals"] != inode["000002", "totals"]


def test_the_manifest_says_what_is_in_a_version_and_what_made_it(shop: Shop) -> None:
    two_versions(shop)
    manifest = json.loads((shop.home / "published/current/manifest.json").read_text())
    table = manifest["tables"]["totals"]
    assert manifest["version"] == "000002" and manifest["run_id"] == table["run_id"] == 2 and table["rows"] == 1
    assert [(column["name"], column["type"]) for column in table["columns"]] == [
        ("status", "VARCHAR"), ("orders", "BIGINT"), ("amount", "DECIMAL(38,2)"),
    ]  # fmt: skip
    assert [file["path"] for file in table["input_files"]] == ["orders_2.csv"]
    assert table["sha256"] == sha(shop, "published/000002/totals.parquet")


def test_the_manifest_that_is_remembered_is_the_one_that_was_written(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,ann,paid,10.00,2024-01-01")
    shop.run()
    published = shop.project().settings.published
    assert seen_manifest(published, "000001") == read_manifest(published, "000001")
    (published / "000001/manifest.json").write_text("{}")
    assert seen_manifest(published, "000001") == {}


def test_a_failed_gold_table_publishes_nothing_and_readers_keep_the_last_version(shop: Shop) -> None:
    two_versions(shop)
    shop.write("sql/gold/bad.sql", "/* ---\ndescription: x\n--- */\nSELECT CAST('x' AS INTEGER) AS a, status FROM silver.orders\n")
    shop.write("sql/gold/below.sql", "/* ---\ndescription: x\n--- */\nSELECT * FROM gold.bad\n")
    shop.drop_orders("orders_3.csv", row(3))
    done = shop.cli("run", "--json")
    result = {task["table"]: task for task in json.loads(done.stdout)["tasks"]}
    assert done.returncode == 1 and result["gold.bad"]["status"] == "failed" and "Could not convert" in result["gold.bad"]["error"]
    assert result["gold.below"]["status"] == "skipped" and result["gold.below"]["error"] == "gold.bad failed"
    assert result["gold.totals"]["status"] == "succeeded" and result["gold"]["status"] == "skipped"
    assert shop.ask("SELECT orders FROM totals") == [(2,)]
    (shop.folder / "sql/gold/bad.sql").unlink()
    (shop.folder / "sql/gold/below.sql").unlink()
    assert shop.run().version == "000003" and shop.ask("SELECT orders FROM totals") == [(3,)]


def test_f4_rollback_shows_readers_the_older_version_until_gold_changes_again(shop: Shop) -> None:
    two_versions(shop)
    assert "Readers now see version 000001; before it was 000002." in shop.cli("rollback").stdout
    assert shop.ask("SELECT orders FROM totals") == [(1,)] and shop.run().status == "nothing_to_do"
    assert shop.cli("rollback", "000002").returncode == 0 and shop.ask("SELECT orders FROM totals") == [(2,)]
    shop.drop_orders("orders_3.csv", row(3))
    assert shop.run().version == "000003"


@pytest.mark.parametrize(("words", "said"), [(("rollback", "9"), "there is no version 9; `goldfeed history` lists"), (("rollback",), "there is no older version to go back to")])
def test_rollback_to_nowhere_says_so(shop: Shop, words: tuple[str, ...], said: str) -> None:
    shop.drop_orders("orders.csv", row(1))
    shop.run()
    done = shop.cli(*words)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_the_last_versions_are_kept_and_a_reader_of_an_old_one_reads_on(shop: Shop) -> None:
    shop.environ["GOLDFEED_KEEP_VERSIONS"] = "2"
    two_versions(shop)
    held = open_snapshot(shop.project().settings, "000001").connection.execute("SELECT * FROM totals")
    file = open(shop.home / "published/000001/totals.parquet", "rb")
    for number in (3, 4):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        shop.run()
    assert sorted(path.name for path in (shop.home / "published").iterdir()) == ["000003", "000004", "current", "state.json"]
    assert held.fetchall() == [("paid", 1, Decimal("1.00"))] and file.read(4) == b"PAR1"


def test_k9_a_flipped_bit_is_noticed_and_the_version_before_is_served_with_a_warning(shop: Shop) -> None:
    two_versions(shop)
    path = shop.home / "published/000002/totals.parquet"
    content = bytearray(path.read_bytes())
    for place in range(4, len(content), max(1, len(content) // 25)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        snapshot = open_snapshot(shop.project().settings)
        assert snapshot.version == "000001" and "version 000002 is damaged and refused" in (snapshot.warning or "")
    (shop.home / "published/000001/totals.parquet").unlink()
    done = shop.cli("query", "SELECT 1")
    assert done.returncode == 1 and "version 000002 is damaged; type `goldfeed run` to publish again" in done.stderr


def test_f1_readers_see_whole_versions_only_and_never_wait(shop: Shop) -> None:
    two_versions(shop)
    settings, stop, seen, errors = shop.project().settings, threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            try:
                snapshot = open_snapshot(settings)
                seen.append((int(snapshot.version), snapshot.query("SELECT sum(orders) FROM totals")[1][0][0]))
                snapshot.connection.close()
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(3, 11):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        shop.run()
    stop.set()
    reader.join()
    assert errors == [] and len(seen) > 8
    assert all(version == orders for version, orders in seen) and seen == sorted(seen)


def test_k7_a_second_process_is_refused_with_a_sentence_while_query_still_works(shop: Shop) -> None:
    two_versions(shop)
    database = open_warehouse(shop.project(), Clock())
    try:
        began = time.monotonic()
        done = shop.cli("run")
        assert done.returncode == 1 and "another process holds the warehouse; wait until it ends, or stop it" in done.stderr
        assert time.monotonic() - began < 5
        assert "another process holds the warehouse" in shop.cli("query", "--warehouse", "SELECT 1").stderr
        assert shop.cli_json("query", "SELECT orders FROM totals") == [{"orders": 2}]
    finally:
        database.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')", "COPY totals TO '/tmp/stolen.csv'", "ATTACH '/tmp/x.db'", "INSTALL httpfs", "LOAD httpfs",
        "SET enable_external_access = true", "SELECT * FROM glob('/etc/*')", "SELECT * FROM read_text('/etc/passwd')", "SELECT 1; SELECT 2",
        "EXPORT DATABASE '/tmp/stolen'", "SELEC 1", "SELECT * FROM no_such_table",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", [(), ("--warehouse",)])
def test_s11_a_query_can_read_its_tables_and_nothing_else(shop: Shop, sql: str, where: tuple[str, ...], capsys: object) -> None:
    from pipeline.errors import UsageError
    from pipeline.warehouse.database import open_database

    shop.drop_orders("orders.csv", row(1))
    shop.run()
    settings = shop.project().settings
    with pytest.raises(UsageError, match=r"^query: "):
        if where:
            open_database(settings, read_only=True).query(sql)
        else:
            open_snapshot(settings).query(sql)


@pytest.mark.parametrize("sql", ["DELETE FROM ledger.runs", "DROP TABLE gold.totals", "CREATE TABLE gold.x AS SELECT 1", "UPDATE silver.orders SET amount = 0", "CREATE TABLE memory.main.x AS SELECT 1", "COMMIT"])
def test_the_warehouse_is_read_only_for_queries(shop: Shop, sql: str) -> None:
    shop.drop_orders("orders.csv", row(1))
    shop.run()
    done = shop.cli("query", "--warehouse", sql)
    assert done.returncode == 2 and done.stderr.startswith("error: query: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("query", "SELECT 1"), 1, "nothing is published yet; type `goldfeed run`"),
        (("history",), 1, "there is no warehouse yet; type `goldfeed run`"),
        (("quarantine", "list"), 1, "there is no warehouse yet"),
        (("demo", "/proc/nowhere"), 2, "the folder cannot be written"),
        (("demo", "x", "--orders", "0"), 2, "A shop needs at least 1 order, not 0"),
        (("run", "--select", "gold.nothing"), 2, "--select gold.nothing means no table"),
        (("run", "--watch", "0"), 2, "--watch takes 0.1 to 86400 seconds"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_wrong_use_is_answered_with_one_sentence_and_the_right_exit_code(shop: Shop, words: tuple[str, ...], code: int, said: str) -> None:
    done = shop.cli(*words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False) and said in done.stderr


def test_quarantine_show_gives_the_raw_text_and_an_unknown_id_is_named(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1, "lost"))
    shop.run()
    assert "raw: 1,c,lost,1,2024-01-01" in shop.cli("quarantine", "show", "1").stdout
    done = shop.cli("quarantine", "show", "7")
    assert done.returncode == 2 and "there is no row 7 in quarantine; `goldfeed quarantine list` shows the ids" in done.stderr


def test_i7_rows_that_do_not_balance_fail_the_run_and_nothing_is_written(shop: Shop) -> None:
    two_versions(shop)
    database = open_warehouse(shop.project(), Clock())
    database.run("DELETE FROM bronze.orders WHERE order_id = '1'")
    database.close()
    shop.drop_orders("orders_3.csv", row(3))
    result = shop.run()
    silver = next(task for task in result.tasks if task.table == "silver.orders")
    assert result.status == "failed" and "2 rows came in, 3 were taken" in (silver.error or "")
    assert shop.ask("SELECT orders FROM totals") == [(2,)] and shop.warehouse("SELECT count(*) FROM silver.orders") == [(2,)]
    assert shop.run(Order(full_refresh=True)).status == "succeeded"


def test_the_plan_shows_what_the_run_then_does_with_reasons_and_changes_nothing(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1))
    assert not shop.home.joinpath("warehouse.duckdb").exists()
    planned = shop.cli_json("plan")
    assert [task["task"] for task in planned] == ["ingest bronze.orders", "build silver.orders", "build gold.totals", "publish gold"]
    assert planned[0]["reason"].startswith("1 new file, ") and planned[0]["files"] == ["orders.csv"]
    assert not shop.home.joinpath("warehouse.duckdb").exists()
    assert [task.task for task in shop.run().tasks] == [task["task"] for task in planned]


def test_a_changed_model_is_rebuilt_with_all_below_it_and_a_comment_is_no_change(shop: Shop) -> None:
    two_versions(shop)
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("SELECT", "-- a comment\nSELECT"))
    assert shop.run().status == "nothing_to_do"
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("'shipped')", "'shipped', 'lost')"))
    database = open_warehouse(shop.project(), Clock())
    tasks = plan(shop.project().graph, look(shop.project(), database, Order(), Clock().now()).situation)
    database.close()
    assert [(task.name, task.reason) for task in tasks] == [
        ("build silver.orders", "its model has changed"), ("build gold.totals", "silver.orders is built first"),
        ("publish gold", "1 of 1 gold tables are built"),
    ]  # fmt: skip


def test_a_polars_model_that_fails_says_where_and_why(shop: Shop) -> None:
    shop.write("sql/gold/frame.py", '"""x\n---\ndescription: x\nkey: [status]\n---\n"""\n\n\ndef model(orders):\n    return orders.select("nothing")\n')
    shop.drop_orders("orders.csv", row(1))
    error = next(task.error for task in shop.run().tasks if task.table == "gold.frame") or ""
    assert "frame.py: its function failed: ColumnNotFoundError" in error and "correct it, then run again" in error


def test_a_model_may_become_a_view_and_a_table_again(shop: Shop) -> None:
    two_versions(shop)
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("key: [status]", "kind: view\nkey: [status]"))
    assert shop.run().status == "succeeded" and shop.ask("SELECT orders FROM totals") == [(2,)]
    shop.write("sql/gold/totals.sql", GOLD_TOTALS)
    assert shop.run().status == "succeeded" and shop.ask("SELECT orders FROM totals") == [(2,)]


def test_watch_stops_at_once_when_told(shop: Shop) -> None:
    shop.drop_orders("orders.csv", row(1))
    words = [sys.executable, "-m", "pipeline.cli", "--project", str(shop.folder), "--home", str(shop.home), "run", "--watch", "30"]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **shop.environ}, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while not (shop.home / "published/current").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    process.terminate()
    assert process.wait(10) == 0 and shop.ask("SELECT orders FROM totals") == [(1,)]
