"""Making the warehouse file small again: copied beside, compared, renamed into place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PermanentError
from pipeline.failpoints import failpoint
from pipeline.published import sync
from pipeline.settings import Settings, bytes_of
from pipeline.sql import CHECKSUM, WHOLE_ROW, literal, quoted
from pipeline.warehouse.connections import CATALOG, GROUP_ROWS
from pipeline.warehouse.database import Database, open_database

_SUFFIX = ".compact"


@dataclass(frozen=True)
class Size:
    """The file's size in bytes, and the share of it that holds nothing (0 to 1)."""

    bytes: int
    free: float


def size_of(database: Database) -> Size:
    """How large the warehouse file is, and how much of it is free blocks."""
    sizes = "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    block, total, free = database.rows(sizes)[0]
    return Size(int(block) * int(total), int(free) / int(total) if total else 0.0)


def is_wasteful(settings: Settings, database: Database) -> bool:
    """Whether so much of the warehouse file is free that it is worth writing it anew."""
    size = size_of(database)
    return size.bytes > bytes_of(settings.compact_from) and size.free * 100 > settings.compact_above


def compact(settings: Settings) -> tuple[int, int]:
    """Write the warehouse anew without its free blocks. Returns its size before and after, in bytes.

    The copy is made beside, compared table by table, synced and renamed over the old
    file: a crash leaves the one or the other, whole. Raises PermanentError when the
    copy is not the same, WarehouseBusy when another process holds the file.
    """
    old, new = settings.warehouse, Path(f"{settings.warehouse}{_SUFFIX}")
    forget_copy(settings)
    database = open_database(settings)
    try:
        database.checkpoint()
        _copy(database, new)
    except BaseException:
        forget_copy(settings)
        raise
    finally:
        database.close()
    before, after = old.stat().st_size, new.stat().st_size
    sync(new)
    failpoint("compact.before_rename")
    os.replace(new, old)
    sync(old.parent)
    failpoint("compact.after_rename")
    return before, after


def forget_copy(settings: Settings) -> None:
    """Remove what a compaction that was cut off left beside the warehouse."""
    for path in settings.home.glob(f"{settings.warehouse.name}{_SUFFIX}*"):
        path.unlink()


def _copy(database: Database, new: Path) -> None:
    database.run(f"ATTACH {literal(str(new))} AS compacted (ROW_GROUP_SIZE {GROUP_ROWS})")
    with database.in_order():
        database.run(f"COPY FROM DATABASE {CATALOG} TO compacted")
    failpoint("compact.after_copy")
    database.run("CHECKPOINT compacted")
    _compare(database)
    database.run("DETACH compacted")


def _compare(database: Database) -> None:
    tables = database.rows(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? AND NOT temporary", [CATALOG]
    )
    for schema, table in tables:
        sums = [
            database.rows(
                f"SELECT {CHECKSUM} FROM {quoted(place)}.{quoted(schema)}.{quoted(table)} {WHOLE_ROW}"
            )
            for place in (CATALOG, "compacted")
        ]
        if sums[0] != sums[1]:
            raise PermanentError(
                "the copy is not the same as the table; nothing was changed",
                where=f"{schema}.{table}",
                do="check the disk, then try again",
            )
