"""Rows set aside by a rule: recorded with file, line, reason and the raw line from archive/."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from pipeline.landing.archive import content, path_of
from pipeline.landing.header import read_layout
from pipeline.landing.look import CHUNK, python_encoding
from pipeline.landing.raw import record_lines
from pipeline.project.source import Source
from pipeline.settings import Settings, bytes_of
from pipeline.warehouse.database import Database
from pipeline.warehouse.mends import has_mends, mended_lines

_SIDE = (
    "read_csv(?, columns = {'file_id': 'INTEGER', 'line': 'BIGINT', 'reason': 'VARCHAR', 'column_name': 'VARCHAR', "
    "'raw': 'VARCHAR'}, auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', "
    "new_line = '\\n', max_line_size = 8000000)"
)


class Numbers:
    """Gives numbers to rows set aside, each once, to tasks that work at the same time."""

    def __init__(self) -> None:
        self._lock, self._last = Lock(), -1

    def take(self, database: Database, many: int) -> int:
        """The number before the first of `many`."""
        with self._lock:
            if self._last < 0:
                self._last = int(database.value("SELECT coalesce(max(quarantine_id), 0) FROM ledger.quarantine"))
            first, self._last = self._last, self._last + many
        return first


def set_aside_lines(
    database: Database,
    table: str,
    aside: str,
    sources: dict[str, Source],
    settings: Settings,
    numbers: Numbers,
    run_id: int,
    now: datetime,
) -> int:
    """Record the rows of the temporary table `aside` (_file_id, _line, reason, column_name). Returns how many."""
    found = database.rows(f"SELECT _file_id, _line, reason, column_name FROM {aside} ORDER BY _file_id, _line")
    if not found:
        return 0
    side = settings.scratch / f"aside {table}.csv"
    side.parent.mkdir(parents=True, exist_ok=True)
    with open(side, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        files = archived_files(database, sorted({row[0] for row in found}))
        mends = mended_lines(database, list(files)) if has_mends(database) else {}
        for file_id, rows in groupby(found, key=lambda row: row[0]):
            reasons = {line: (reason, column) for _, line, reason, column in rows}
            for line, raw in archived_lines(files[file_id], sorted(reasons), sources, settings):
                action, text = mends.get((file_id, line), ("", ""))
                writer.writerow((file_id, line, *reasons[line], text if action == "fix" else raw))
    database.run(
        "INSERT INTO ledger.quarantine SELECT ? + row_number() OVER (ORDER BY file_id, line), ?, file_id, line, reason, "
        f"nullif(column_name, ''), raw, file_id, ?, ? FROM {_SIDE}",
        [numbers.take(database, len(found)), table, run_id, now, str(side)],
    )
    side.unlink()
    return len(found)


def set_aside_rows(database: Database, table: str, aside: str, numbers: Numbers, run_id: int, now: datetime) -> int:
    """Record rows that have no line of their own (reason, raw as JSON); they replace those of the last build."""
    database.run("DELETE FROM ledger.quarantine WHERE source = ?", [table])
    many = int(database.value(f"SELECT count(*) FROM {aside}"))
    database.run(
        "INSERT INTO ledger.quarantine SELECT ? + row_number() OVER (ORDER BY raw), ?, NULL, NULL, reason, NULL, raw, "
        f"NULL, ?, ? FROM {aside}",
        [numbers.take(database, many), table, run_id, now],
    )
    return many


class Archived(NamedTuple):
    """What it takes to find lines of a file in archive/."""

    source: str
    sha256: str
    encoding: str
    by_line: bool


def archived_files(database: Database, file_ids: list[int]) -> dict[int, Archived]:
    """file_id -> where and how the file lies in archive/; all asked for at once."""
    found = database.rows(
        "SELECT file_id, source, sha256, encoding, by_line FROM ledger.files WHERE list_contains(?, file_id)", [file_ids]
    )
    return {row[0]: Archived(*row[1:]) for row in found}


def archived_lines(
    file: Archived, wanted: list[int], sources: dict[str, Source], settings: Settings
) -> Iterator[tuple[int, str]]:
    """(line, raw text) of lines of a file that is in archive/; without text if the archive has lost it."""
    source, sha256, encoding, by_line = file
    path = path_of(settings.archive, sha256)
    if not path.exists():
        yield from ((line, "") for line in wanted)
        return
    yield from record_lines(
        lambda: content(path, CHUNK),
        encoding,
        lambda: read_layout(_head(path, encoding), sources[f"bronze.{source}"], set(), settings.max_columns),
        wanted,
        bytes_of(settings.max_line_bytes),
        by_line=by_line,
    )


def _head(path: Path, encoding: str) -> str:
    return next(content(path, CHUNK), b"").decode(python_encoding(encoding), "replace")
