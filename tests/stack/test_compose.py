"""The container as it ships: comes up healthy, takes in drops, survives, and is locked down."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.stack
PROJECT = ["docker", "compose", "-p", "goldfeed-test"]


def docker(*words: str, check: bool = True, **given: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*PROJECT, *words], cwd=ROOT, capture_output=True, text=True, **given)
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def inside(*words: str, **given: Any) -> str:
    return docker("exec", "-T", "goldfeed", *words, **given).stdout


@pytest.fixture(scope="module")
def stack() -> Iterator[None]:
    if shutil.which("docker") is None:
        pytest.skip("no docker here")
    docker("down", "-v", check=False)
    docker("build")
    docker("up", "-d", "--wait")
    yield
    docker("down", "-v", check=False)


def wait_for(sql: str, wanted: Any, seconds: float = 60) -> None:
    """Ask the published tables until they say what is wanted."""
    said: Any = None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done = docker("exec", "-T", "goldfeed", "goldfeed", "query", "--json", sql, check=False)
        if done.returncode == 0:
            said = next(iter(json.loads(done.stdout)[0].values()))
            if said == wanted:
                return
        time.sleep(1)
    raise AssertionError(f"{sql} says {said}, not {wanted}")


def test_it_comes_up_healthy_and_gold_is_the_truth_of_the_demo(stack: None) -> None:
    truth = json.loads(inside("cat", "/data/landing/truth.json"))
    wait_for("SELECT count(*) FROM fact_orders", truth["overall"]["orders"])
    wait_for("SELECT CAST(sum(revenue) AS VARCHAR) FROM mart_daily_kpis", truth["overall"]["revenue"])


def test_what_is_dropped_into_its_volume_is_taken_in(stack: None) -> None:
    drop = "cat > /data/landing/customers_new.part && mv /data/landing/customers_new.part /data/landing/customers_20250101.csv"
    docker("exec", "-T", "goldfeed", "sh", "-c", drop, input="customer_id,updated_at\nC-NEW,2025-01-01 00:00:00\n")
    wait_for("SELECT count(*) FROM dim_customers WHERE customer_id = 'C-NEW'", 1)


def test_killed_it_comes_back_with_the_same_version(stack: None) -> None:
    before = inside("readlink", "/data/published/current")
    docker("kill", "-s", "KILL", "goldfeed")
    docker("up", "-d", "--wait")
    assert inside("readlink", "/data/published/current") == before


def test_k6_it_stops_within_its_grace(stack: None) -> None:
    began = time.monotonic()
    docker("stop", "goldfeed")
    assert time.monotonic() - began < 14
    docker("up", "-d", "--wait")


def test_s9_it_runs_without_rights_it_does_not_need(stack: None) -> None:
    assert inside("id", "-u").strip() == "10001"
    assert docker("exec", "-T", "goldfeed", "touch", "/project/x", check=False).returncode != 0
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["goldfeed"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["mem_limit"] and service["pids_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"] and "ports" not in service


def test_the_image_holds_no_build_tools(stack: None) -> None:
    found = inside("sh", "-c", "for tool in gcc make git curl; do command -v $tool; done; ls /opt/goldfeed/bin | grep pip; true")
    assert found.strip() == ""
