"""The service: what it costs when nothing happens, and when everything is due at once.

`python -m bench.service --idle 300` prints memory and CPU of an idle `goldfeed serve`;
`python -m bench.service --flows 500` runs flows of three tables each, all due at once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import psutil

from bench.common import ROOT
from pipeline.clock import Clock
from pipeline.project.project import load_project
from pipeline.service import Service


def idle(seconds: float) -> None:
    """The shop that ships, served from an empty home, and asked for its health every ten seconds as in its container."""
    home, port = Path(tempfile.mkdtemp()), free_port()
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "--home", str(home), "serve"],
        cwd=ROOT, stdout=subprocess.DEVNULL, env={**given, "GOLDFEED_HTTP_PORT": str(port), "GOLDFEED_METRICS_PORT": "0"},
    )
    try:
        while not healthy(port):
            time.sleep(1)
        time.sleep(5)
        seen = psutil.Process(process.pid)
        before = sum(seen.cpu_times()[:2])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert healthy(port)
            time.sleep(min(10.0, max(0.0, until - time.monotonic())))
        used = sum(seen.cpu_times()[:2]) - before
        print(f"idle for {seconds:.0f} s: {seen.memory_info().rss / 1e6:.0f} MB, {used / seconds:.2%} of a core")
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home)


def healthy(port: int) -> bool:
    """Whether the service answers that it is well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def project_in(folder: Path, flows: int) -> None:
    """Flows of a source, a silver and a gold table each."""
    for layer in ("bronze", "silver", "gold"):
        (folder / "sql" / layer).mkdir(parents=True)
    lines = ["name: many", "settings: {settle_seconds: 0}", "flows:"]
    for number in range(flows):
        name = f"t{number:03d}"
        (folder / f"sql/bronze/{name}.yml").write_text(f"files: '{name}.csv'\ncolumns:\n  n: {{type: integer}}\n")
        for layer, above in (("silver", "bronze"), ("gold", "silver")):
            text = f"/* ---\ndescription: x\n--- */\nSELECT n FROM {above}.{name}\n"
            (folder / f"sql/{layer}/{name}.sql").write_text(text)
        lines.append(f"  f{number:03d}: {{select: [{name}], schedule: '0 2 * * *'}}")
    (folder / "goldfeed.yml").write_text("\n".join(lines) + "\n")
    (folder / "data/landing").mkdir(parents=True)
    for number in range(flows):
        (folder / f"data/landing/t{number:03d}.csv").write_text(f"n\n{number}\n")


def all_at_once(flows: int) -> None:
    """Every flow due in the same second."""
    folder = Path(tempfile.mkdtemp())
    now = [datetime(2024, 1, 1, 12)]
    clock = Clock(now=lambda: now[0], seconds=time.monotonic, sleep=time.sleep)
    try:
        project_in(folder, flows)
        service = Service(lambda: load_project(folder, home=None, environ={}), Quiet(), clock=clock)
        service.begin()
        now[0] += timedelta(hours=15)
        began = time.perf_counter()
        service.turn(now[0])
        took = time.perf_counter() - began
        with service.keeper.reading(service.project) as database:
            tasks = database.value("SELECT count(*) FROM ledger.tasks WHERE status = 'succeeded' AND table_name <> 'gold'")
            inside = database.value("SELECT sum(seconds) FROM ledger.tasks")
        for many, what in ((took, "the whole"), (inside, "within the tasks and publications"), (took - inside, "scheduling")):
            print(f"{many / tasks * 1000:7.1f} ms a task: {what}")
        print(f"{by_hand(folder, flows) / tasks * 1000:7.1f} ms a task: the same tables and Parquet files by bare SQL")
        print(f"{service.runs} flows, {tasks} tasks in {took:.1f} s")
    finally:
        shutil.rmtree(folder)


def by_hand(folder: Path, flows: int) -> float:
    """Seconds of the same work without ledger, archive, hashes, versions or a scheduler; a transaction a statement."""
    work = folder / "bare"
    work.mkdir()
    for number in range(flows):
        (work / f"t{number:03d}.csv").write_text(f"n\n{number}\n")
    connection = duckdb.connect(str(folder / "bare.duckdb"), config={"threads": 2})
    for layer in ("bronze", "silver", "gold"):
        connection.execute(f"CREATE SCHEMA {layer}")
    began = time.perf_counter()
    for number in range(flows):
        name = f"t{number:03d}"
        connection.execute(f"CREATE TABLE bronze.{name} AS SELECT * FROM read_csv('{work / name}.csv', columns = {{'n': 'INTEGER'}})")
        connection.execute(f"CREATE TABLE silver.{name} AS SELECT n FROM bronze.{name}")
        connection.execute(f"CREATE TABLE gold.{name} AS SELECT n FROM silver.{name}")
        connection.execute(f"COPY gold.{name} TO '{work / name}.parquet'")
    connection.close()
    return time.perf_counter() - began


class Quiet:
    """A logger that says nothing."""

    def bind(self, **_: object) -> Quiet:
        """Itself."""
        return self

    def info(self, *_: object, **__: object) -> None:
        """Nothing."""

    warning = error = info


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=float)
    parser.add_argument("--flows", type=int)
    wanted = parser.parse_args()
    if wanted.idle:
        idle(wanted.idle)
    if wanted.flows:
        all_at_once(wanted.flows)


if __name__ == "__main__":
    main()
