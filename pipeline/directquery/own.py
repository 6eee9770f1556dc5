"""The feed's own tables, `_feed` and `_freshness`, from a published version."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from pipeline.feed.catalog import catalog_of
from pipeline.feed.freshness import Freshness
from pipeline.feed.snapshot import Snapshot
from pipeline.powerbi.trust import FEED, FRESHNESS, own_columns
from pipeline.settings import Settings

Rows = list[tuple[Any, ...]]


def own_tables(snapshot: Snapshot, settings: Settings) -> dict[str, tuple[list[dict[str, str]], Rows]]:
    """Name -> columns (name, type) and rows."""
    catalog = catalog_of(snapshot.manifest)
    freshness = [astuple(row) for row in Freshness(settings).tables(snapshot, catalog)]
    rows: dict[str, Rows] = {FEED: [(snapshot.version, catalog.published_at.removesuffix("Z"))], FRESHNESS: freshness}
    return {name: (own_columns(name), found) for name, found in rows.items()}
