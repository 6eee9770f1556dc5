"""What the commands for care do: backfill, diff, doctor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from pipeline import show
from pipeline.commands.base import alone, reading, writing
from pipeline.commands.runs import run_in
from pipeline.errors import GoldfeedError, UsageError, WarehouseBusy
from pipeline.feed.diff import TableDiff, chosen_versions, compare
from pipeline.project.project import Project
from pipeline.published import current, damaged, versions
from pipeline.settings import Settings
from pipeline.situation import Order
from pipeline.steps.again import Period
from pipeline.warehouse.compact import compact, size_of


# ---------------------------------------------------------------- backfill
def period(first: str, last: str) -> Period:
    """Two days as typed. Raises UsageError when one is no day or they stand the wrong way round."""
    days = []
    for name, text in (("--from", first), ("--to", last)):
        try:
            days.append(date.fromisoformat(text))
        except ValueError as error:
            raise UsageError(f"{name} {text} is no day", where="backfill", do="write it as 2024-01-31") from error
    if days[0] > days[1]:
        raise UsageError(f"--from {first} is after --to {last}", where="backfill", do="turn them round")
    return Period(days[0], days[1])


def backfill(
    project: Project, days: Period, select: Sequence[str] | None, wait: float, *, quiet: bool, json_out: bool
) -> bool:
    """Read the files of a period again and rebuild what they change. Returns whether it went well."""
    if not 0 <= wait <= 86_400:
        raise UsageError("--wait takes 0 to 86400 seconds", where="backfill")
    with writing(project, wait) as database:
        order = Order(tuple(select or ()), again=days)
        return run_in(project, database, order, quiet=quiet, json_out=json_out)


# ---------------------------------------------------------------- diff
def diff(settings: Settings, one: str | None, other: str | None, *, json_out: bool) -> None:
    """Show what differs between two published versions."""
    before, after = chosen_versions(settings, one, other)
    tables = compare(settings, before, after)
    if json_out:
        show.print_json({"before": before, "after": after, "tables": [table.as_dict() for table in tables]})
        return
    names = ("table", "", "rows before", "rows after", "added", "removed", "changed")
    rows = [(t.table, t.status, t.rows_before, t.rows_after, t.added, t.removed, t.changed) for t in tables]
    show.out().print(show.table(f"version {before} -> {after}", names, rows))
    drift = [row for table in tables for row in _drift_rows(table)]
    if drift:
        show.out().print(
            show.table(
                f"sums that differ, and those of the last {_SHOWN_DAYS} such days (all with --json)",
                ("table", "measure", "day", "before", "after", "drift"),
                drift,
            )
        )


_SHOWN_DAYS = 3


def _drift_rows(table: TableDiff) -> list[tuple[Any, ...]]:
    """The sums of a whole table, and of its latest days."""
    days = sorted({row.day for row in table.drift if row.day is not None}, reverse=True)[:_SHOWN_DAYS]
    return [
        (table.table, row.measure, row.day or "all", row.before, row.after, (row.after or 0) - (row.before or 0))  # type: ignore[operator]
        for row in table.drift
        if row.day is None or row.day in days
    ]


# ---------------------------------------------------------------- doctor
def doctor(settings: Settings, *, compacted: bool, json_out: bool) -> bool:
    """Look at the warehouse and the published versions; with `compacted`, make the warehouse small. Returns if all is well."""
    facts: dict[str, Any] = {"home": str(settings.home), "warehouse": "none yet"}
    if settings.warehouse.exists():
        facts.update(_warehouse(settings))
    bad = {version: damaged(settings.published, version) for version in versions(settings.published)}
    facts["published"] = current(settings.published)
    facts["damaged_versions"] = {version: tables for version, tables in bad.items() if tables}
    if compacted and facts["warehouse"] == "good":
        with alone():
            before, after = compact(settings)
        facts["compacted"] = {"bytes_before": before, "bytes_after": after}
    if json_out:
        show.print_json(facts)
    else:
        for name, value in facts.items():
            show.out().print(f"{name.replace('_', ' ')}: {_told(value)}", markup=False, highlight=False, soft_wrap=True)
    return facts["warehouse"] in ("good", "none yet") and not facts["damaged_versions"]


def _warehouse(settings: Settings) -> dict[str, Any]:
    try:
        with reading(settings) as database:
            database.value("SELECT count(*) FROM ledger.runs")
            size = size_of(database)
    except WarehouseBusy:
        raise
    except GoldfeedError as error:
        return {"warehouse": error.sentence()}
    return {"warehouse": "good", "warehouse_bytes": size.bytes, "free_share": round(size.free, 3)}


def _told(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(part)}" for name, part in value.items()) or "none"
    return "nothing" if value is None else str(value)
