"""The feed's own tables, `_feed` and `_freshness`, from a published version."""

from __future__ import annotations

from typing import Any

from pipeline.feed.snapshot import Snapshot
from pipeline.powerbi.trust import FEED, FRESHNESS, own_columns
from pipeline.sql import quoted

Rows = list[tuple[Any, ...]]


def own_tables(snapshot: Snapshot) -> dict[str, tuple[list[dict[str, str]], Rows]]:
    """Name -> columns (name, type) and rows."""
    published_at = str(snapshot.manifest["published_at"]).removesuffix("Z")
    freshness = [
        (name, snapshot.version, published_at, _data_through(snapshot, name, table), None, 0, 0)
        for name, table in snapshot.manifest["tables"].items()
    ]
    rows: dict[str, Rows] = {FEED: [(snapshot.version, published_at)], FRESHNESS: list(freshness)}
    return {name: (own_columns(name), found) for name, found in rows.items()}


def _data_through(snapshot: Snapshot, name: str, table: dict[str, Any]) -> str | None:
    """The latest value of the first date or time."""
    column = next((c["name"] for c in table["columns"] if c["type"].startswith(("DATE", "TIMESTAMP"))), None)
    if column is None:
        return None
    rows = snapshot.query(f"SELECT CAST(max({quoted(column)}) AS VARCHAR) FROM {quoted(name)}")[1]
    return None if rows[0][0] is None else str(rows[0][0])
