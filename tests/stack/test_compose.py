"""The container as it ships: comes up healthy, takes in drops, survives, and is locked down."""

from __future__ import annotations

import json
import os
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
    docker("down", "-v", "-t", "1", check=False)
    docker("build", "goldfeed")
    os.environ["GOLDFEED_DEMO"] = "0"
    docker("up", "-d", "--wait", "goldfeed")
    yield
    docker("down", "-v", "-t", "1", check=False)


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


KILL_SERVE = (
    "import os, signal, pathlib\n"
    "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    words = path.read_bytes().split(b'\\0')\n"
    "    if b'serve' in words and path.parent.name != '1': os.kill(int(path.parent.name), signal.SIGKILL)\n"
)


DROP_A_WEEK = (
    "import pathlib\n"
    "later, landing = pathlib.Path('/data/later'), pathlib.Path('/data/landing')\n"
    "for day in sorted(later.glob('year=*/month=*/day=*'))[:8]:\n"
    "    target = landing / day.relative_to(later)\n"
    "    target.parent.mkdir(parents=True, exist_ok=True)\n"
    "    day.rename(target)\n"
)


READY = (
    "import urllib.error, urllib.request as r\n"
    "try: answer = r.urlopen('http://127.0.0.1:8080/health/ready')\n"
    "except urllib.error.HTTPError as error: answer = error\n"
    "print(answer.read().decode())"
)


def until_running(seconds: float = 60) -> None:
    """Wait until a run is under way."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        said = docker("exec", "-T", "goldfeed", "python", "-c", READY, check=False)
        if said.returncode == 0 and json.loads(said.stdout)["running"]:
            return
        time.sleep(0.2)
    raise AssertionError("no run began")


def until_up(seconds: float = 60) -> None:
    """Wait until the engine has started it again: until then, longer after each kill, it is called unhealthy."""
    until = time.monotonic() + seconds
    while docker("up", "-d", "--wait", "goldfeed", check=False).returncode:
        assert time.monotonic() < until, "it did not come up again"
        time.sleep(0.5)


def ends() -> list[str]:
    """How the runs ended, as far as they have."""
    return [run["status"] for run in json.loads(inside("goldfeed", "history", "--json"))["runs"]]


def test_it_comes_up_healthy_and_killed_three_times_in_a_run_gold_is_the_truth(stack: None) -> None:
    assert json.loads(inside("python", "-c", "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/health/live').read().decode())"))["status"] == "alive"
    inside("goldfeed", "demo", "/data/later", "--orders", "100000", "--days", "28", "--seed", "7", "--dirty", "0.01")
    truth = json.loads(inside("cat", "/data/later/truth.json"))
    for _ in range(4):
        inside("python", "-c", DROP_A_WEEK)
        until_running()
        time.sleep(0.3)
        docker("exec", "-T", "goldfeed", "python", "-c", KILL_SERVE, check=False)
        until_up()
    wait_for("SELECT count(*) FROM fact_orders", truth["overall"]["orders"], 120)
    wait_for("SELECT CAST(sum(revenue) AS VARCHAR) FROM mart_daily_kpis", truth["overall"]["revenue"])
    assert ends().count("interrupted") >= 3 and "succeeded" in ends()  # one kill may have come as a run had ended


def test_what_is_dropped_into_its_volume_is_taken_in(stack: None) -> None:
    drop = "cat > /data/landing/customers_new.part && mv /data/landing/customers_new.part /data/landing/customers_20250101.csv"
    docker("exec", "-T", "goldfeed", "sh", "-c", drop, input="customer_id,updated_at\nC-NEW,2025-01-01 00:00:00\n")
    wait_for("SELECT count(*) FROM dim_customers WHERE customer_id = 'C-NEW'", 1)


def test_killed_it_comes_back_with_the_same_version(stack: None) -> None:
    before = inside("readlink", "/data/published/current")
    docker("kill", "-s", "KILL", "goldfeed")
    docker("up", "-d", "--wait", "goldfeed")
    assert inside("readlink", "/data/published/current") == before


def test_k6_it_stops_within_its_grace(stack: None) -> None:
    began = time.monotonic()
    docker("stop", "goldfeed")
    assert time.monotonic() - began < 14
    docker("up", "-d", "--wait", "goldfeed")


def test_s9_it_runs_without_rights_it_does_not_need(stack: None) -> None:
    assert inside("id", "-u").strip() == "10001"
    assert docker("exec", "-T", "goldfeed", "touch", "/project/x", check=False).returncode != 0
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["goldfeed"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["mem_limit"] and service["pids_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["ports"] == ["127.0.0.1:${GOLDFEED_PORT:-8080}:8080"]


def test_the_image_holds_no_build_tools(stack: None) -> None:
    found = inside("sh", "-c", "for tool in gcc make git curl; do command -v $tool; done; ls /opt/goldfeed/bin | grep pip; true")
    assert found.strip() == ""
