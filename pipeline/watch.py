"""Watches what was promised of the tables, whether or not a run ever starts: freshness and deadlines.

Looked at each second from a thread of its own, so a run that hangs hides nothing. A look costs nothing until the next
moment at which a promise can be broken, or until a run has ended: the warehouse is opened only then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.errors import PermanentError, WarehouseBusy
from pipeline.keeper import Keeper
from pipeline.notify import Notifier
from pipeline.project.duration import spoken
from pipeline.project.flow import Flow
from pipeline.project.project import Project
from pipeline.project.promise import Deadline, Due, last_due
from pipeline.published import current
from pipeline.sql import quoted, table_name
from pipeline.warehouse.database import Database
from pipeline.warehouse.promises import (
    Miss,
    known_misses,
    mend,
    note_misses,
    open_misses,
    seen_as_of,
    watched_since,
)

GRACE = timedelta(seconds=60)  # a table that a run has just begun to renew is not called stale


class Watch:
    """Judges freshness and deadlines. `busy` says whether a run is under way: it may be about to renew what looks stale."""

    def __init__(self, keeper: Keeper, notifier: Notifier, log: Any, now: datetime, busy: Callable[[], bool]) -> None:
        self._keeper, self._notifier, self._log, self._busy = keeper, notifier, log, busy
        self._since = now
        self._next: datetime | None = None  # when a promise may next be broken; None: look again now
        self._lock = threading.Lock()

    def changed(self) -> None:
        """A run has ended, or the project was read again."""
        self._next = None

    def look(self, project: Project, now: datetime) -> None:
        """Judge, if there is anything to judge: write down what was missed or has come since, and tell people."""
        with self._lock:
            if self._next is not None and now < self._next:
                return
            self._next = now + timedelta(seconds=1)
            try:
                with self._keeper.reading(project) as database:
                    self._judge(project, database, now)
            except WarehouseBusy:
                return  # another process has it for now: the next look is in a second

    def _judge(self, project: Project, database: Database, now: datetime) -> None:
        version = current(project.settings.published)
        as_of, since = seen_as_of(database, version), watched_since(database)
        self._next = now + timedelta(days=1)
        open_before = open_misses(database)
        known = known_misses(database)
        found: list[Miss] = []
        for flow in project.flows.values():
            begun = since.get(flow.name, self._since)
            for table in sorted(name for name in flow.tables if name.startswith("gold.")):
                found += self._of_table(database, flow, table, as_of.get(table), begun, now)
        broken = {(miss.kind, miss.table) for miss in found}
        mended = [miss for miss in open_before if (miss.kind, miss.table) not in broken]
        fresh = [miss for miss in found if (miss.kind, miss.table, miss.due_at) not in known]
        if self._busy():
            fresh = [miss for miss in fresh if miss.kind != "freshness"]
        self._write(project, database, fresh, mended, now)

    def _of_table(
        self, database: Database, flow: Flow, table: str, as_of: datetime | None, begun: datetime, now: datetime
    ) -> list[Miss]:
        """The promises of one table that are broken now."""
        spec, found = flow.spec.tables.get(table), list[Miss]()
        freshness = (spec.freshness if spec else None) or flow.spec.freshness
        if freshness is not None:
            due = (as_of or begun) + timedelta(seconds=freshness)
            if self._past(due + GRACE, now):
                said = f"is as of {as_of:%Y-%m-%d %H:%M} UTC, older than" if as_of else "has not been published for"
                found.append(Miss("freshness", flow.name, table, due, f"{table} {said} {spoken(freshness)}"))
        if spec is not None and spec.deadline is not None:
            due_now = last_due(spec.deadline, flow.spec.time_zone, now)
            self._past(due_now.next, now)
            if due_now.at >= begun and not self._reaches(database, table, spec.deadline, as_of, due_now):
                zone = spec.deadline.time_zone or flow.spec.time_zone
                said = f"{table} is not through {spec.deadline.through} by {spec.deadline.by} {zone}"
                found.append(Miss("deadline", flow.name, table, due_now.at, said))
        return found

    def _past(self, moment: datetime, now: datetime) -> bool:
        """Whether a moment has come; if not, the next look is then at the latest."""
        if now < moment and self._next is not None:
            self._next = min(self._next, moment)
        return now >= moment

    def _reaches(self, database: Database, table: str, deadline: Deadline, as_of: datetime | None, due: Due) -> bool:
        """Whether what readers see of a table goes far enough: by its column, or by when new data came."""
        if as_of is None:
            return False
        if deadline.column is None:
            return as_of >= due.counts
        try:
            newest = database.value(f"SELECT CAST(max({quoted(deadline.column)}) AS DATE) FROM {table_name(table)}")
        except PermanentError as error:  # the model has another column now; the other promises are judged all the same
            self._log.error("a deadline cannot be judged", table=table, column=deadline.column, error=error.sentence())
            return False
        return newest is not None and newest >= due.day

    # ---------------------------------------------------------------- word of it
    def _write(
        self, project: Project, database: Database, missed: list[Miss], mended: list[Miss], now: datetime
    ) -> None:
        """A table whose flow has failed is stale for a reason that was told; a deadline is told in any case."""
        failing = self._notifier.failing()
        missed = [replace(miss, told=miss.kind == "deadline" or miss.flow not in failing) for miss in missed]
        note_misses(database, missed, now)
        mend(database, mended, now)
        version = current(project.settings.published)
        for miss in missed:
            self._log.warning(
                "a promise was missed", promise=miss.kind, flow=miss.flow, table=miss.table, due=f"{miss.due_at}Z"
            )
        for event, misses in (*_by_kind(missed), ("recovered", mended)):
            for flow in dict.fromkeys(miss.flow for miss in misses if miss.told):
                told = [miss for miss in misses if miss.flow == flow and miss.told]
                self._notifier.missed(event, flow, [_line(event, miss) for miss in told], project, version)


def _by_kind(misses: Iterable[Miss]) -> list[tuple[str, list[Miss]]]:
    return [(kind, [miss for miss in misses if miss.kind == kind]) for kind in ("freshness", "deadline")]


def _line(event: str, miss: Miss) -> str:
    if event != "recovered":
        return f"{miss.details}."
    return f"{miss.table} is {'fresh again' if miss.kind == 'freshness' else 'there now, after its deadline'}."
