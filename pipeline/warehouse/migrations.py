"""The schema of the warehouse: brought up to date step by step; of another goldfeed, refused."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from importlib.resources import files

from pipeline.errors import PermanentError
from pipeline.warehouse.database import Database

LAYERS = ("bronze", "silver", "gold")
SCHEMAS = ("schema.sql", "promises.sql", "quality.sql", "tables.sql")  # their migrations are applied by number


def migrate(database: Database, now: datetime) -> None:
    """Bring the schema up to date; a migration and its record share one transaction.

    Raises PermanentError when the warehouse was made by a newer goldfeed.
    """
    steps, done = migrations(), refuse_newer(database)
    for number in range(done + 1, len(steps) + 1):
        with database.transaction():
            if number == 1:
                for schema in (*LAYERS, "ledger"):
                    database.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                database.run(
                    "CREATE TABLE ledger.migrations (migration INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)"
                )
            for statement in steps[number - 1]:
                database.run(statement)
            database.run("INSERT INTO ledger.migrations VALUES (?, ?)", [number, now])
    if done < len(steps):
        database.checkpoint()


def refuse_newer(database: Database) -> int:
    """The number of the last migration that was applied. Raises PermanentError when this goldfeed does not know it."""
    done, known = _applied(database), len(migrations())
    if done > known:
        raise PermanentError(
            f"the warehouse has schema {done} but this goldfeed knows only {known}",
            where=str(database.path),
            do="use the newer goldfeed that made it",
        )
    return done


def refuse_other(database: Database) -> None:
    """For who only reads, and so cannot bring it up to date. Raises PermanentError unless the schema is today's."""
    done = refuse_newer(database)
    if done < len(migrations()):
        raise PermanentError(
            f"an older goldfeed made this warehouse: it has schema {done}, not {len(migrations())}",
            where=str(database.path),
            do="type `goldfeed run` to bring it up to date",
        )


@cache
def migrations() -> tuple[tuple[str, ...], ...]:
    """The statements of each migration, the first one first."""
    text = "\n".join((files("pipeline.warehouse") / name).read_text(encoding="utf-8") for name in SCHEMAS)
    _, *parts = re.split(r"^-- migration (\d+):.*$", text, flags=re.M)
    blocks = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))  # by number: whichever file a new one stands in
    return tuple(
        tuple(part.strip() for part in blocks[number].split(";") if part.strip()) for number in sorted(blocks)
    )


def _applied(database: Database) -> int:
    if not database.has("ledger", "migrations"):
        return 0
    return int(database.value("SELECT coalesce(max(migration), 0) FROM ledger.migrations"))
