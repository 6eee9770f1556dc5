"""The feed's own tables, `_feed` and `_freshness`, from a published version."""

from __future__ import annotations

import json
from typing import Any

from pipeline.feed.catalog import catalog_of
from pipeline.feed.freshness import Freshness
from pipeline.feed.odata.own import own_rows
from pipeline.feed.snapshot import Snapshot
from pipeline.powerbi.trust import FEED, FRESHNESS, own_columns
from pipeline.settings import Settings

Rows = list[tuple[Any, ...]]


def own_tables(snapshot: Snapshot, settings: Settings) -> dict[str, tuple[list[dict[str, str]], Rows]]:
    """Name -> columns (name, type) and rows, those that the model shows."""
    given = own_rows(Freshness(settings), snapshot, catalog_of(snapshot.manifest))
    result = {}
    for name, text in zip((FEED, FRESHNESS), given, strict=True):
        columns = own_columns(name)
        result[name] = (columns, [tuple(row[column["name"]] for column in columns) for row in json.loads(text)])
    return result
