"""Killed anywhere, run again: the same tables, the same versions, nothing twice, nothing lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.base import writing
from pipeline.failpoints import NAMES
from tests.conftest import HEADER, ROOT, SILVER_ORDERS, Shop, tiny

VERSIONS = SILVER_ORDERS.replace("kind: upsert\nkey: [order_id]", "kind: append")
DIM = """/* ---
description: Versions of orders.
kind: scd2
key: [order_id]
valid_from: valid_from
surrogate_key: order_key
--- */
SELECT order_id, status, updated_at AS valid_from FROM silver.versions
"""
DROPS: list[dict[str, str]] = [
    {
        "a/orders_1.csv": "order_id,customer_id,status,amount,updated_at\n1,c,paid,1.00,2024-01-01\n2,c,created,2.00,2024-01-01\n3,c,lost,3,2024-01-01\n",
        "orders_2.csv": 'order_id,customer_id,status,amount,updated_at\n4,c,paid,x,2024-01-01\n5,"c,paid,5.00,2024-01-01\n6,c,paid,6.00,2024-01-01\n',
    },
    {
        "orders_3.csv": "order_id,customer_id,status,amount,updated_at,extra\n1,c,shipped,1.50,2024-01-02,e\n2,c,shipped,2.50,2024-01-02,e\n7,c,paid,7.00,2024-01-02,e\n",
        "again/orders_1.csv": "order_id,customer_id,status,amount,updated_at\n1,c,paid,1.00,2024-01-01\n2,c,created,2.00,2024-01-01\n3,c,lost,3,2024-01-01\n",
        "orders_bad.csv": "<html>",
    },
]
TABLES = ("bronze.orders", "silver.orders", "silver.versions", "gold.totals", "gold.dim_orders")


def small(folder: Path, name: str) -> Shop:
    shop = tiny(folder / "shop", folder / name)
    shop.write("goldfeed.yml", "name: tiny\nsettings:\n  keep_versions: 2\n  parts_above: 2\n  part_rows: 1\n")
    shop.write("sql/silver/versions.sql", VERSIONS)
    shop.write("sql/gold/dim_orders.sql", DIM)
    return shop


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Shop]:
    return lambda name: small(tmp_path, name)


def deliver(shop: Shop, drop: dict[str, str]) -> None:
    for name, text in drop.items():
        shop.drop(name, text)


def state(shop: Shop) -> dict[str, Any]:
    """Everything that must not depend on crashes: tables, quarantine, files, versions and their content."""
    columns = "* EXCLUDE (_loaded_at)"
    asked = {name: f"SELECT {columns if name.startswith('bronze') else '*'} FROM {name} ORDER BY ALL" for name in TABLES}
    asked["quarantine"] = "SELECT source, file_id, line, reason, raw FROM ledger.quarantine ORDER BY ALL"
    asked["files"] = "SELECT file_id, path, sha256, bronze_rows, quarantined_rows FROM ledger.files ORDER BY 1"
    asked["open runs"] = "SELECT count(*) FROM ledger.runs WHERE status = 'running'"
    published = shop.home / "published"
    with writing(shop.project()) as database:
        tables = {name: database.rows(sql) for name, sql in asked.items()}
    return {
        **tables,
        "landing": sorted(path.name for path in (shop.home / "landing").rglob("*") if path.is_file()),
        "archive": sorted(path.name for path in (shop.home / "archive").iterdir()),
        "rejected": sorted(path.name for path in (shop.home / "rejected").rglob("*.csv")),
        "versions": sorted(path.name for path in published.iterdir() if not path.is_symlink()),
        "current": (published / "current").resolve().name,
        "gold": [shop.ask(f'SELECT * FROM "{name}" ORDER BY ALL') for name in ("totals", "dim_orders")],
    }


def run_until_idle(shop: Shop) -> None:
    for _ in range(5):
        if shop.run().status == "nothing_to_do":
            return
    raise AssertionError("it never came to rest")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    shop = small(tmp_path_factory.mktemp("undisturbed"), "undisturbed")
    for drop in DROPS:
        deliver(shop, drop)
        run_until_idle(shop)
    return state(shop)


POINTS = [name for name in NAMES if not name.startswith(("compact.", "retain.", "mend.", "replay."))]


@pytest.mark.parametrize("name", POINTS)
def test_k1_killed_at_this_point_and_run_again_all_is_as_if_nothing_had_happened(
    name: str, make: Callable[[str], Shop], undisturbed: dict[str, Any]
) -> None:
    shop, died = make("killed"), 0
    for drop in DROPS:
        deliver(shop, drop)
        died += shop.cli("run", env={"GOLDFEED_CRASH_AT": name}).returncode == -signal.SIGKILL
        run_until_idle(shop)
    assert died >= 1, "the point was never reached: the name stands for nothing"
    assert state(shop) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ingest.before_commit", "ingest.after_commit", "build.after_commit", "build.before_commit", "publish.after_parquet"])
@pytest.mark.parametrize("times", [2, 3])
def test_k1_killed_later_at_the_same_point(
    name: str, times: int, make: Callable[[str], Shop], undisturbed: dict[str, Any]
) -> None:
    shop = make("killed")
    shop.environ["GOLDFEED_GROUP_BYTES"] = "100B"
    for drop in DROPS:
        deliver(shop, drop)
        shop.cli("run", env={"GOLDFEED_CRASH_AT": f"{name}:{times}"})
        run_until_idle(shop)
    assert state(shop) == undisturbed


def seeded(seed: int) -> list[dict[str, str]]:
    """Three drops made by chance: orders, corrections of them, dirt, files that come again, in files of any size."""
    chance, drops, given = random.Random(seed), list[dict[str, str]](), list[str]()
    for day in range(1, 4):
        rows = [_row(chance, day) for _ in range(chance.randint(4, 14))]
        cuts = sorted(chance.sample(range(1, len(rows)), chance.randint(0, 2)))
        parts = [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
        extra = ",extra" if day == 2 else ""  # a column nobody declared, so that a table is altered
        texts = [f"{HEADER}{extra}\n" + "".join(f"{row}{extra and ',e'}\n" for row in part) for part in parts]
        drop = {f"{chance.choice(['', 'a/', 'b/'])}orders_{day}{number}.csv": text for number, text in enumerate(texts)}
        drop |= {f"again/orders_{day}{number}.csv": text for number, text in enumerate(chance.sample(given, min(len(given), 1)))}
        drop |= {f"orders_{day}_bad.csv": "<html>"} if chance.random() < 0.5 else {}
        given += texts
        drops.append(drop)
    return drops


def _row(chance: random.Random, day: int) -> str:
    """A row of one of nine orders; one in four is broken, each in its own way."""
    status, amount, at = chance.choice(["created", "paid", "shipped"]), f"{chance.randint(1, 999)}.00", f"2024-01-0{chance.randint(1, day)}"
    row = f"{chance.randint(1, 9)},c{chance.randint(1, 3)},{status},{amount},{at}"
    broken = [row.replace(status, "lost"), row.replace(amount, "x"), row.replace(",c", ',"c'), row[row.index(",") :], row + ",too,many"]
    return chance.choice(broken) if chance.random() < 0.25 else row


@pytest.fixture(scope="module")
def of_seed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, Any]]:
    """What a seed's drops come to when nothing disturbs them."""

    @cache
    def state_of(seed: int) -> dict[str, Any]:
        shop = small(tmp_path_factory.mktemp(f"seed{seed}"), "undisturbed")
        for drop in seeded(seed):
            deliver(shop, drop)
            run_until_idle(shop)
        return state(shop)

    return state_of


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", POINTS)
def test_k1_killed_at_this_point_with_drops_made_by_chance(
    name: str, seed: int, make: Callable[[str], Shop], of_seed: Callable[[int], dict[str, Any]]
) -> None:
    shop, died = make("killed"), 0
    for drop in seeded(seed):
        deliver(shop, drop)
        died += shop.cli("run", env={"GOLDFEED_CRASH_AT": name}).returncode == -signal.SIGKILL
        run_until_idle(shop)
    assert died >= 1, "the point was never reached: the name stands for nothing"
    assert state(shop) == of_seed(seed)


def test_k1_drops_made_by_chance_have_corrections_dirt_and_files_that_come_again() -> None:
    for seed in (2, 3):
        drops = seeded(seed)
        names, texts = [name for drop in drops for name in drop], [text for drop in drops for text in drop.values()]
        rows = [line for text in set(texts) for line in text.splitlines()[1:]]
        orders = [row.partition(",")[0] for row in rows]
        assert len(set(texts)) < len(texts) and any("again/" in name for name in names)
        assert len(set(orders)) < len(orders) and sum(row[0] == "," or "lost" in row or "too,many" in row or ",x," in row or '"' in row for row in rows) >= 2
        assert seeded(seed) == drops and seeded(seed + 2) != drops


@pytest.mark.slow
def test_k2_killed_at_random_moments_again_and_again(make: Callable[[str], Shop], undisturbed: dict[str, Any]) -> None:
    shop, chance = make("killed"), random.Random(5)
    words = [sys.executable, "-m", "pipeline.cli", "--project", str(shop.folder), "--home", str(shop.home), "run"]
    import os

    for drop in DROPS:
        deliver(shop, drop)
        for _ in range(6):
            process = subprocess.Popen(
                words, cwd=ROOT, env={**os.environ, **shop.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(chance.uniform(0.6, 1.6))
            process.kill()
            process.wait()
        run_until_idle(shop)
    assert state(shop) == undisturbed


def test_a_run_that_was_cut_off_is_shown_as_interrupted(make: Callable[[str], Shop]) -> None:
    shop = make("killed")
    deliver(shop, DROPS[0])
    shop.cli("run", env={"GOLDFEED_CRASH_AT": "build.before_commit"})
    run_until_idle(shop)
    assert shop.warehouse("SELECT run_id, status FROM ledger.runs ORDER BY 1") == [(1, "interrupted"), (2, "succeeded")]


def test_what_a_run_that_was_cut_off_did_not_prune_goes_at_the_next_start(make: Callable[[str], Shop]) -> None:
    shop = make("killed")
    for number in (1, 2):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,paid,1.00,2024-01-01")
        shop.run()
    shop.drop_orders("orders_3.csv", "3,c,paid,1.00,2024-01-01")
    shop.cli("run", env={"GOLDFEED_CRASH_AT": "publish.after_swap"})
    held = lambda: sorted(path.name for path in (shop.home / "published").glob("0*"))  # noqa: E731
    assert held() == ["000001", "000002", "000003"]
    assert shop.run().status == "nothing_to_do"
    assert held() == ["000002", "000003"]


@pytest.mark.parametrize("keep_published", [True, False])
def test_k11_a_lost_warehouse_comes_back_from_the_archive(make: Callable[[str], Shop], keep_published: bool) -> None:
    import shutil

    shop = make("lost")
    for drop in DROPS:
        deliver(shop, drop)
        run_until_idle(shop)
    before = state(shop)
    for path in shop.home.glob("warehouse.duckdb*"):
        path.unlink()
    if not keep_published:
        shutil.rmtree(shop.home / "published")
    done = shop.cli("run", "--from-archive")
    assert done.returncode == 0, done.stderr
    after = state(shop)
    for name in (*TABLES, "gold", "archive", "quarantine"):
        assert after[name] == before[name], name
    assert shop.cli("run", "--from-archive").stdout.startswith("Nothing new")


def test_an_engine_too_old_to_survive_a_crash_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    from pipeline.errors import PermanentError

    monkeypatch.setattr(duckdb, "__version__", "1.5.6")
    with pytest.raises(PermanentError, match=r"DuckDB 1\.5\.6 is older than 2\.0\.0 .*; type `make setup`"):
        shop.run()


def test_a_damaged_warehouse_says_how_to_rebuild_it(shop: Shop) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01")
    shop.run()
    file = shop.home / "warehouse.duckdb"
    file.write_bytes(b"x" * 5000)
    done = shop.cli("run")
    assert done.returncode == 1
    assert "the warehouse file cannot be opened; move it and its .wal away and type `goldfeed run --from-archive`" in done.stderr
    assert file.read_bytes() == b"x" * 5000
