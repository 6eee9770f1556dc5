"""The script that goldfeed is measured against: the same rows of gold, so that both have done the same work."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from bench.full_run import differing
from pipeline.demo import write_shop
from tests.conftest import ROOT, Shop


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drops")
    write_shop(folder, orders=900, days=40, seed=11, dirty=0, start=date(2024, 1, 1), odd_files=False)
    return folder


@pytest.fixture(scope="module")
def ours(drops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = Shop(ROOT, tmp_path_factory.mktemp("home"))
    shutil.copytree(drops, shop.home / "landing", dirs_exist_ok=True)
    assert shop.run().status == "succeeded"
    return shop.home / "warehouse.duckdb"


@pytest.fixture(params=["plain", "kept"])
def script(request: pytest.FixtureRequest, drops: Path, tmp_path: Path) -> Path:
    landing, work = shutil.copytree(drops, tmp_path / "landing"), tmp_path / "work"
    work.mkdir()
    done = subprocess.run([sys.executable, "-m", f"bench.{request.param}", landing, work], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return work / "plain.duckdb"


def test_the_scripts_by_hand_have_the_same_rows_of_gold(script: Path, ours: Path) -> None:
    assert differing(script, ours) == []


def test_a_script_that_has_other_rows_is_found_out(script: Path, ours: Path) -> None:
    with duckdb.connect(str(script)) as connection:
        connection.execute("UPDATE gold.fact_orders SET total_amount = total_amount + 0.01 WHERE order_id = (SELECT min(order_id) FROM gold.fact_orders)")
        connection.execute("DELETE FROM gold.mart_daily_kpis WHERE order_date = '2024-01-03'")
    assert differing(script, ours) == ["fact_orders", "mart_daily_kpis"]


@pytest.mark.parametrize("script", ["kept"], indirect=True)
def test_the_script_that_keeps_the_promises_knows_the_lines_that_goldfeed_knows(script: Path, ours: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{script}' AS script (READ_ONLY); ATTACH '{ours}' AS ours (READ_ONLY)")
        for table, key in (("orders", "order_id, status, updated_at"), ("order_items", "order_id, line_number, updated_at"), ("customers", "customer_id, updated_at")):
            sides = [f"SELECT {key}, _line FROM {side}.bronze.{table}" for side in ("script", "ours")]
            assert connection.execute(f"SELECT count(*) FROM ({sides[0]} EXCEPT ALL {sides[1]})").fetchone() == (0,)
            assert connection.execute(f"SELECT count(*) FROM ({sides[1]} EXCEPT ALL {sides[0]})").fetchone() == (0,)
