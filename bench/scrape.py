"""What a scrape costs at 200 tables: `python -m bench.scrape`.

Processor time of the process, median of 50: while nothing changes (as between runs), and when the ledger has changed
(as at each scrape of a run). A ledger of 200 tables, 300 runs (60,000 tasks) and 500 checks a run, written by hand.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from pipeline.clock import Clock, utc_now
from pipeline.log import logger
from pipeline.metrics.exporter import Exporter
from pipeline.metrics.live import Pulse
from pipeline.project.project import Project, load_project
from pipeline.runner import open_warehouse
from pipeline.warehouse.database import Database

TABLES, RUNS = 200, 300
SOURCE = 'description: x\nfiles: "s{n}*.csv"\nkey: [id]\ncolumns:\n  id: {{type: bigint}}\n'
MODEL = "/* ---\ndescription: x\nkey: [id]\n--- */\nSELECT id FROM bronze.s{n}\n"
LEDGER = (
    "INSERT INTO ledger.runs SELECT r, 'wide', 'succeeded', TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR, "
    "TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR + INTERVAL 90 SECOND, printf('%06d', r), NULL FROM range(1, {runs} + 1) t(r)",
    "INSERT INTO ledger.tasks SELECT r, 'build ' || n, split_part(n, '.', 1), n, 'succeeded', 1, 1000, 990, 10, 0, 0.2, "
    "TIMESTAMP '2024-01-01' + INTERVAL (r) HOUR, NULL FROM range(1, {runs} + 1) t(r), unnest({names}) u(n)",
    "INSERT INTO ledger.tables SELECT n, 1, 'x', 1, 1000, 900, 90, 10, {runs}, TIMESTAMP '2024-01-01' FROM unnest({names}) u(n)",
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


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        project = project_in(Path(name))
        names = [*project.graph.sources, *project.graph.models]
        assert len(names) == TABLES
        database = open_warehouse(project, Clock())
        for statement in LEDGER:
            database.run(statement.format(runs=RUNS, names=names))

        @contextmanager
        def reading() -> Iterator[Database]:
            connection = database.another()
            try:
                yield connection
            finally:
                connection.close()

        exporter = Exporter(lambda: project, reading, Pulse(), Clock(), logger())
        page = exporter.page()
        print(f"{TABLES} tables, {RUNS * TABLES:,} tasks: {page.count(b'{') + 40:,} series, {len(page):,} bytes, {os.cpu_count()} cores")
        print(f"nothing has changed: {_cost(exporter, lambda: None) * 1000:.1f} ms of CPU a scrape")
        change = "INSERT INTO ledger.deliveries VALUES (1, 'x', NULL, 'loaded', NULL, NULL, ?)"
        print(f"the ledger has changed: {_cost(exporter, lambda: database.run(change, [utc_now()])) * 1000:.1f} ms of CPU a scrape")
        database.close()


def _cost(exporter: Exporter, before: Callable[[], None]) -> float:
    spent = []
    for _ in range(50):
        before()
        began = time.process_time()
        exporter.page()
        spent.append(time.process_time() - began)
    return median(spent)


if __name__ == "__main__":
    main()
