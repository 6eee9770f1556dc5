"""What the ledger says, as text: asked anew whenever it has changed, at the cost of what has changed.

Runs that have ended are added up once (tally.py), and a part is written again only if it reads otherwise than before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pipeline.metrics import runs, tables
from pipeline.metrics.tally import History
from pipeline.metrics.text import Sheet, Starts
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.warehouse.database import Database
from pipeline.warehouse.history import last_retention

Write = Callable[[Any, Project, Sheet], None]


class LedgerPage:
    """The part of the exposition that the ledger gives, for one project. Only its tables and flows are shown by name."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._starts = Starts()
        self._retained: datetime | None = None
        self._begin()
        self._written: dict[Write, tuple[Any, str]] = {}

    def text(self, database: Database) -> str:
        """All that the ledger says now."""
        retained = last_retention(database)
        if retained != self._retained:
            self._begin()
            self._retained = retained
        if not self._history.goes_on(database):
            self._begin()
            self._history.goes_on(database)
        tally, states = self._history.tally(database), tables.tables(database)
        published = self._publications.read(database)
        seen = self._publications.seen(current(self.project.settings.published), states)
        parts: tuple[tuple[Write, Any], ...] = (
            (runs.write_runs, runs.runs(tally)),
            (runs.write_dues, runs.dues(database)),
            (runs.write_tasks, tally.tasks),
            (runs.write_last_tasks, tally.tables),
            (runs.write_tasks_of_runs, tally.of_runs),
            (tables.write_tables, states),
            (tables.write_promises, tables.promises(database, seen)),
            (tables.write_files, self._files.read(database, tally, states)),
            (tables.write_quarantine, tables.quarantine(database)),
            (tables.write_checks, tally.checks),
            (tables.write_publications, published),
        )
        return "".join(self._part(write, facts) for write, facts in parts)

    def _begin(self) -> None:
        """Forget what was added up: some of the past has gone, or it is another ledger."""
        self._history = History({name: flow.spec.sla for name, flow in self.project.flows.items()})
        self._publications, self._files = tables.Publications(), tables.Files()

    def _part(self, write: Write, facts: Any) -> str:
        before = self._written.get(write)
        if before is None or before[0] != facts:
            sheet = Sheet(self._starts)
            write(facts, self.project, sheet)
            before = self._written[write] = facts, sheet.text()
        return before[1]
