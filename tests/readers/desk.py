"""A published shop made by hand, and the feed over it on a port of its own: for tests of what readers get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import httpx

from pipeline.clock import Clock
from pipeline.feed.serving import Parts, Server, start
from pipeline.feed.users import UserFile
from pipeline.project.role import RoleFile
from pipeline.published import file_hash, point_to
from pipeline.settings import Settings, load_settings

SECRET = "sentinel-clear-mail"  # what only a role with clear personal data may ever see
HIDDEN = "sentinel-other-owner"  # a value of rows that the role of one owner may not see
PASSWORD = "a long enough password"
TABLES = {
    "dim_customers": (
        ["customer_key"],
        {},
        f"SELECT i::INTEGER AS customer_key, 'city ' || (i % 3) AS city, '{SECRET}' || i AS email, "
        "'***' || i AS email_masked FROM range(1, 21) r(i)",
    ),
    "fact_orders": (
        ["order_id"],
        {"customer_key": "gold.dim_customers.customer_key"},
        "SELECT i::BIGINT AS order_id, (i % 20 + 1)::INTEGER AS customer_key, DATE '2024-01-01' + (i % 90)::INTEGER AS "
        f"order_date, (i * 1.25)::DECIMAL(18,2) AS amount, CASE i % 2 WHEN 0 THEN 'anna' ELSE '{HIDDEN}' END AS owner, "
        "CASE i % 5 WHEN 0 THEN '=1+1' WHEN 1 THEN NULL ELSE 'plain' END AS note FROM range(1, 201) r(i)",
    ),
    "salaries": (["person"], {}, "SELECT i::INTEGER AS person, (1000 * i)::INTEGER AS secret_pay FROM range(1, 4) r(i)"),
}
PII = {("dim_customers", "email"): {"pii": "email"}, ("dim_customers", "email_masked"): {"pii": "email", "masked": True}}
ROLES = {
    "owner": RoleFile(tables=["fact_*", "gold.dim_customers"], rows={"fact_orders": "owner = $user"}),
    "narrow": RoleFile(tables=["fact_orders"], columns={"fact_orders": ["order_id", "amount"]}),
    "dpo": RoleFile(tables=["dim_customers"], pii="clear"),
}
USERS = {"root": "admin", "read": "reader", "anna": "owner", "slim": "narrow", "dpo": "dpo"}


def publish(published: Path, version: str, tables: dict[str, tuple[list[str], dict[str, str], str]] | None = None, parts: int = 1) -> None:
    """A version as the publisher writes it, and the pointer to it."""
    folder = published / version
    folder.mkdir(parents=True)
    entries = {name: _entry(folder, name, *what, parts) for name, what in (tables or TABLES).items()}
    manifest = {"version": version, "published_at": "2024-04-01T00:00:00Z", "run_id": 1, "tables": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    point_to(published, version)


def _entry(folder: Path, name: str, key: list[str], foreign: dict[str, str], select: str, parts: int) -> dict[str, Any]:
    files, connection = [], duckdb.connect()
    connection.execute(f"CREATE TABLE t AS {select}")
    names = [f"{name}.parquet"] if parts == 1 else [f"{name}.parquet/{number:04d}-1.parquet" for number in range(parts)]
    for number, file in enumerate(names):
        (folder / file).parent.mkdir(exist_ok=True)
        connection.execute(f"COPY (SELECT * FROM t WHERE rowid % {parts} = {number}) TO '{folder / file}' (FORMAT parquet)")
        files.append({"file": file, "sha256": file_hash(folder / file), "bytes": (folder / file).stat().st_size, "rows": 0})
    columns = connection.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't'").fetchall()
    return {
        "description": f"About {name}", "key": key, "business_key": key, "foreign_keys": foreign,
        "columns": [{"name": column, "type": kind, "description": "", **PII.get((name, column), {})} for column, kind in columns],
        "file": f"{name}.parquet", "files": files, "sha256": files[0]["sha256"] + ("" if parts == 1 else "joint"),
        "rows": connection.execute("SELECT count(*) FROM t").fetchall()[0][0], "bytes": sum(file["bytes"] for file in files),
    }  # fmt: skip


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))

    warning = error = info


class Desk:
    """A home with users of each role, and clients that are them."""

    def __init__(self, home: Path, **given: Any) -> None:
        self.home, self.log = home, Log()
        self.settings: Settings = replace(
            load_settings(home, home=home, given={}, environ={"GOLDFEED_HTTP_PORT": "0", "GOLDFEED_THREADS": "2"}), **given
        )
        self.published = self.settings.published
        self.users = UserFile(self.settings.secrets)
        self.server: Server | None = None

    def with_users(self, *names: str) -> Desk:
        for name in names or USERS:
            self.users.add(name, USERS[name], PASSWORD, Clock().now())
        return self

    @contextmanager
    def serving(self, parts: Parts | None = None) -> Iterator[Desk]:
        self.server = start(self.settings, parts or Parts(roles=lambda: ROLES), self.log)
        try:
            yield self
        finally:
            self.server.stop()

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    def client(self, name: str | None = None, password: str = PASSWORD, **more: Any) -> httpx.Client:
        auth = (name, password) if name else None
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=auth, timeout=30, trust_env=False, **more)

    def audit(self, kind: str = "reads") -> list[dict[str, Any]]:
        files = sorted(self.settings.audit.glob(f"{kind}-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]
