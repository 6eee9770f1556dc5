"""The feed's own tables: `_feed`, the version and what the last runs say of it; `_freshness`, a row for each table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pipeline.feed.catalog import Catalog
from pipeline.feed.freshness import Freshness
from pipeline.feed.odata.model import Entity, Navigation, Property
from pipeline.feed.odata.types import INT64, MOMENT, STRING, Type
from pipeline.feed.snapshot import Snapshot
from pipeline.sql import literal, quoted

FEED, FRESHNESS = "_feed", "_freshness"
_FEED: dict[str, tuple[Type, str]] = {
    "version": (STRING, "The published version"),
    "published_at": (MOMENT, "When it was published (UTC)"),
    "contract_status": (
        STRING,
        "kept: all checks held; withheld: a newer state failed its checks and was not published",
    ),
    "withheld_at": (MOMENT, "When the newest state was withheld (UTC)"),
    "last_run": (STRING, "How the last run ended"),
    "last_run_at": (MOMENT, "When it ended (UTC)"),
    "last_good_run_at": (MOMENT, "When the last good run ended (UTC)"),
    "checks_failed": (INT64, "Checks that failed when they were last made, in all tables"),
    "rows_quarantined": (INT64, "Rows set aside, each counted once"),
}
_FRESHNESS: dict[str, tuple[Type, str]] = {
    "table": (STRING, "The table"),
    "version": (STRING, "The published version"),
    "built_at": (MOMENT, "When it was built (UTC)"),
    "data_through": (STRING, "The last day or time its rows speak of (UTC)"),
    "last_good_run": (MOMENT, "When the last good run ended (UTC)"),
    "checks_failed": (INT64, "Checks that failed on its way"),
    "rows_quarantined": (INT64, "Rows set aside on its way"),
}


def own_entities() -> dict[str, Entity]:
    """Both, as entity sets linked by the version; their rows are the first two values of every statement."""
    feed = _entity(FEED, "version", _FEED, 1, "The version that is shown, and whether a newer one is withheld")
    tables = _entity(FRESHNESS, "table", _FRESHNESS, 2, "Each table: how fresh it is, and how its checks went")
    there = Navigation("tables", FRESHNESS, True, "version", "version", "feed")
    back = Navigation("feed", FEED, False, "version", "version", "tables")
    return {
        FEED: replace(feed, navigations={there.name: there}),
        FRESHNESS: replace(tables, navigations={back.name: back}),
    }


def _entity(name: str, key: str, columns: dict[str, tuple[Type, str]], place: int, text: str) -> Entity:
    kinds = json.dumps([{column: kind.sql for column, (kind, _) in columns.items()}])
    names = ", ".join(f"item.{quoted(column)}" for column in columns)
    relation = f"(SELECT {names} FROM (SELECT unnest(from_json(${place}, {literal(kinds)})) AS item))"
    properties = {
        column: Property(column, column, kind, column != key, description)
        for column, (kind, description) in columns.items()
    }
    return Entity(name, relation, (key,), properties, text, given=True)


def own_rows(freshness: Freshness, snapshot: Snapshot, catalog: Catalog) -> tuple[str, str]:
    """The rows of both as JSON. Runs queries, once a version: call it in a thread."""
    tables = [row.as_dict() for row in freshness.tables(snapshot, catalog)]
    return json.dumps([_word(freshness.word(), snapshot)]), json.dumps(tables)


def _word(state: dict[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    last, good, withheld = (state.get(name) or {} for name in ("last_run", "last_good_run", "withheld"))
    return {
        "version": snapshot.version,
        "published_at": str(snapshot.manifest["published_at"]).removesuffix("Z"),
        "contract_status": "withheld" if withheld else "kept",
        "withheld_at": withheld.get("ended_at"),
        "last_run": last.get("status"),
        "last_run_at": last.get("ended_at"),
        "last_good_run_at": good.get("ended_at"),
        "checks_failed": state.get("checks_failed"),
        "rows_quarantined": state.get("rows_quarantined"),
    }
