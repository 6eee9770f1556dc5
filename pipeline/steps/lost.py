"""What a damaged log took with it: files that archive/ has and the warehouse no longer knows.

DuckDB's log (warehouse.duckdb.wal) holds what was committed since the last checkpoint. If its end is cut off, or it is
gone, the file opens as it was before, without a word. So where archive/ holds more files than the ledger, they are
compared; what is missing is written down, and the next run takes it in again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pipeline.landing.archive import SUFFIX, read_delivery
from pipeline.landing.scan import FoundFile
from pipeline.project.project import Project
from pipeline.settings import Settings
from pipeline.steps.again import archived_files
from pipeline.warehouse.database import Database
from pipeline.warehouse.ledger import known_files

_HELD = "WHERE file_id NOT IN (SELECT file_id FROM ledger.retired)"
_TABLE = "ledger.lost_files"


def note_lost(database: Database, settings: Settings) -> None:
    """Write down the files of archive/ that the ledger lacks, but for those that still lie in landing/ or were rejected."""
    kept = [entry.name for entry in os.scandir(settings.archive) if entry.name.endswith(SUFFIX)]
    if len(kept) <= int(database.value(f"SELECT count(*) FROM ledger.files {_HELD}")):
        return
    known = {*known_files(database), *_rejected(database)}
    lost = []
    for name in kept:
        sha256 = name.removesuffix(SUFFIX)
        delivery = None if sha256 in known else read_delivery(settings.archive / name)
        if delivery is not None and not _still_there(settings, delivery.name, delivery.modified_ns):
            lost.append((sha256, delivery.name))
    if lost:
        database.insert_many(f"INSERT INTO {_TABLE} SELECT * FROM", None, lost)


def lost_files(database: Database, project: Project) -> dict[str, list[FoundFile]]:
    """The files written down as lost that are not back yet, by source."""
    lost = {row[0] for row in database.rows(f"SELECT sha256 FROM {_TABLE}")}
    if not lost:
        return {}
    lost -= _rejected(database) | known_files(database).keys()
    found = archived_files(project.settings.archive, database, lost) if lost else {}
    sources = {source.name for source in project.graph.sources.values()}
    return {name: files for name, files in found.items() if name in sources}


def together(landing: Mapping[str, list[FoundFile]], lost: Mapping[str, list[FoundFile]]) -> dict[str, list[FoundFile]]:
    """The files to take in: those that were lost first, as they came first."""
    return {name: [*lost.get(name, ()), *landing.get(name, ())] for name in {**lost, **landing}}


def told(lost: Mapping[str, Sequence[FoundFile]]) -> tuple[str, ...]:
    """A note for the person who reads the summary."""
    count = sum(len(files) for files in lost.values())
    are = "file of archive/ was" if count == 1 else "files of archive/ were"
    return (f"{count} {are} missing from the warehouse and taken in again",) if count else ()


def _rejected(database: Database) -> set[str]:
    found = database.rows("SELECT sha256 FROM ledger.deliveries WHERE outcome = 'rejected' AND sha256 IS NOT NULL")
    return {str(row[0]) for row in found}


def _still_there(settings: Settings, name: str, modified_ns: int) -> bool:
    try:
        return (settings.landing / name).lstat().st_mtime_ns == modified_ns
    except OSError:
        return False
