"""Files over HTTP: `python -m bench.files --nginx /usr/sbin/nginx` compares with nginx, `--slowdown` with a run beside.

The first serves one Parquet file of 5,000,000 rows of 12 columns by the feed and by nginx (sendfile on, Debian's package) to
the same client, in turns, and prints the ratio of the medians. The second measures a whole rebuild in the process that
serves, alone and while one reader downloads without a pause.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import duckdb

from bench.common import MEMORY_LIMIT, ROOT, THREADS, WORK, measured
from pipeline.clock import Clock
from pipeline.demo import write_shop
from pipeline.feed.serving import Parts, start
from pipeline.feed.users import UserFile
from pipeline.log import logger
from pipeline.project.project import load_project
from pipeline.published import file_hash, point_to
from pipeline.runner import execute, open_warehouse
from pipeline.settings import Settings, load_settings
from pipeline.situation import Order

PASSWORD = "a long enough password"
FACT = (
    "SELECT i AS order_id, (i * 7919 % 200000)::INTEGER AS customer_key, (i * 104729 % 5000)::INTEGER AS product_key, "
    "DATE '2020-01-01' + (i // 2740)::INTEGER AS order_date, TIMESTAMP '2020-01-01' + to_seconds(i * 31) AS ordered_at, "
    "(i % 7 + 1)::INTEGER AS quantity, (i % 9973 / 100.0)::DECIMAL(18,2) AS price, (i % 997 / 100.0)::DECIMAL(18,2) AS tax, "
    "(i % 11)::DOUBLE / 100 AS discount, ['created', 'paid', 'shipped'][(i % 3 + 1)::INTEGER] AS status, "
    "i % 10 = 0 AS returned, 'note ' || (i % 1000) AS note FROM range({rows}) r(i)"
)


def publish(published: Path, rows: int) -> Path:
    """One table in one file, as a version. Returns the file."""
    folder = published / "000001"
    folder.mkdir(parents=True)
    path = folder / "fact.parquet"
    connection = duckdb.connect(config={"memory_limit": "2GB"})
    connection.execute(
        f"COPY ({FACT.format(rows=rows)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )
    columns = connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    entry = {
        "description": "A fact", "key": ["order_id"], "foreign_keys": {}, "file": "fact.parquet", "rows": rows,
        "sha256": file_hash(path), "bytes": path.stat().st_size,
        "columns": [{"name": column[0], "type": column[1], "description": ""} for column in columns],
    }  # fmt: skip
    manifest = {"version": "000001", "published_at": "2024-01-01T00:00:00Z", "tables": {"fact": entry}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    point_to(published, "000001")
    return path


def settings_of(home: Path) -> Settings:
    """Settings of a home, on a port of its own, with one user."""
    given = {"memory_limit": MEMORY_LIMIT, "threads": str(THREADS)}
    settings = load_settings(home, home=home, given=given, environ={"GOLDFEED_HTTP_PORT": "0"})
    UserFile(settings.secrets).add("bench", "admin", PASSWORD, Clock().now())
    return settings


def serve(home: Path) -> None:
    """Serve a home until standard input ends; print the port."""
    server = start(settings_of(home), Parts(), logger())
    print(server.port, flush=True)
    sys.stdin.read()
    server.stop()


def fetched(port: int, path: str) -> float:
    """Download once with plain sockets and throw the bytes away. Returns bytes a second."""
    login = base64.b64encode(f"bench:{PASSWORD}".encode()).decode()
    buffer = bytearray(1 << 20)
    began, got = time.perf_counter(), 0
    with closing(socket.create_connection(("127.0.0.1", port))) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n".encode())
        while count := one.recv_into(buffer):
            got += count
    assert buffer[:12] != b"HTTP/1.1 401"
    return got / (time.perf_counter() - began)


def against_nginx(nginx: str, rows: int, times: int) -> None:
    """The same file by both, in turns."""
    home = WORK / "files"
    shutil.rmtree(home, ignore_errors=True)
    file = publish(home / "published", rows)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    (home / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/nginx.log; events {{}}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen 127.0.0.1:{port}; root {file.parent}; }} "
        + "".join(f"{name}_temp_path {home}/tmp; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + "}\n"
    )
    other = subprocess.Popen([nginx, "-e", str(home / "nginx.log"), "-c", str(home / "nginx.conf"), "-p", str(home)])
    ours = subprocess.Popen(
        [sys.executable, "-m", "bench.files", "--serve", str(home)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert ours.stdout is not None
        own = int(ours.stdout.readline())
        for _ in range(2):
            fetched(own, "/files/fact.parquet"), fetched(port, "/fact.parquet")
        pairs = [(fetched(own, "/files/fact.parquet"), fetched(port, "/fact.parquet")) for _ in range(times)]
        feed, peer = (median(rates) / 1e6 for rates in zip(*pairs, strict=True))
        print(f"{file.stat().st_size / 1e6:.0f} MB, {times} times: feed {feed:,.0f} MB/s, nginx {peer:,.0f} MB/s, ratio {feed / peer:.2f}")
    finally:
        for process in (ours, other):
            process.terminate()
            process.wait()
        shutil.rmtree(home)


# ---------------------------------------------------------------- a reader beside a run
def read_on(port: int) -> None:
    """Download everything there is, in every format, again and again."""
    tables = ("fact_orders", "fact_order_items", "dim_customers", "mart_daily_kpis")
    while True:
        for table in tables:
            for kind in ("parquet", "csv", "arrow"):
                with suppress(OSError):
                    fetched(port, f"/files/{table}.{kind}")


def rebuild(home: Path, reader: bool) -> None:
    """A whole rebuild in a process that serves too; prints its seconds."""
    project = load_project(ROOT, home=home, environ={})
    settings = replace(settings_of(home), http_port=0)
    server = start(settings, Parts(), logger())
    reading = multiprocessing.get_context("fork").Process(target=read_on, args=(server.port,), daemon=True)
    if reader:
        reading.start()
        time.sleep(3)
    began = time.monotonic()
    database = open_warehouse(project, Clock())
    execute(project, database, Order(full_refresh=True))
    database.close()
    print(f"took {time.monotonic() - began:.2f}")
    if reader:
        reading.kill()
    server.stop()


def slowdown(orders: int, times: int) -> None:
    """The rebuild alone and beside a reader, in turns."""
    home = WORK / "slowdown"
    shutil.rmtree(home, ignore_errors=True)
    write_shop(home / "landing", orders=orders, days=30, seed=5, dirty=0.01)
    measured(["-m", "pipeline.cli", "--home", str(home), "run", "--quiet"])
    took: dict[str, list[float]] = {"alone": [], "beside": []}
    for _ in range(times):
        for name, seconds in took.items():
            said = measured(["-m", "bench.files", "--rebuild", str(home), *(["--reader"] if name == "beside" else [])])
            seconds.append(float(said.output.split("took ")[1].split()[0]))
    alone, beside = median(took["alone"]), median(took["beside"])
    print(f"{orders:,} orders rebuilt: alone {alone:.1f} s, beside one reader {beside:.1f} s: {beside / alone - 1:+.0%}")
    shutil.rmtree(home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nginx")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--slowdown", action="store_true")
    parser.add_argument("--orders", type=int, default=400_000)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--rebuild", type=Path)
    parser.add_argument("--reader", action="store_true")
    wanted = parser.parse_args()
    if wanted.serve:
        serve(wanted.serve)
    elif wanted.rebuild:
        rebuild(wanted.rebuild, wanted.reader)
    if wanted.nginx:
        against_nginx(wanted.nginx, wanted.rows, wanted.times)
    if wanted.slowdown:
        slowdown(wanted.orders, min(wanted.times, 3))


if __name__ == "__main__":
    main()
