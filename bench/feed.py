"""The OData feed over a fact of 5,000,000 rows and 12 columns: rate of JSON, latency of a filtered page, memory.

    python -m bench.feed [--rows 5000000] [--only rate|readers]

The server is the whole one, with login, limits and audit. The page is asked for by twenty readers, with nothing else going
on and then while a shop is rebuilt again and again in the process that serves, as `goldfeed serve` does it.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import duckdb
import psutil

from bench.common import MEMORY_LIMIT, ROOT, THREADS, WORK, measured
from bench.files import PASSWORD, settings_of
from pipeline.clock import Clock
from pipeline.demo import write_shop
from pipeline.feed.serving import Parts, start
from pipeline.log import logger
from pipeline.project.project import load_project
from pipeline.published import file_hash, point_to
from pipeline.runner import execute, open_warehouse
from pipeline.situation import Order

FACT = """SELECT i::BIGINT AS order_id, DATE '2020-01-01' + CAST(i * 1826 // {rows} AS INTEGER) AS order_date,
 (i * 7919 % 200000)::INTEGER AS customer_key, (i * 31 % 5000)::INTEGER AS product_key, (i % 9 + 1)::INTEGER AS quantity,
 (i * 37 % 100000 / 100)::DECIMAL(18,2) AS unit_price, (i * 37 % 100000 * (i % 9 + 1) / 100)::DECIMAL(18,2) AS line_amount,
 (i * 11 % 2000 / 100)::DECIMAL(18,2) AS freight_amount, TIMESTAMP '2020-01-01' + INTERVAL (i * 31) SECOND AS ordered_at,
 ['created', 'paid', 'shipped', 'delivered', 'canceled'][1 + i % 5] AS status, ['DE', 'FR', 'US', 'GB', 'IT'][1 + i % 5] AS country,
 (i % 3 = 0) AS is_gift FROM range({rows}) t(i)"""
DAY = "/odata/v4/fact?$filter=order_date%20ge%202023-05-01T00:00:00Z%20and%20order_date%20lt%202023-05-02T00:00:00Z"
READERS, SECONDS, PIECE = 20, 20, 1 << 20
LOGIN = {"Authorization": "Basic " + base64.b64encode(f"bench:{PASSWORD}".encode()).decode()}
SHOP = WORK / "feed-shop"  # rebuilt beside the readers; written once


def publish(home: Path, rows: int) -> Path:
    """One version with one table; gives its file."""
    folder = home / "published" / "000001"
    path = folder / "fact.parquet"
    if path.exists() and duckdb.execute(f"SELECT count(*) FROM '{path}'").fetchall() == [(rows,)]:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"COPY ({FACT.format(rows=rows)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    columns = [{"name": row[0], "type": row[1]} for row in duckdb.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    table = {"key": ["order_id"], "rows": rows, "columns": columns, "file": path.name, "sha256": file_hash(path)}
    manifest = {"version": "000001", "published_at": "2024-05-01T06:00:00Z", "tables": {"fact": table}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    point_to(folder.parent, "000001")
    return path


def serve(home: Path) -> None:
    """The whole feed, login and all; prints its port. A line with seconds has the shop rebuilt until they are over."""
    server = start(settings_of(home), Parts(), logger())
    print(server.port, flush=True)
    for line in sys.stdin:
        until, runs = time.monotonic() + float(line), 0
        while time.monotonic() < until:
            rebuild_once()
            runs += 1
        print(runs, flush=True)
    server.stop()


def prepare_shop(orders: int) -> None:
    """A shop that has been built once; kept for the next time."""
    mark = SHOP / f"{orders}.orders"
    if mark.exists():
        return
    shutil.rmtree(SHOP, ignore_errors=True)
    write_shop(SHOP / "landing", orders=orders, days=30, seed=5, dirty=0.01)
    measured(["-m", "pipeline.cli", "--home", str(SHOP), "run", "--quiet"])
    mark.touch()


def rebuild_once() -> None:
    """A full refresh of the shop, in this process."""
    project = load_project(ROOT, home=SHOP, environ={"GOLDFEED_MEMORY_LIMIT": MEMORY_LIMIT, "GOLDFEED_THREADS": str(THREADS)})
    database = open_warehouse(project, Clock())
    execute(project, database, Order(full_refresh=True))
    database.close()


class Memory(threading.Thread):
    """The most resident memory of a process since it was looked at first, in MB over that."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(process)
        self.idle = self.now()
        self.peak, self.over = self.idle, False

    def now(self) -> float:
        return float(self._process.memory_info().rss / 1e6)

    def run(self) -> None:
        while not self.over:
            self.peak = max(self.peak, self.now())
            time.sleep(0.02)


def written_by_duckdb(path: Path) -> float:
    """Rows a second at which DuckDB alone writes the same rows as JSON to a file."""
    target = path.with_suffix(".json")
    program = (
        "import duckdb, sys, time; c = duckdb.connect(config={'threads': 2, 'memory_limit': '1GB'}); c.execute('SET enable_progress_bar = false'); t = time.monotonic();"
        "c.execute(f\"COPY (SELECT * FROM read_parquet('{sys.argv[1]}')) TO '{sys.argv[2]}' (FORMAT json, ARRAY true)\");"
        "print(time.monotonic() - t)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), str(target)], check=True, capture_output=True, text=True)
    target.unlink()
    return float(done.stdout.split()[-1])


def read_all(port: int, headers: dict[str, str] | None = None) -> tuple[float, int]:
    """Seconds and bytes to follow every page to the end. The text is not parsed but for the link."""
    began, size, where = time.monotonic(), 0, "/odata/v4/fact"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    while where:
        connection.request("GET", where, headers=LOGIN | (headers or {}))
        answer, tail = connection.getresponse(), b""
        assert answer.status == 200, answer.read()
        unpack = zlib.decompressobj(31) if answer.getheader("content-encoding") == "gzip" else None
        while piece := answer.read(PIECE):
            size, tail = size + len(piece), (tail + (unpack.decompress(piece) if unpack else piece))[-2000:]
        _, found, link = tail.rpartition(b'"@odata.nextLink":"')
        where = "/odata/v4/" + link.decode().partition('"')[0].partition("/odata/v4/")[2] if found else ""
    connection.close()
    return time.monotonic() - began, size


def read_days(port: int) -> list[float]:
    """Seconds of every answer to readers who each ask for a day once a second."""
    taken: list[float] = []

    def reader(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        time.sleep(number / READERS)
        for _ in range(SECONDS):
            began = time.monotonic()
            connection.request("GET", DAY, headers=LOGIN)
            content = connection.getresponse().read()
            taken.append(time.monotonic() - began)
            assert content.endswith(b"]}"), content[-300:]
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=5_000_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--orders", type=int, default=100_000, help="of the shop that is rebuilt beside the readers")
    options.add_argument("--only", choices=("rate", "readers"))
    options.add_argument("--serve", action="store_true")
    chosen = options.parse_args()
    home = WORK / "feed"
    if chosen.serve:
        serve(home)
        return
    path = publish(home, chosen.rows)
    if chosen.only != "rate":
        prepare_shop(chosen.orders)
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.feed", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        report(path, server, chosen)
    finally:
        server.terminate()
        server.wait(30)


def report(path: Path, server: subprocess.Popen[str], chosen: Any) -> None:
    assert server.stdin and server.stdout
    port = int(server.stdout.readline())
    wait_for(port)
    memory = Memory(server.pid)
    memory.start()
    if chosen.only != "readers":
        rate(path, port, chosen)
    say_days("nothing else", read_days(port))
    memory.over = True
    print(f"memory over idle ({memory.idle:.0f} MB): {memory.peak - memory.idle:.0f} MB")
    if chosen.only != "rate":
        server.stdin.write(f"{SECONDS}\n")
        server.stdin.flush()
        taken = read_days(port)
        say_days(f"{server.stdout.readline().strip()} rebuilds of {chosen.orders:,} orders in the same process", taken)


def rate(path: Path, port: int, chosen: Any) -> None:
    """The whole table as JSON, in turns with DuckDB writing it to a file."""
    raw, fed = [], []
    for _ in range(chosen.runs):
        raw.append(written_by_duckdb(path))
        fed.append(read_all(port))
    seconds, size = median(taken for taken, _ in fed), fed[0][1]
    print(f"DuckDB alone to a file: {chosen.rows / median(raw) / 1e6:.2f} M rows/s")
    print(f"OData JSON to a client: {chosen.rows / seconds / 1e6:.2f} M rows/s, {size / 1e6:.0f} MB, {median(raw) / seconds:.0%} of that rate")
    packed, small = read_all(port, {"Accept-Encoding": "gzip"})
    print(f"the same packed with gzip: {chosen.rows / packed / 1e6:.2f} M rows/s, {small / 1e6:.0f} MB")


def say_days(beside: str, taken: list[float]) -> None:
    print(
        f"a day of five years, {READERS} readers, beside {beside}: median {median(taken) * 1000:.0f} ms,"
        f" p95 {quantiles(taken, n=20)[18] * 1000:.0f} ms, {len(taken)} answers"
    )


def wait_for(port: int) -> None:
    """Until rows come: the first request verifies the version and looks at its layout."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/odata/v4/fact?$top=1", headers=LOGIN)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()


if __name__ == "__main__":
    main()
