"""Bytes that change by themselves: noticed, said in a sentence, and mended from what is kept."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SILVER_ORDERS, Shop
from tests.integration.test_metrics import one, scraped


def row(number: int) -> str:
    return f"{number},c,paid,1.00,2024-01-0{number}"


@pytest.fixture
def two_tables(shop: Shop) -> Shop:
    """Three versions; gold.fixed is the same file in all of them."""
    shop.write("sql/silver/customers.sql", SILVER_ORDERS.replace("bronze.orders", "bronze.others"))
    shop.write("sql/bronze/others.yml", 'files: "others*.csv"\nkey: [order_id]\ncolumns:\n' + "".join(f"  {name}: {{type: varchar}}\n" for name in ("order_id", "customer_id", "status", "amount", "updated_at")))
    shop.write("sql/gold/fixed.sql", "/* ---\ndescription: x\nkey: [order_id]\n--- */\nSELECT order_id, status FROM silver.customers\n")
    shop.drop("others.csv", "order_id,customer_id,status,amount,updated_at\n1,d,paid,7,2024-01-01\n")
    for number in (1, 2, 3):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        shop.run()
    return shop


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with open(path, "r+b") as file:  # in place: the links keep sharing it
        file.write(content)


def test_k9_a_damaged_file_that_all_versions_share_is_written_anew_by_the_next_run(two_tables: Shop) -> None:
    shop, published = two_tables, two_tables.home / "published"
    assert (published / "000001/fixed.parquet").stat().st_ino == (published / "000003/fixed.parquet").stat().st_ino
    flip(published / "000003/fixed.parquet")
    done = shop.cli("query", "SELECT * FROM fixed")
    assert done.returncode == 1 and "version 000003 is damaged; type `goldfeed run` to publish again" in done.stderr
    assert "published files are damaged: fixed" in " ".join(shop.cli("plan").stdout.split())
    assert shop.run().version == "000004" and shop.ask("SELECT * FROM fixed") == [("1", "paid")]
    assert shop.run().status == "nothing_to_do"


def test_k9_doctor_finds_what_nobody_has_read_and_the_next_run_mends_it(two_tables: Shop) -> None:
    shop, published = two_tables, two_tables.home / "published"
    flip(published / "000003/totals.parquet")
    assert shop.run().status == "nothing_to_do"
    done = shop.cli("doctor")
    assert done.returncode == 1 and "damaged versions: 000003 totals" in " ".join(done.stdout.replace("['", "").replace("']", "").split())
    assert shop.run().version == "000004" and shop.ask("SELECT orders FROM totals") == [(3,)]
    before, after = (published / f"{version}/fixed.parquet" for version in ("000003", "000004"))
    assert before.stat().st_ino == after.stat().st_ino  # what is sound is linked


@pytest.mark.parametrize("damage", ["not JSON", "another number"])
def test_k9_a_damaged_manifest_is_refused_too_and_mended(two_tables: Shop, damage: str) -> None:
    shop, path = two_tables, two_tables.home / "published/000003/manifest.json"
    path.write_text("{" if damage == "not JSON" else path.read_text().replace('"rows": 1', '"rows": 3', 1))
    done = shop.cli("query", "--json", "SELECT orders FROM totals")
    assert '"orders": 2' in done.stdout and "version 000003 is damaged and refused; this is version 000002" in done.stderr
    assert shop.run().version == "000004" and shop.ask("SELECT orders FROM totals") == [(3,)]


# ---------------------------------------------------------------- the warehouse and its log
def cut(log: Path) -> None:
    """What a disk that lies about fsync leaves: the log up to the middle of a record."""
    content = log.read_bytes()
    log.write_bytes(content[: len(content) // 8])


@pytest.mark.parametrize("damage", [Path.unlink, cut])
def test_k4_what_a_cut_off_log_has_lost_comes_back_from_the_archive(shop: Shop, damage: Callable[[Path], None]) -> None:
    shop.drop_orders("orders_1.csv", row(1))
    shop.run()
    shop.drop_orders("orders_2.csv", row(2), "3,c,paid,x,2024-01-01")
    assert shop.cli("run", env={"GOLDFEED_CRASH_AT": "build.after_commit"}).returncode == -signal.SIGKILL
    damage(shop.home / "warehouse.duckdb.wal")
    assert list((shop.home / "landing").iterdir()) == [] and shop.cli("status").returncode == 0  # opened and closed once
    done = shop.cli("run")
    assert done.returncode == 0
    assert "1 file of archive/ was missing from the warehouse and taken in again" in " ".join(done.stdout.split())
    assert shop.ask("SELECT orders FROM totals") == [(2,)] and len(shop.quarantine()) == 1
    assert shop.run().status == "nothing_to_do"
    assert one(scraped(shop), "lost_files_total") == 1


def test_k4_a_warehouse_older_than_what_readers_see_goes_on_from_there_and_deletes_nothing(shop: Shop) -> None:
    """As after a backup of the warehouse file was put back."""
    shop.drop_orders("orders_1.csv", row(1))
    shop.run()
    shutil.copy(shop.home / "warehouse.duckdb", shop.home / "copy")
    for number in (2, 3):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        shop.run()
    (shop.home / "copy").rename(shop.home / "warehouse.duckdb")
    result = shop.run()
    assert result.version == "000004" and shop.ask("SELECT orders FROM totals") == [(3,)]
    assert "2 files of archive/ were missing from the warehouse and taken in again" in result.notes
    assert sorted(path.name for path in (shop.home / "published").glob("0*")) == ["000001", "000002", "000003", "000004"]


def test_k4_a_log_that_cannot_be_read_says_how_to_rebuild_and_that_works(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", row(1))
    shop.run()
    shop.drop_orders("orders_2.csv", row(2))
    shop.cli("run", env={"GOLDFEED_CRASH_AT": "build.after_commit"})
    flip(shop.home / "warehouse.duckdb.wal")
    done = shop.cli("run")
    assert done.returncode == 1
    assert "cannot be opened; move it and its .wal away and type `goldfeed run --from-archive` to rebuild it from archive/" in done.stderr
    for path in list(shop.home.glob("warehouse.duckdb*")):
        path.rename(shop.home / f"away-{path.name}")
    assert shop.cli("run", "--from-archive").returncode == 0 and shop.ask("SELECT orders FROM totals") == [(2,)]


def test_k4_a_damaged_block_is_named_as_such_and_not_tried_again(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", *(f"{n},c{n * 7919 % 10007},paid,1,2024-01-01" for n in range(60_000)))
    shop.run()
    path = shop.home / "warehouse.duckdb"
    content = bytearray(path.read_bytes())
    for place in range(262_144 * 2 + 5000, len(content), 4096):  # behind the headers
        content[place] ^= 0xFF
    path.write_bytes(content)
    done = shop.cli("run", "--full-refresh", "--quiet")
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1 and "move it and its .wal away and type `goldfeed run --from-archive`" in told
    assert path.read_bytes()[-4096:] == content[-4096:] or path.stat().st_size >= len(content)


def test_k10_a_backup_as_the_docs_say_restores_the_same_gold_in_an_empty_home(shop: Shop, tmp_path: Path) -> None:
    for number in (1, 2):
        shop.drop_orders(f"orders_{number}.csv", row(number))
        shop.run()
    new = Shop(shop.folder, tmp_path / "new")
    for name in ("archive", "secrets", "published"):
        shutil.copytree(shop.home / name, new.home / name, symlinks=True, dirs_exist_ok=True)
    assert new.cli("run", "--from-archive").returncode == 0
    for table in ("bronze.orders", "silver.orders", "gold.totals"):
        columns = "* EXCLUDE (_loaded_at)" if table == "bronze.orders" else "*"
        assert new.warehouse(f"SELECT {columns} FROM {table} ORDER BY ALL") == shop.warehouse(f"SELECT {columns} FROM {table} ORDER BY ALL")
    assert new.ask("SELECT * FROM totals") == shop.ask("SELECT * FROM totals")
