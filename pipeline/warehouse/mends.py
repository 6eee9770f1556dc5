"""Mends in the ledger: archive/mends/ is what counts, ledger.mends is its copy for asking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pipeline.landing.mends import Mend, keep_mends, kept_mends, read_mends
from pipeline.warehouse.database import Database

# the mend in force of each row: the latest of each line, by the table it is about
IN_FORCE = (
    "(SELECT m.table_name, f.file_id, f.source, m.line, m.action, m.text, m.why, m.made_at FROM ledger.mends m "
    "JOIN ledger.files f USING (sha256) QUALIFY row_number() OVER "
    "(PARTITION BY m.table_name, m.sha256, m.line ORDER BY m.file DESC) = 1)"
)
# ledger.quarantine with `mend` (the text that stands for the line), `dropped` (why) and `dropped_at`
QUARANTINE = (
    "(SELECT q.*, f.path, f.sha256, f.source AS file_source, x.text AS mend, d.why AS dropped, d.made_at AS dropped_at "
    "FROM ledger.quarantine q LEFT JOIN ledger.files f USING (file_id) "
    f"LEFT JOIN {IN_FORCE} x ON x.action = 'fix' AND x.file_id = q.file_id AND x.line = q.line "
    f"LEFT JOIN {IN_FORCE} d ON d.action = 'drop' AND d.table_name = q.source AND d.file_id = q.file_id AND d.line = q.line)"
)


def take_in_mends(database: Database, archive: Path) -> None:
    """Copy the files of mends that the ledger does not know yet: a crash, or a lost warehouse, left them."""
    held = {str(row[0]) for row in database.rows("SELECT DISTINCT file FROM ledger.mends")}
    for name in kept_mends(archive):
        if name not in held:
            made_at, mends = read_mends(archive, name)
            _insert(database, mends, made_at, name)


def add_mends(database: Database, archive: Path, mends: Sequence[Mend], now: datetime) -> None:
    """Keep mends in archive/, then in the ledger; none is written twice."""
    _insert(database, mends, now, keep_mends(archive, mends, now))


def _insert(database: Database, mends: Sequence[Mend], made_at: datetime, name: str) -> None:
    rows = [(m.table, m.sha256, m.line, m.action, m.text, m.why, made_at, name) for m in mends]
    names = ("table_name", "sha256", "line", "action", "text", "why", "made_at", "file")
    with database.transaction():
        database.insert_many("INSERT INTO ledger.mends SELECT * FROM", names, rows)


def has_mends(database: Database) -> bool:
    """Whether anybody ever mended or dropped a row."""
    return bool(database.value("SELECT count(*) FROM ledger.mends"))


def mended_lines(database: Database, file_ids: list[int]) -> dict[tuple[int, int], tuple[str, str]]:
    """(file_id, line) -> (action, text or why) of the mends of some files, as far as bronze is concerned."""
    found = database.rows(
        f"SELECT file_id, line, action, coalesce(text, why) FROM {IN_FORCE} "
        "WHERE list_contains(?, file_id) AND table_name = source",
        [file_ids],
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in found}


def mends_of(database: Database, source: str, sha256s: list[str]) -> list[tuple[str, int, str, str]]:
    """(sha256, line, action, text or why) of the mends in force of some files of a source, known to bronze or not."""
    found = database.rows(
        "SELECT sha256, line, action, coalesce(text, why) FROM ledger.mends WHERE list_contains(?, sha256) "
        "AND table_name = ? QUALIFY row_number() OVER (PARTITION BY sha256, line ORDER BY file DESC) = 1",
        [sha256s, source],
    )
    return [(row[0], int(row[1]), row[2], row[3]) for row in found]
