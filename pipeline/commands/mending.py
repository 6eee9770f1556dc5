"""What the commands that mend do: replay, fix, drop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import runner, show
from pipeline.clock import Clock
from pipeline.commands.base import dicts, writing
from pipeline.commands.rows import read_export
from pipeline.commands.runs import print_run
from pipeline.errors import PermanentError, UsageError
from pipeline.landing.mends import Mend
from pipeline.landing.raw import RAW_LIMIT
from pipeline.project.project import Project
from pipeline.results import RunResult
from pipeline.situation import Order
from pipeline.steps.context import Silent
from pipeline.steps.replay import Replay
from pipeline.warehouse.database import Database
from pipeline.warehouse.mends import QUARANTINE, add_mends


def replay(project: Project, source: str | None, reason: str | None, *, json_out: bool) -> bool:
    """Run rows of quarantine again, then what is made of them. Returns whether it went well."""
    with writing(project) as database:
        result = _run(project, database, Replay(source, reason))
    if json_out:
        show.print_json(result.as_dict())
    else:
        _print(result, "Nothing to replay: no such row is in quarantine, or no rule has changed.")
    return result.status != "failed"


def _run(project: Project, database: Database, wanted: Replay) -> RunResult:
    return runner.execute(project, database, Order(replay=wanted), reporter=Silent())


def _print(result: RunResult, nothing: str) -> None:
    if result.status == "nothing_to_do":
        show.out().print(nothing, highlight=False)
        return
    print_run(result)
    for task in result.tasks:
        if task.task.startswith("replay ") and task.status != "failed":
            show.out().print(
                f"{task.table}: {task.rows_out:,} of {task.rows_in:,} rows came in, {task.rows_quarantined:,} stay in "
                "quarantine.",
                highlight=False,
            )


# ---------------------------------------------------------------- fix
def fix(project: Project, path: Path, *, json_out: bool) -> bool:
    """Take an edited export back: what was changed stands for its line from now on. Returns whether all of it fits.

    The same file a second time changes nothing.
    """
    edited = read_export(path)
    with writing(project) as database:
        mends = _mends(database, edited, path)
        if mends:
            add_mends(database, project.settings.archive, mends, Clock().now())
        result = _run(project, database, Replay(mended=True))
        left = _left(database, mends)
    if json_out:
        show.print_json({"mended": len(mends), "still_out": left, "run": result.as_dict()})
    else:
        if mends:
            show.out().print(f"{_many(mends)} mended.", highlight=False)
        _print(result, "Nothing to mend: no row of quarantine reads otherwise in this file.")
        for row in left:
            show.out().print(f"row {row['id']} still does not fit: {row['reason']}", markup=False, highlight=False)
    return result.status != "failed" and not left


def _many(mends: Sequence[Mend]) -> str:
    return "1 row was" if len(mends) == 1 else f"{len(mends)} rows were"


def _mends(database: Database, edited: list[dict[str, Any]], path: Path) -> list[Mend]:
    """A mend for each line that is in quarantine and reads otherwise now. Raises for what cannot be meant."""
    sources: dict[str, str] = dict(database.rows("SELECT sha256, source FROM ledger.files"))
    waiting: dict[tuple[str, int], set[str]] = {}
    for sha256, line, raw in database.rows(f"SELECT sha256, line, coalesce(mend, raw) FROM {QUARANTINE} q"):
        waiting.setdefault((sha256, line), set()).add(raw)
    found: dict[tuple[str, int], Mend] = {}
    for row in edited:
        place = (row["sha256"], row["line"])
        if place[0] not in sources:
            raise UsageError(f"no file has the SHA-256 {place[0]!r}", where=str(path), do="leave that column as it was")
        if place not in waiting or row["raw"] in waiting[place]:
            continue
        mend = Mend(sources[place[0]], *place, "fix", row["raw"])
        if found.setdefault(place, mend) != mend:
            raise PermanentError(f"line {place[1]} of one file has two different texts", where=str(path), do="keep one")
        if any(len(raw) >= RAW_LIMIT for raw in waiting[place]):
            raise PermanentError(
                f"line {place[1]} is longer than quarantine shows",
                where=str(path),
                do="deliver the mended file instead",
            )
    return list(found.values())


def _left(database: Database, mends: Sequence[Mend]) -> list[dict[str, Any]]:
    """The mended rows that are still in quarantine, each with its reason."""
    places = {(mend.sha256, mend.line) for mend in mends}
    rows = dicts(database, f"SELECT q.quarantine_id AS id, q.sha256, q.line, q.source, q.reason FROM {QUARANTINE} q")
    return [row for row in rows if (row["sha256"], row["line"]) in places]


# ---------------------------------------------------------------- drop
def drop(
    project: Project, ids: Sequence[int], source: str | None, reason: str | None, why: str, *, json_out: bool
) -> None:
    """Give rows up for good, with a record of why. Raises UsageError when one cannot be."""
    if not why.strip():
        raise UsageError("--why is blank", where="quarantine drop", do="say why the rows are not wanted")
    if not ids and source is None and reason is None:
        raise UsageError("no row was named", where="quarantine drop", do="give ids, --source or --reason")
    with writing(project) as database:
        rows = _rows_to_drop(database, ids, source, reason)
        mends = [Mend(row["source"], row["sha256"], row["line"], "drop", why=why.strip()) for row in rows]
        if mends:
            add_mends(database, project.settings.archive, mends, Clock().now())
    if json_out:
        show.print_json({"dropped": [row["id"] for row in rows], "why": why.strip()})
    else:
        show.out().print(
            f"{len(rows):,} rows dropped; `goldfeed quarantine list --dropped` shows them.", highlight=False
        )


def _rows_to_drop(
    database: Database, ids: Sequence[int], source: str | None, reason: str | None
) -> list[dict[str, Any]]:
    where, values = Replay(source, reason).where()
    if ids:
        where, values = f"{where} AND list_contains(?, q.quarantine_id)", [*values, list(ids)]
    rows = dicts(
        database,
        f"SELECT q.quarantine_id AS id, q.source, q.sha256, q.line FROM {QUARANTINE} q WHERE {where} ORDER BY 1",
        values,
    )
    missing = sorted(set(ids) - {row["id"] for row in rows})
    if missing:
        raise UsageError(f"there is no row {missing[0]} in quarantine", do="`goldfeed quarantine list` shows the ids")
    homeless = [row["id"] for row in rows if row["sha256"] is None]
    if homeless:
        raise UsageError(
            f"row {homeless[0]} is no line of a file: its table sets it aside anew with each build",
            do="mend the rule, or the rows it is made of",
        )
    return rows
