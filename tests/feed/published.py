"""Published versions made by hand, and the feed over them, for the tests of the read side."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.feed.app import Feed, build_app
from pipeline.feed.catalog import Role
from pipeline.feed.library import Library
from pipeline.feed.odata.routes import routes
from pipeline.feed.work import Limits, Work
from pipeline.published import file_hash, point_to
from pipeline.settings import load_settings
from pipeline.sql import literal


class Everybody:
    """Gives every request this role."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app, self._role = app, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["role"] = self._role
        await self._app(scope, receive, send)


class Published:
    """A home with versions; `publish` writes the next."""

    def __init__(self, home: Path) -> None:
        self.settings = load_settings(home, home=home, given={}, environ={"GOLDFEED_THREADS": "2"})
        self.settings.published.mkdir(parents=True, exist_ok=True)
        self.library = Library(self.settings)
        self._last = 0

    def publish(self, tables: dict[str, dict[str, Any]]) -> str:
        """`tables`: name -> {sql, key, foreign_keys, description, columns (descriptions)}. Gives the version."""
        self._last += 1
        version = f"{self._last:06d}"
        folder = self.settings.published / version
        folder.mkdir()
        with duckdb.connect() as connection:
            entries = {name: self._write(connection, folder, name, table) for name, table in tables.items()}
        manifest = {"version": version, "published_at": f"2024-05-0{self._last % 9 + 1}T06:00:00Z", "tables": entries}
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        point_to(self.settings.published, version)
        return version

    @staticmethod
    def _write(connection: Any, folder: Path, name: str, table: dict[str, Any]) -> dict[str, Any]:
        path = folder / f"{name}.parquet"
        connection.execute(f"COPY ({table['sql']}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(str(path))})").fetchall()
        rows = connection.execute(f"SELECT count(*) FROM read_parquet({literal(str(path))})").fetchone()[0]
        texts = table.get("columns", {})
        return {
            "description": table.get("description", ""),
            "key": table.get("key", []),
            "foreign_keys": table.get("foreign_keys", {}),
            "rows": rows,
            "columns": [{"name": row[0], "type": row[1], "description": texts.get(row[0], "")} for row in described],
            "file": path.name,
            "sha256": file_hash(path),
        }

    def app(self, role: Role = lambda catalog: catalog, limits: Limits | None = None) -> Starlette:
        """The feed; everybody has this role."""
        app = build_app(Feed(self.settings, self.library, Work(limits)), routes())

        app.add_middleware(Everybody, role=role)
        return app


SHOP: dict[str, dict[str, Any]] = {
    "dim_customers": {
        "description": "Customers, one row per version",
        "key": ["customer_key"],
        "columns": {"country": "Two letters"},
        "sql": """SELECT i::INTEGER AS customer_key, 'C' || i AS customer_id,
                  CASE WHEN i % 5 = 4 THEN NULL ELSE ['DE', 'FR', 'GB', 'IT'][1 + i % 5] END AS country,
                  ['Ann_a', 'O''Neil', '100%', 'Zoë "Z"', 'plain'][1 + i % 5] AS name,
                  (i * 100.5)::DECIMAL(18,2) AS credit FROM range(10) t(i)""",
    },
    "dim_date": {
        "description": "Days",
        "key": ["date"],
        "sql": """SELECT DATE '2024-01-01' + i::INTEGER AS date, month(DATE '2024-01-01' + i::INTEGER)::INTEGER AS month
                  FROM range(60) t(i)""",
    },
    "fact_orders": {
        "description": "Orders & their <money>",
        "key": ["order_id"],
        "foreign_keys": {"customer_key": "gold.dim_customers.customer_key", "order_date": "gold.dim_date.date"},
        "columns": {"total": "Items plus freight"},
        "sql": """SELECT format('O{:04d}', i) AS order_id, (i * 7 % 10)::INTEGER AS customer_key,
                  DATE '2024-01-01' + (i % 50)::INTEGER AS order_date,
                  TIMESTAMP '2024-01-01 00:00:00' + INTERVAL (i * 31) MINUTE + INTERVAL (i % 3 * 250) MILLISECOND AS ordered_at,
                  ['created', 'paid', 'shipped', NULL][1 + i % 4] AS status, (i % 9 + 1)::INTEGER AS quantity,
                  (i * 37 % 1000 / 100)::DECIMAL(18,2) AS total, CASE WHEN i % 6 = 5 THEN NULL ELSE i % 2 = 0 END AS is_gift,
                  CASE WHEN i % 7 = 6 THEN NULL ELSE i / 8.0 END::DOUBLE AS score FROM range(200) t(i)""",
    },
    "fact_lines": {
        "description": "Lines of orders",
        "key": ["order_id", "line"],
        "foreign_keys": {"order_id": "gold.fact_orders.order_id"},
        "sql": """SELECT format('O{:04d}', i // 3) AS order_id, (i % 3 + 1)::SMALLINT AS line, 'P' || (i % 11) AS product,
                  (i % 4)::INTEGER AS pieces, (i * 13 % 500 / 100)::DECIMAL(9,2) AS price FROM range(300) t(i)""",
    },
    "log_events": {
        "description": "Without a key",
        "sql": "SELECT ['b', 'a', 'b'][1 + i % 3] AS what, i::INTEGER AS n FROM range(25) t(i)",
    },
}  # fmt: skip


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of the application on a real socket."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def client(app: Starlette) -> httpx.AsyncClient:
    """A client in this process, without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://feed")
