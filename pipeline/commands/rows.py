"""What the commands that look at rows set aside do: list, show, export."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pipeline import show
from pipeline.commands.base import dicts, reading
from pipeline.errors import UsageError
from pipeline.landing.archive import content, path_of
from pipeline.landing.look import CHUNK
from pipeline.landing.raw import lines_between
from pipeline.project.project import Project
from pipeline.warehouse.database import Database
from pipeline.warehouse.mends import QUARANTINE

AROUND = 2  # lines shown before and after a row
EXPORTED = ("id", "source", "file", "sha256", "line", "reason", "column", "raw")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")  # a spreadsheet takes a cell that begins so for a formula
_COLUMNS = 'q.quarantine_id AS id, q.path AS file, q.line, q.source, q.reason, q.column_name AS "column", q.raw'
_OF_SOURCE = "(? IS NULL OR q.source = ? OR q.source LIKE '%.' || ?)"


def quarantine_list(project: Project, source: str | None, limit: int | None, dropped: bool, *, json_out: bool) -> None:
    """The rows set aside, oldest first; with `dropped`, those that were given up."""
    if limit is not None and limit < 1:
        raise UsageError("--limit must be at least 1", where="quarantine list")
    many = limit or (2**62 if json_out else 50)
    state = "q.dropped IS NOT NULL" if dropped else "q.dropped IS NULL"
    more = ", q.dropped, q.dropped_at" if dropped else ""
    with reading(project.settings) as database:
        where = f"FROM {QUARANTINE} q WHERE {state} AND {_OF_SOURCE}"
        rows = dicts(
            database,
            f"SELECT {_COLUMNS}{more} {where} ORDER BY q.quarantine_id LIMIT ?",
            [source, source, source, many],
        )
        total = database.value(f"SELECT count(*) {where}", [source, source, source])
    for row in rows:
        del row["raw"]  # a list goes into logs and tickets, and the raw text may hold personal data
    if json_out:
        show.print_json(rows)
    elif not rows:
        show.out().print("No row was dropped." if dropped else "Nothing is in quarantine.")
    else:
        columns = ("id", "file", "line", "source", "reason", "dropped" if dropped else "column")
        show.out().print(show.table(None, columns, [[row[name] for name in columns] for row in rows]))
        show.out().print(
            f"{len(rows):,} of {total:,}; `goldfeed quarantine show ID` gives the raw text.", highlight=False
        )


def quarantine_show(project: Project, number: int, *, json_out: bool) -> None:
    """One row set aside, whole, with the lines around it in its file."""
    with reading(project.settings) as database:
        statement = f"SELECT {_COLUMNS}, q.mend, q.dropped, q.dropped_at FROM {QUARANTINE} q WHERE q.quarantine_id = ?"
        rows = dicts(database, statement, [number])
        if not rows:
            raise UsageError(f"there is no row {number} in quarantine", do="`goldfeed quarantine list` shows the ids")
        facts = {**rows[0], **_around(project, database, number)}
    if json_out:
        show.print_json(facts)
        return
    out = show.out()
    for name in ("id", "file", "line", "source", "reason", "column", "mend", "dropped", "dropped_at", "raw"):
        if facts[name] is not None or name in ("file", "line", "column"):
            value = "" if facts[name] is None else facts[name]
            out.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
    for line, text in _neighbours(facts):
        mark = ">" if line == facts["line"] else " "
        out.print(f"{mark} {line:>6}  {text}", markup=False, highlight=False, soft_wrap=True)


def _neighbours(facts: dict[str, Any]) -> list[tuple[int, str]]:
    around = [*facts["before"], {"line": facts["line"], "text": facts["raw"]}, *facts["after"]]
    found = [(row["line"], row["text"]) for row in around if row["line"] is not None]
    return found if facts["before"] or facts["after"] else []


def _around(project: Project, database: Database, number: int) -> dict[str, Any]:
    """The header and the lines before and after a row, from archive/; nothing if it has no line or its file is lost."""
    found = database.rows(
        "SELECT f.sha256, f.encoding, q.line FROM ledger.quarantine q JOIN ledger.files f USING (file_id) "
        "WHERE q.quarantine_id = ? AND q.line IS NOT NULL",
        [number],
    )
    nothing: dict[str, Any] = {"header": None, "before": [], "after": []}
    if not found:
        return nothing
    sha256, encoding, line = found[0]
    path = path_of(project.settings.archive, sha256)
    if not path.exists():
        return nothing
    header = lines_between(content(path, CHUNK), encoding, 1, 1)
    lines = lines_between(content(path, CHUNK), encoding, max(line - AROUND, 2), line + AROUND)
    as_dicts = [{"line": at, "text": text} for at, text in lines]
    return {
        "header": header[0][1] if header else None,
        "before": [one for one in as_dicts if one["line"] < line],
        "after": [one for one in as_dicts if one["line"] > line],
    }


def quarantine_export(project: Project, source: str | None) -> None:
    """The rows that wait, as CSV on standard output; cells that a spreadsheet would run get a `'` in front."""
    with reading(project.settings) as database:
        names = _COLUMNS.replace("q.line,", "q.sha256, q.line,")
        rows = dicts(
            database,
            f"SELECT {names} FROM {QUARANTINE} q WHERE q.dropped IS NULL AND {_OF_SOURCE} ORDER BY 1",
            [source, source, source],
        )
    writer = csv.writer(show.plain_file(), quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(EXPORTED)
    for row in rows:
        writer.writerow(["" if row[name] is None else harmless(str(row[name])) for name in EXPORTED])


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; `as_it_was` turns it back."""
    return "'" + text if text.startswith(_FORMULA) else text


def as_it_was(text: str) -> str:
    """The text that `harmless` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def read_export(path: Path) -> list[dict[str, Any]]:
    """The rows of an edited export: sha256, line, raw. Raises UsageError where it is none."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            named, held = reader.fieldnames or [], list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError("this is no CSV in UTF-8", where=str(path), do="save it as CSV UTF-8") from error
    missing = [name for name in ("sha256", "line", "raw") if name not in named]
    if missing:
        raise UsageError(
            f"it has no column {missing[0]}", where=str(path), do="edit what `goldfeed quarantine export` prints"
        )
    found = []
    for number, row in enumerate(held, 2):
        if not row["sha256"] and not row["line"]:
            continue  # a row without a file: it has no line to mend
        if row["raw"] is None or not (row["line"] or "").isdigit():
            raise UsageError(
                f"line {number} has no number of a line", where=str(path), do="leave that column as it was"
            )
        found.append({"sha256": row["sha256"], "line": int(row["line"]), "raw": as_it_was(row["raw"])})
    return found
