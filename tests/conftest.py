"""Small shops for the tests: write files, run the pipeline, ask the tables."""

from __future__ import annotations

import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pipeline.clock import Clock
from pipeline.commands.base import writing
from pipeline.feed.snapshot import open_snapshot
from pipeline.project.project import Project, load_project
from pipeline.results import RunResult
from pipeline.runner import Order, execute, open_warehouse

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_DATA = Path(os.environ.get("GOLDFEED_SAMPLE_DATA", "/nonexistent"))
needs_sample_data = pytest.mark.skipif(not SAMPLE_DATA.is_dir(), reason="GOLDFEED_SAMPLE_DATA is not set")

ORDERS_YML = """
description: Orders as exported by the shop
files: "orders*.csv*"
key: [order_id]
latest_by: [updated_at]
columns:
  order_id:    {type: varchar}
  customer_id: {type: varchar, from: [customer]}
  status:      {type: varchar}
  amount:      {type: "decimal(18,2)"}
  updated_at:  {type: timestamp}
"""
SILVER_ORDERS = """/* ---
description: One row per order, the latest version of it.
kind: upsert
key: [order_id]
rules:
  known_status: status IN ('created', 'paid', 'shipped')
--- */
SELECT order_id, customer_id, lower(trim(status)) AS status, amount, updated_at FROM bronze.orders
"""
GOLD_TOTALS = """/* ---
description: Orders and money by status.
key: [status]
--- */
SELECT status, count(*) AS orders, sum(amount) AS amount FROM silver.orders GROUP BY status
"""
SAME_KEY = "5a" * 32
HEADER = "order_id,customer_id,status,amount,updated_at"


def token(text: str, key: str = SAME_KEY) -> str:
    """What pii_token must make of a text, by Python's own HMAC."""
    return hmac.digest(bytes.fromhex(key), text.encode(), "sha256").hex()


class Shop:
    """A project in a folder of its own, and its home."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.folder, self.home = folder, home or folder / "data"
        self.environ = {"GOLDFEED_SETTLE_SECONDS": "0", "GOLDFEED_THREADS": "2", "GOLDFEED_METRICS_PORT": "0"}
        self.use_key(SAME_KEY)

    def use_key(self, key: str) -> None:
        """The key of the tokens; all shops have the same, so that their tables can be compared."""
        path = self.home / "secrets/pii.key"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)

    def write(self, path: str, text: str) -> Path:
        """Write a project file, e.g. sql/silver/orders.sql."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text), encoding="utf-8")
        return target

    def drop(self, name: str, content: str | bytes) -> Path:
        """Drop a file into landing/."""
        target = self.home / "landing" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def drop_orders(self, name: str, *rows: str) -> Path:
        """Drop an orders file with the usual header."""
        return self.drop(name, "\n".join([HEADER, *rows]) + "\n")

    def project(self) -> Project:
        return load_project(self.folder, home=self.home, environ=self.environ)

    def run(self, order: Order | None = None, clock: Clock | None = None) -> RunResult:
        """One run in this process."""
        project = self.project()
        database = open_warehouse(project, clock or Clock())
        try:
            return execute(project, database, order or Order(), clock=clock)
        finally:
            database.close()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the published tables."""
        return open_snapshot(self.project().settings).query(sql)[1]

    def warehouse(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask bronze, silver, gold or ledger."""
        with writing(self.project(), wait=20) as database:  # a service may have it open for a moment
            return database.rows(sql)

    def quarantine(self) -> list[tuple[Any, ...]]:
        """(source, line, reason, raw) of all rows set aside, in order."""
        return self.warehouse("SELECT source, line, reason, raw FROM ledger.quarantine ORDER BY quarantine_id")

    def cli(self, *words: str, env: dict[str, str] | None = None, check: bool = False) -> subprocess.CompletedProcess[str]:
        """The real command in a process of its own."""
        return subprocess.run(self.words(*words), capture_output=True, text=True, check=check, cwd=ROOT, env=self.env(env))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The real command, not waited for."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.words(*words), stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=self.env(None))

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", "--project", str(self.folder), "--home", str(self.home), *words]

    def env(self, more: dict[str, str] | None) -> dict[str, str]:
        return {**os.environ, **self.environ, "PYTHONPATH": str(ROOT), **(more or {})}

    def cli_json(self, *words: str) -> Any:
        """What a command prints with --json."""
        done = self.cli(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test begins first, so that the others run beside it."""
    items.sort(key=lambda item: "over_305_runs" not in item.name)


def tiny(folder: Path, home: Path | None = None) -> Shop:
    """A tiny shop: one source, one silver and one gold table."""
    made = Shop(folder, home)
    made.write("goldfeed.yml", "name: tiny\n")
    made.write("sql/bronze/orders.yml", ORDERS_YML)
    made.write("sql/silver/orders.sql", SILVER_ORDERS)
    made.write("sql/gold/totals.sql", GOLD_TOTALS)
    return made


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return tiny(tmp_path / "shop")


@pytest.fixture
def real_shop(tmp_path: Path) -> Callable[[Path], Shop]:
    """A shop that ships (the repository itself or one of examples/), with a home of its own."""

    def make(folder: Path) -> Shop:
        return Shop(folder, tmp_path / "home")

    return make
