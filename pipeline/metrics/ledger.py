"""What the ledger says, as text: asked anew whenever it has changed, at the cost of what has changed.

Runs that have ended are added up once (tally.py), the ledger is asked in one statement (ask.py), and only lines that
read otherwise than before are written again (parts.py).
"""

from __future__ import annotations

from typing import Any

from pipeline.metrics import runs, tables
from pipeline.metrics.ask import NEVER, Answer, Since, ask
from pipeline.metrics.parts import Grown, Part, Write
from pipeline.metrics.tally import History
from pipeline.metrics.text import Starts
from pipeline.project.project import Project
from pipeline.published import current
from pipeline.warehouse.database import Database


class LedgerPage:
    """The part of the exposition that the ledger gives, for one project. Only its tables and flows are shown by name."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._starts = Starts()
        self._begin()

    def text(self, database: Database) -> str:
        """All that the ledger says now."""
        answer = self._asked(database)
        tally, published = self._history.tally(database), self._publications.add(answer.publications)
        seen = self._publications.seen(current(self.project.settings.published), answer.tables)
        texts = (
            self._part(runs.write_runs, runs.runs(tally)),
            self._part(runs.write_dues, answer.dues),
            self._part(runs.write_tasks, tally.tasks),
            self._by_table(runs.write_last_tasks, tally.tables),
            self._part(runs.write_tasks_of_runs, tally.of_runs),
            self._by_table(tables.write_tables, answer.tables),
            self._part(tables.write_promises, (seen, answer.misses)),
            self._part(tables.write_files, self._files.read(database, tally, answer.tables)),
            self._part(tables.write_quarantine, answer.quarantine),
            self._part(tables.write_check_totals, tally.audited),
            self._by_table(tables.write_checks, tables.checks(tally, self.project)),
            self._part(tables.write_publications, published),
        )
        return "".join(texts)

    def _begin(self) -> None:
        """Forget what was added up: some of the past has gone, or it is another ledger."""
        self._retained = NEVER
        slas = {name: flow.spec.sla for name, flow in self.project.flows.items()}
        self._history = History(slas, frozenset(runs.named(self.project)))
        self._publications, self._files = tables.Publications(), tables.Files()
        self._parts: dict[Write, Part] = {}
        self._grown: dict[Write, Grown] = {}

    def _asked(self, database: Database) -> Answer:
        """What is new since the last time; all of it if that is no longer there."""
        answer = self._ask(database)
        if answer.retained != self._retained or not self._history.goes_on(answer.runs, answer.done):
            self._begin()
            answer = self._ask(database)
            self._history.goes_on(answer.runs, answer.done)
        self._retained = answer.retained
        return answer

    def _ask(self, database: Database) -> Answer:
        return ask(database, Since(self._history.last, self._publications.upto, self._retained))

    def _part(self, write: Write, facts: Any) -> str:
        if write not in self._parts:
            self._parts[write] = Part(write, self.project, self._starts)
        return self._parts[write].text(facts)

    def _by_table(self, write: Write, facts: Any) -> str:
        if write not in self._grown:
            self._grown[write] = Grown(write, self.project, self._starts)
        return self._grown[write].text(facts)
