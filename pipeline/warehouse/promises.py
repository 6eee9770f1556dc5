"""Promises in the ledger: of when what readers see is, and which promises were not kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.warehouse.database import Database

OPEN = "kept_at IS NULL AND kind <> 'sla'"  # of ledger.misses: what is broken now


@dataclass(frozen=True)
class Miss:
    """A promise that was not kept. `kind`: sla, freshness or deadline; without a table it is the run's.

    `told`: people were told of it. `details` is one sentence.
    """

    kind: str
    flow: str
    table: str | None
    due_at: datetime
    details: str
    told: bool = True
    run_id: int | None = None


def seen_as_of(database: Database, version: str | None) -> dict[str, datetime]:
    """gold table -> when readers' state of it was last brought up to date, in the version that they see (UTC)."""
    found = database.rows(
        "SELECT tables, published_at FROM ledger.publications WHERE version = ? AND tables <> '{}' "
        "ORDER BY publication_id DESC LIMIT 1",
        [version],
    )
    if not found:
        return {}
    tables, published_at = found[0]
    built = database.rows("SELECT table_name, version, built_at FROM ledger.tables")
    return as_of(json.loads(tables), published_at, {name: (number, at) for name, number, at in built})


def as_of(
    tables: Mapping[str, int], published_at: datetime, built: Mapping[str, tuple[int, datetime]]
) -> dict[str, datetime]:
    """When each table of a version was brought up to date: when it was built, or published if it has changed since."""
    found: dict[str, datetime] = {}
    for name, number in tables.items():
        held, at = built.get(name, (None, published_at))
        found[name] = at if held == number else published_at
    return found


def watched_since(database: Database) -> dict[str, datetime]:
    """flow -> when its schedule was first watched."""
    return dict(database.rows("SELECT flow, min(due_at) FROM ledger.due GROUP BY flow"))


def open_misses(database: Database) -> list[Miss]:
    """What is still not fresh, and the deadlines after which the data have not come yet."""
    found = database.rows(
        "SELECT kind, flow, table_name, due_at, details, told, run_id FROM ledger.misses "
        f"WHERE {OPEN} ORDER BY due_at, table_name"
    )
    return [Miss(*row) for row in found]


def note_misses(database: Database, misses: Sequence[Miss], now: datetime) -> None:
    """Write down promises that were not kept."""
    rows = [(m.kind, m.flow, m.table, m.due_at, now, m.told, m.run_id, m.details) for m in misses]
    database.insert_many(
        "INSERT INTO ledger.misses SELECT kind, flow, table_name, due_at, noted_at, told, NULL, run_id, details FROM",
        ("kind", "flow", "table_name", "due_at", "noted_at", "told", "run_id", "details"),
        rows,
    )


def known_misses(database: Database) -> set[tuple[str, str | None, datetime]]:
    """(kind, table, due) of the misses that were noted."""
    return set(database.rows("SELECT kind, table_name, due_at FROM ledger.misses WHERE kind <> 'sla'"))


def mend(database: Database, misses: Iterable[Miss], now: datetime) -> None:
    """What was missed is there now."""
    for miss in misses:
        database.run(
            "UPDATE ledger.misses SET kept_at = ? WHERE kind = ? AND table_name IS NOT DISTINCT FROM ? AND due_at = ?",
            [now, miss.kind, miss.table, miss.due_at],
        )
