"""K2: killed at random moments of incremental runs, backfills and compactions; run again, and all is as if undisturbed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Shop
from tests.incremental.little import content, drop, little_shop

KILLS = int(os.environ.get("GOLDFEED_SOAK_KILLS", "20"))
STEPS = 10


def deliver(shop: Shop, step: int) -> None:
    """One drop of each source: new orders, corrections that move them, deletes, customers who move."""
    chance = random.Random(step)
    ids = [chance.randint(1, 30) for _ in range(12)]
    at = f"2024-01-{step + 1:02d} 0{{}}:00:00"
    drop(shop, "orders", step, [f"{i},{'abcd'[i % 4]},{chance.choice(['open', 'paid', 'lost'])},2024-01-{chance.randint(1, 28):02d},{at.format(n % 9)},{chance.choice(['', '', '', 'D'])}" for n, i in enumerate(ids)])
    drop(shop, "items", step, [f"{i},{chance.randint(1, 2)},{chance.choice('pqr')},{chance.randint(1, 9)}.50,{at.format(n % 9)},{chance.choice(['', '', '', 'D'])}" for n, i in enumerate(ids)])
    drop(shop, "customers", step, [f"{who},{chance.choice(['Rome', 'Bonn', 'Kyiv'])},{at.format(0)}," for who in "abcd"])


def until_idle(shop: Shop) -> None:
    for _ in range(5):
        if shop.run().status == "nothing_to_do":
            return
    raise AssertionError("it never came to rest")


def state(shop: Shop) -> dict[str, Any]:
    home = shop.home
    return {
        **content(shop),
        "landing": [path.name for path in (home / "landing").rglob("*") if path.is_file()],
        "archive": sorted(path.name for path in (home / "archive").iterdir()),
        "beside": sorted(path.name for path in home.glob("*.compact*")) + sorted(path.name for path in (home / "published").glob(".building*")),
        "files": shop.warehouse("SELECT file_id, path, sha256, bronze_rows, quarantined_rows FROM ledger.files ORDER BY 1"),
    }


@pytest.mark.slow
def test_k2_random_kills_of_incremental_runs_backfills_and_compactions(tmp_path: Path) -> None:
    calm, killed = little_shop(tmp_path / "shop", tmp_path / "calm"), little_shop(tmp_path / "shop", tmp_path / "killed")
    chance, kills = random.Random(11), 0
    commands = (["run"], ["run"], ["backfill", "--from", "2000-01-01", "--to", "2100-01-01", "--quiet"], ["doctor", "--compact"])
    for step in range(STEPS):
        for shop in (calm, killed):
            deliver(shop, step)
        until_idle(calm)
        for _ in range(-(-KILLS // STEPS)):
            kills += kill_at_random(killed, chance.choice(commands), chance)
            if (killed.home / "published/current").exists():
                assert killed.ask("SELECT count(*) FROM days")  # whatever was cut off, readers see a whole version
        until_idle(killed)
    assert kills >= KILLS // 2, "hardly any of them was killed in time"
    assert state(killed) == state(calm)


def kill_at_random(shop: Shop, words: list[str], chance: random.Random) -> bool:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "--project", str(shop.folder), "--home", str(shop.home), *words],
        cwd=ROOT, env={**os.environ, **shop.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    time.sleep(chance.uniform(0.3, chance.choice([0.7, 1.4])))  # a quick machine is done within a second, a slow one after two
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive
