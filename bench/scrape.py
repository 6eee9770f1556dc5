"""What a scrape costs at 200 tables: `python -m bench.scrape`.

Processor time of the process, medians: while nothing changes (as between runs), at each scrape of a run in which a tenth
of the tables was done since the last one, and after a run. A ledger of 200 tables, 300 runs (60,000 tasks) and 600 checks a
run, written by hand; the runs that are scraped write what a run writes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pipeline.clock import Clock, utc_now
from pipeline.keeper import Keeper
from pipeline.log import logger
from pipeline.metrics.exporter import Exporter, metrics_server
from pipeline.metrics.live import Pulse
from pipeline.project.project import Project, load_project
from pipeline.warehouse.audits import CheckRecord, add_checks
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import (
    TableState,
    TaskRecord,
    finish_run,
    record_delivery,
    record_task,
    save_table,
    start_run,
)

TABLES, RUNS = 200, 300
SOURCE = 'description: x\nfiles: "s{n}*.csv"\nkey: [id]\ncolumns:\n  id: {{type: bigint}}\n'
MODEL = "/* ---\ndescription: x\nkey: [id]\n--- */\nSELECT id FROM bronze.s{n}\n"
LEDGER = (
    "INSERT INTO ledger.runs SELECT r, 'wide', 'succeeded', TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR, "
    "TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR + INTERVAL 90 SECOND, printf('%06d', r), NULL FROM range(1, {runs} + 1) t(r)",
    "INSERT INTO ledger.tasks SELECT r, 'build ' || n, split_part(n, '.', 1), n, 'succeeded', 1, 1000, 990, 10, 0, 0.2, "
    "TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR, NULL FROM range(1, {runs} + 1) t(r), unnest({names}) u(n)",
    "INSERT INTO ledger.tables SELECT n, 1, 'x', 1, 1000, 900, 90, 10, {runs}, TIMESTAMP '2024-01-01', NULL FROM unnest({names}) u(n)",
    "INSERT INTO ledger.checks (run_id, table_name, check_name, check_type, dimension, severity, outcome, seconds, "
    "rows_looked_at, checked_at) SELECT r, n, 'c' || d, 'missing', d, 'error', 'passed', 0.01, 'all', TIMESTAMP '2024-01-01' "
    "FROM range(1, {runs} + 1) t(r), unnest({names}) u(n), unnest(['accuracy', 'completeness', 'uniqueness']) v(d)",
    "INSERT INTO ledger.publications VALUES (1, '000001', 'publish', 1, '{{}}', TIMESTAMP '2024-01-01')",
)


def project_in(folder: Path) -> Project:
    """Forty sources and their tables: 200 in all."""
    (folder / "goldfeed.yml").write_text("name: wide\n")
    for layer in ("bronze", "silver", "gold"):
        (folder / "sql" / layer).mkdir(parents=True)
    for number in range(40):
        (folder / f"sql/bronze/s{number}.yml").write_text(SOURCE.format(n=number))
        for layer, many in (("silver", 2), ("gold", 2)):
            for part in range(many):
                (folder / f"sql/{layer}/t{number}_{part}.sql").write_text(MODEL.format(n=number))
    return load_project(folder, home=None, environ={"GOLDFEED_THREADS": "2"})


PART = TABLES // 10  # tables that are done between two scrapes of a run


class Wide:
    """The project, its warehouse in the service's keeper, and the page."""

    def __init__(self, folder: Path) -> None:
        self.project = project_in(folder)
        self.names = [*self.project.graph.sources, *self.project.graph.models]
        assert len(self.names) == TABLES
        self.keeper, self.run_id = Keeper(Clock()), RUNS
        with self.keeper.reading(self.project) as database:
            for statement in LEDGER:
                database.run(statement.format(runs=RUNS, names=self.names))
        pulse = Pulse(memory=self.keeper.memory)
        self.exporter = Exporter(lambda: self.project, lambda: self.keeper.reading(self.project, bare=True), pulse, Clock(), logger(), state=self.keeper.state)
        self.keeper.before_close = self.exporter.closing

    def settled(self) -> None:
        self.exporter.page()
        self.exporter.settle()

    def begin(self, database: Database) -> None:
        self.run_id = start_run(database, "wide", utc_now())

    def tables(self, database: Database, names: list[str]) -> None:
        """What a run writes of some tables: the task, the state, three checks, and a file if it is a source."""
        for name in names:
            layer, now = name.partition(".")[0], utc_now()
            with database.transaction():
                record_task(database, TaskRecord(self.run_id, f"build {name}", layer, name, "succeeded", 1, 10, 9, 1, 0, 0.2, now, None))
                save_table(database, TableState(name, self.run_id, "x", 1, 1000 + self.run_id, 900, 90, 10, self.run_id), {}, now)
                checks = [CheckRecord(d, "missing", d, "error", "passed", 1.0, "x", None, 0.01, "all") for d in ("accuracy", "completeness", "uniqueness")]
                add_checks(database, self.run_id, name, checks, now)
                if layer == "bronze":
                    record_delivery(database, self.run_id, "x", None, "loaded", now)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        wide = Wide(Path(name))
        first = _cost(wide.settled)
        page = wide.exporter.page()
        print(f"{TABLES} tables, {RUNS * TABLES:,} tasks: {page.count(b'{') + 40:,} series, {len(page):,} bytes, {os.cpu_count()} cores; the first {first * 1000:.0f} ms")
        idle = [_cost(wide.exporter.page) for _ in range(50)]
        busy, after, closing = list[float](), list[float](), list[float]()
        for _ in range(6):
            with wide.keeper.writing(wide.project) as database:
                wide.begin(database)
                for place in range(0, TABLES, PART):
                    wide.tables(database, wide.names[place : place + PART])
                    busy.append(_cost(wide.exporter.page))
                finish_run(database, wide.run_id, "succeeded", utc_now(), None, None)
                with wide.keeper.lingering():
                    closing.append(_cost(lambda: wide.exporter.closing(database, None)))
            after.append(_cost(wide.exporter.page))
        print(f"between runs: {median(idle) * 1000:.1f} ms of CPU a scrape")
        print(f"in a run, {PART} tables later: {median(busy) * 1000:.1f} ms, {max(busy) * 1000:.1f} at most")
        print(f"after a run: {median(after) * 1000:.1f} ms, and {median(closing) * 1000:.1f} ms for the last look before the file is closed")
        print(f"over HTTP, between runs: {_over_http(wide.exporter) * 1000:.1f} ms")


def _cost(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _over_http(exporter: Exporter, times: int = 50) -> float:
    """Of this process, which answers; who asks is another one."""
    server = metrics_server(exporter, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = f"import urllib.request as r\nfor _ in range({times}): r.urlopen('http://127.0.0.1:{server.server_port}/metrics').read()"
    began = time.process_time()
    subprocess.run([sys.executable, "-c", ask], check=True)
    spent = (time.process_time() - began) / times
    server.shutdown()
    return spent


if __name__ == "__main__":
    main()
