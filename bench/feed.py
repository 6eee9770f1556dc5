"""The OData feed over a fact of 5,000,000 rows and 12 columns: rate of JSON, latency of a filtered page, memory.

    python -m bench.feed [--rows 5000000]
"""

from __future__ import annotations

import argparse
import http.client
import json
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

from bench.common import MEMORY_LIMIT, THREADS, WORK
from pipeline.published import file_hash, point_to
from pipeline.settings import Settings, load_settings

FACT = """SELECT i::BIGINT AS order_id, DATE '2020-01-01' + CAST(i * 1826 // {rows} AS INTEGER) AS order_date,
 (i * 7919 % 200000)::INTEGER AS customer_key, (i * 31 % 5000)::INTEGER AS product_key, (i % 9 + 1)::INTEGER AS quantity,
 (i * 37 % 100000 / 100)::DECIMAL(18,2) AS unit_price, (i * 37 % 100000 * (i % 9 + 1) / 100)::DECIMAL(18,2) AS line_amount,
 (i * 11 % 2000 / 100)::DECIMAL(18,2) AS freight_amount, TIMESTAMP '2020-01-01' + INTERVAL (i * 31) SECOND AS ordered_at,
 ['created', 'paid', 'shipped', 'delivered', 'canceled'][1 + i % 5] AS status, ['DE', 'FR', 'US', 'GB', 'IT'][1 + i % 5] AS country,
 (i % 3 = 0) AS is_gift FROM range({rows}) t(i)"""
DAY = "/odata/v4/fact?$filter=order_date%20ge%202023-05-01T00:00:00Z%20and%20order_date%20lt%202023-05-02T00:00:00Z"
READERS, SECONDS, PIECE = 20, 20, 1 << 20


def settings_of(home: Path) -> Settings:
    return load_settings(home, home=home, given={"memory_limit": MEMORY_LIMIT, "threads": str(THREADS)}, environ={})


def publish(home: Path, rows: int) -> Path:
    """One version with one table; gives its file."""
    folder = settings_of(home).published / "000001"
    path = folder / "fact.parquet"
    if path.exists() and duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(rows,)]:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    duckdb.execute(f"COPY ({FACT.format(rows=rows)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    columns = [{"name": row[0], "type": row[1]} for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    table = {"key": ["order_id"], "rows": rows, "columns": columns, "file": path.name, "sha256": file_hash(path)}
    manifest = {"version": "000001", "published_at": "2024-05-01T06:00:00Z", "tables": {"fact": table}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    point_to(folder.parent, "000001")
    return path


def serve(home: Path) -> None:
    """The feed alone, for everybody, on a free port, which is printed."""
    import socket

    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from pipeline.feed.app import Feed, build_app
    from pipeline.feed.library import Library
    from pipeline.feed.odata.routes import routes

    class Everybody:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["role"] = lambda catalog: catalog
            await self.app(scope, receive, send)

    settings = settings_of(home)
    app = build_app(Feed(settings, Library(settings)), routes())
    app.add_middleware(Everybody)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])


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
        connection.request("GET", where, headers=headers or {})
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
            connection.request("GET", DAY)
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
    options.add_argument("--serve", action="store_true")
    chosen = options.parse_args()
    home = WORK / "feed"
    if chosen.serve:
        serve(home)
        return
    path = publish(home, chosen.rows)
    server = subprocess.Popen([sys.executable, "-m", "bench.feed", "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        report(path, int(server.stdout.readline()), server.pid, chosen)
    finally:
        server.terminate()
        server.wait(30)


def report(path: Path, port: int, process: int, chosen: Any) -> None:
    wait_for(port)
    memory = Memory(process)
    memory.start()
    raw, fed = [], []
    for _ in range(chosen.runs):
        raw.append(written_by_duckdb(path))
        fed.append(read_all(port))
    seconds, size = median(taken for taken, _ in fed), fed[0][1]
    print(f"DuckDB alone to a file: {chosen.rows / median(raw) / 1e6:.2f} M rows/s")
    print(f"OData JSON to a client: {chosen.rows / seconds / 1e6:.2f} M rows/s, {size / 1e6:.0f} MB, {median(raw) / seconds:.0%} of that rate")
    packed, small = read_all(port, {"Accept-Encoding": "gzip"})
    print(f"the same packed with gzip: {chosen.rows / packed / 1e6:.2f} M rows/s, {small / 1e6:.0f} MB")
    print(f"memory over idle ({memory.idle:.0f} MB): {memory.peak - memory.idle:.0f} MB")
    taken = read_days(port)
    print(f"a day of five years, {READERS} readers: median {median(taken) * 1000:.0f} ms, p95 {quantiles(taken, n=20)[18] * 1000:.0f} ms, {len(taken)} answers")
    memory.over = True
    print(f"memory over idle, readers too: {memory.peak - memory.idle:.0f} MB")


def wait_for(port: int) -> None:
    """Until the service document comes; the first request also verifies the version."""
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/odata/v4/fact?$top=1")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
