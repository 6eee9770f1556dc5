"""Connections of the engine to the warehouse, which is attached to each under one name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import PermanentError
from pipeline.settings import Settings
from pipeline.sql import literal

MINIMUM = (2, 0, 0)
CATALOG = "warehouse"
# half of the engine's own: it packs the last group of a table anew whenever rows are added, and holds several while a table
# is written (200,000 orders: 35 to 50 MB less and about 4% less time; the file grows by 3 to 8%)
GROUP_ROWS = 61_440


def connected(settings: Settings, path: Path | None, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a warehouse file, creating it if need be; without a path one in memory. Raises duckdb.Error."""
    config: dict[str, Any] = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "preserve_insertion_order": False,
        "temp_directory": str(settings.scratch / "spill"),
        "wal_autocheckpoint": "256MB",  # one checkpoint a run does; the default of 16 MB puts one into a day's update
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=config)
    place, options = ":memory:" if path is None else str(path), "READ_ONLY" if read_only else f"ROW_GROUP_SIZE {GROUP_ROWS}"
    try:
        connection.execute(f"ATTACH {literal(place)} AS {CATALOG} ({options})")
        connection.execute(f"USE {CATALOG}")
    except BaseException:
        connection.close()
        raise
    know_progress(connection)
    return connection


def another_of(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A second connection to what the first one has open."""
    cursor = connection.cursor()
    cursor.execute(f"USE {CATALOG}")
    return cursor


def know_progress(connection: duckdb.DuckDBPyConnection) -> None:
    """Have the engine know how far it is, without drawing a bar of its own."""
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")


def check_engine() -> None:
    """Raises PermanentError when the engine is older than the file may be trusted to."""
    version = tuple(int(part) for part in re.findall(r"\d+", duckdb.__version__)[:3])
    if version < MINIMUM:
        raise PermanentError(
            f"DuckDB {duckdb.__version__} is older than 2.0.0 and can leave the file unopenable after a crash",
            do="type `make setup` to install the pinned version",
        )
