"""When flows were due, and what became of it: so that a restart catches up what was missed, and nothing runs twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.warehouse.database import Database


def last_dues(database: Database) -> dict[str, datetime]:
    """flow -> the last time up to which its schedule has been looked at."""
    found = database.rows("SELECT flow, max(due_at) FROM ledger.due GROUP BY flow")
    return {str(flow): due for flow, due in found}


def note_dues(database: Database, dues: Sequence[tuple[str, datetime, str]], now: datetime) -> None:
    """Record (flow, time at which it was due, state), all at once: waiting, skipped, or begun (watched from then)."""
    database.insert_many(
        "INSERT INTO ledger.due SELECT flow, due_at, state, NULL, now FROM",
        ("flow", "due_at", "state", "now"),
        [(*due, now) for due in dues],
    )


def waiting_dues(database: Database) -> list[tuple[str, datetime]]:
    """(flow, due time) of the runs that are due and have not been done, oldest first."""
    return [
        (str(flow), due)
        for flow, due in database.rows(
            "SELECT flow, due_at FROM ledger.due WHERE state = 'waiting' ORDER BY due_at, flow"
        )
    ]


def settle_due(database: Database, flow: str, due_at: datetime, run_id: int | None) -> None:
    """A due run has been done."""
    database.run(
        "UPDATE ledger.due SET state = 'done', run_id = ? WHERE flow = ? AND due_at = ? AND state = 'waiting'",
        [run_id, flow, due_at],
    )


def skipped_dues(database: Database) -> dict[str, int]:
    """flow -> how many of its due runs were skipped by `catch_up`."""
    found = database.rows("SELECT flow, count(*) FROM ledger.due WHERE state = 'skipped' GROUP BY flow")
    return {str(flow): int(many) for flow, many in found}
