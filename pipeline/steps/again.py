"""Files to read again, from archive/: those of a period, or those that the warehouse lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.errors import PermanentError
from pipeline.landing.archive import archived, path_of
from pipeline.landing.scan import FoundFile
from pipeline.project.source import Source
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import known_files

_PARTITION = re.compile(r"year=(\d{4})/month=(\d{1,2})/day=(\d{1,2})")
_IN_NAME = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date


def date_of(path: str) -> date | None:
    """The day a file is of, by its folders (year=/month=/day=) or else by the last date in its name."""
    for found in (*_PARTITION.findall(path)[:1], *reversed(_IN_NAME.findall(path))):
        try:
            return date(*(int(part) for part in found))
        except ValueError:
            continue
    return None


def files_of(
    database: Database, archive: Path, period: Period, sources: Iterable[Source]
) -> dict[str, list[FoundFile]]:
    """The files of a period that bronze holds, by source; a file without a date counts for the day it was loaded.

    What retention let go is left out: none of its rows counts. Raises PermanentError when archive/ has lost one of them.
    """
    names = [source.name for source in sources]
    rows = database.rows(
        "SELECT source, path, sha256, CAST(loaded_at AS DATE) FROM ledger.files WHERE list_contains(?, source) "
        "AND file_id NOT IN (SELECT file_id FROM ledger.retired) ORDER BY file_id",
        [names],
    )
    found: dict[str, list[FoundFile]] = {}
    for source, name, sha256, loaded in rows:
        if period.first <= (date_of(name) or loaded) <= period.last:
            found.setdefault(source, []).append(_archived(archive, sha256, name))
    return found


def archived_files(archive: Path, database: Database, only: set[str] | None = None) -> dict[str, list[FoundFile]]:
    """Files of archive/ that the warehouse does not hold, by source, in the order in which they came.

    `only`: of these hashes.
    """
    known, found = known_files(database), dict[str, list[FoundFile]]()
    for sha256, _, delivery in archived(archive):
        if sha256 not in known and (only is None or sha256 in only):
            found.setdefault(delivery.source, []).append(_archived(archive, sha256, delivery.name))
    return found


def _archived(archive: Path, sha256: str, name: str) -> FoundFile:
    path = path_of(archive, sha256)
    if not path.exists():
        raise PermanentError(
            "archive/ has lost this file, so it cannot be read again", where=name, do=f"restore {path.name}"
        )
    info = path.stat()
    return FoundFile(path, name, info.st_size, info.st_mtime_ns)
