"""Too little disk or memory ends a run, never the data; with room again the next run goes on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.clock import Clock
from pipeline.errors import TransientError
from pipeline.keeper import Keeper
from pipeline.log import logger
from pipeline.service import Service
from tests.conftest import Shop
from tests.integration.test_service import Hands, Served, serve

__all__ = ["serve"]
SIZE = 160_000_000
_ROWS = 60_000


TEXTS = (  # a list of a million texts must be in memory as a whole
    "/* ---\ndescription: x\nkey: [status]\n--- */\nSELECT status, len(list(customer_id || n)) AS texts"
    " FROM silver.orders CROSS JOIN range(20) AS r(n) GROUP BY status"
)


def rows(start: int) -> list[str]:
    return [f"{start + n},c{n % 977:x}{n * 7919:x},paid,{n % 500}.25,2024-01-01 00:00:00" for n in range(_ROWS)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A volume of 160 MB that can be filled; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("this test needs to mount a small volume")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves this many bytes of the volume free."""
    state = os.statvfs(disk)
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - left))
    return ballast


def gold(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.ask("SELECT * FROM totals ORDER BY ALL")


@pytest.mark.slow
def test_k5_a_full_disk_fails_the_run_keeps_what_is_published_and_the_next_run_goes_on(shop: Shop, small_disk: Path) -> None:
    shop.home = small_disk / "home"
    shop.drop_orders("orders_1.csv", *rows(0))
    assert shop.cli("run").returncode == 0
    good, failed = gold(shop), 0
    shop.drop_orders("orders_2.csv", *rows(_ROWS))
    for left in (0, 100_000, 2_000_000, 8_000_000):
        ballast = fill(small_disk, left)
        done = shop.cli("run")
        if done.returncode:
            failed += 1
            told = " ".join((done.stderr + done.stdout).split())
            assert "Traceback" not in told and ("run again" in told or "runs again" in told)
            assert gold(shop) == good
        ballast.unlink()
    assert failed >= 2
    assert shop.cli("run").returncode == 0
    assert gold(shop) == [("paid", 2 * _ROWS, 2 * good[0][2])]
    assert sorted(path.name for path in (small_disk / "home/landing").iterdir()) == []


@pytest.mark.slow
def test_k5_a_service_on_a_full_disk_is_red_serves_on_and_runs_again_once_there_is_room(
    shop: Shop, small_disk: Path, serve: Callable[..., Served]
) -> None:
    shop.home = small_disk / "home"
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {on_arrival: 0.2, retries: 0}\n")
    served = serve(shop)
    served.until(lambda: served.said("serving"))
    shop.drop_orders("orders_1.csv", *rows(0))
    served.until(lambda: served.said("run", status="succeeded"))
    good = gold(shop)

    def goes_on(times: int, left: int) -> None:
        told = len(served.lines)
        part = shop.drop_orders(f"orders_{times}.csv.part", *rows(times * _ROWS))
        ballast = fill(small_disk, left)
        part.rename(part.with_suffix(""))
        served.until(lambda: [line for line in served.lines[told:] if line.get("level") == "error"])
        if not left:
            served.until(lambda: served.page("/health")[0] == 503)
            assert "takes no more: No space left" in served.page("/health/ready")[1]["status"]
        assert served.page("/health/live")[0] == 200 and gold(shop) == [("paid", (times - 1) * _ROWS, (times - 1) * good[0][2])]
        ballast.unlink()
        began = time.monotonic()
        served.until(lambda: len(served.said("run", status="succeeded")) == times, 60)
        served.until(lambda: served.page("/health")[0] == 200 and served.page("/health/ready")[0] == 200)
        assert time.monotonic() - began < 60 and gold(shop) == [("paid", times * _ROWS, times * good[0][2])]

    goes_on(2, 0)
    goes_on(3, 2_000_000)
    assert list((shop.home / "landing").iterdir()) == [] and not list((shop.home / "published").glob(".building*"))


def test_k5_a_checkpoint_without_room_ends_the_open_database_and_the_next_use_opens_it_anew(shop: Shop, small_disk: Path) -> None:
    shop.home = small_disk / "home"
    keeper, project = Keeper(Clock()), shop.project()
    with pytest.raises(TransientError), keeper.writing(project) as database:
        database.run("CREATE TABLE gold.large AS SELECT range AS n, hash(range) AS h FROM range(100000)")
        ballast = fill(small_disk, 100_000)
        database.checkpoint()
    with pytest.raises(TransientError), keeper.lingering(), keeper.writing(project) as database:
        database.checkpoint()
    ballast.unlink()
    keeper.ask(project)
    with keeper.reading(project) as database:
        assert database.rows("SELECT count(*), sum(n) FROM gold.large") == [(100_000, 4_999_950_000)]


def test_k8_too_little_memory_fails_the_task_in_a_sentence_and_with_more_the_next_run_goes_on(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", *rows(0))
    shop.write("sql/gold/texts.sql", TEXTS)
    few = shop.cli("run", env={"GOLDFEED_MEMORY_LIMIT": "20MB"})
    told = " ".join((few.stderr + few.stdout).split())
    assert few.returncode == 1 and "free memory or disk, then run again" in told and "Traceback" not in told
    assert shop.cli("run").returncode == 0
    assert gold(shop)[0][:2] == ("paid", _ROWS) and shop.ask("SELECT texts FROM texts") == [(20 * _ROWS,)]


def test_k8_a_service_with_too_little_memory_survives_and_runs_again_with_more(shop: Shop) -> None:
    few = "name: tiny\nsettings: {memory_limit: 20MB}\nflows:\n  tiny: {schedule: '0 2 * * *', retries: 0}\n"
    shop.write("goldfeed.yml", few)
    shop.write("sql/gold/texts.sql", TEXTS)
    hands = Hands()
    service = Service(shop.project, logger(), clock=hands.clock())
    service.begin()
    shop.drop_orders("orders_1.csv", *rows(0))
    hands.time = datetime(2024, 1, 2, 2, 0, 1)
    service.turn(hands.time)
    assert shop.warehouse("SELECT status FROM ledger.runs") == [("failed",)]
    shop.write("goldfeed.yml", few.replace("20MB", "1GB"))
    hands.time = datetime(2024, 1, 2, 2, 1, 30)
    service.turn(hands.time)
    service.stop.set()
    assert shop.warehouse("SELECT status FROM ledger.runs ORDER BY run_id") == [("failed",), ("succeeded",)]
    assert shop.ask("SELECT texts FROM texts") == [(20 * _ROWS,)]
