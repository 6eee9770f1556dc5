"""What the commands about rows that were set aside do."""

from __future__ import annotations

from pipeline import show
from pipeline.commands.base import dicts, reading
from pipeline.errors import UsageError
from pipeline.project.project import Project

_QUARANTINE = (
    'SELECT q.quarantine_id AS id, f.path AS file, q.line, q.source, q.reason, q.column_name AS "column", q.raw '
    "FROM ledger.quarantine q LEFT JOIN ledger.files f USING (file_id) "
)


def quarantine_list(project: Project, source: str | None, limit: int | None, *, json_out: bool) -> None:
    """The rows set aside, oldest first."""
    if limit is not None and limit < 1:
        raise UsageError("--limit must be at least 1", where="quarantine list")
    many = limit or (2**62 if json_out else 50)
    with reading(project.settings) as database:
        where = "WHERE ? IS NULL OR q.source = ? OR q.source LIKE '%.' || ? "
        rows = dicts(database, f"{_QUARANTINE}{where}ORDER BY q.quarantine_id LIMIT ?", [source, source, source, many])
        total = database.value("SELECT count(*) FROM ledger.quarantine")
    for row in rows:
        del row["raw"]  # a list goes into logs and tickets, and the raw text may hold personal data
    if json_out:
        show.print_json(rows)
    elif not rows:
        show.out().print("Nothing is in quarantine.")
    else:
        columns = ("id", "file", "line", "source", "reason", "column")
        show.out().print(show.table(None, columns, [[row[name] for name in columns] for row in rows]))
        show.out().print(
            f"{len(rows):,} of {total:,}; `goldfeed quarantine show ID` gives the raw text.", highlight=False
        )


def quarantine_show(project: Project, number: int, *, json_out: bool) -> None:
    """One row set aside, whole."""
    with reading(project.settings) as database:
        rows = dicts(database, _QUARANTINE + "WHERE q.quarantine_id = ?", [number])
    if not rows:
        raise UsageError(f"there is no row {number} in quarantine", do="`goldfeed quarantine list` shows the ids")
    if json_out:
        show.print_json(rows[0])
        return
    for name, value in rows[0].items():
        show.out().print(f"{name}: {'' if value is None else value}", markup=False, highlight=False, soft_wrap=True)
