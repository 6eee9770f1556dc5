"""Too little disk or memory ends a run, never the data; with room again the next run goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Shop

SIZE = 160_000_000
_ROWS = 60_000


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


def test_k8_too_little_memory_fails_the_task_in_a_sentence_and_with_more_the_next_run_goes_on(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", *rows(0))
    shop.write(  # a list of a million texts must be in memory as a whole
        "sql/gold/texts.sql",
        "/* ---\ndescription: x\nkey: [status]\n--- */\nSELECT status, len(list(customer_id || n)) AS texts"
        " FROM silver.orders CROSS JOIN range(20) AS r(n) GROUP BY status",
    )
    few = shop.cli("run", env={"GOLDFEED_MEMORY_LIMIT": "20MB"})
    told = " ".join((few.stderr + few.stdout).split())
    assert few.returncode == 1 and "free memory or disk, then run again" in told and "Traceback" not in told
    assert shop.cli("run").returncode == 0
    assert gold(shop)[0][:2] == ("paid", _ROWS) and shop.ask("SELECT texts FROM texts") == [(20 * _ROWS,)]
