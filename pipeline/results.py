"""What a run gives back, as `goldfeed run --json` shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TaskResult:
    """One task as `goldfeed run --json` shows it.

    `may_pass`: its error is of the kind that passes, such as a full disk.
    """

    task: str
    layer: str
    table: str
    status: str
    rows_in: int
    rows_out: int
    rows_quarantined: int
    attempts: int
    seconds: float
    error: str | None
    may_pass: bool = False


@dataclass(frozen=True)
class RunResult:
    """One run as `goldfeed run --json` shows it. `status`: succeeded, failed, withheld, nothing_to_do."""

    run_id: int | None
    flow: str
    status: str
    version: str | None
    seconds: float
    tasks: tuple[TaskResult, ...] = ()
    notes: tuple[str, ...] = ()
    accounting: dict[str, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `may_pass` is for the service alone."""
        facts = asdict(self)
        for task in facts["tasks"]:
            del task["may_pass"]
        return facts
