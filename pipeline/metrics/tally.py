"""The history of runs, added up: what has ended is read once, only what is under way again and again.

Rows are taken as they lie in the ledger: for the few that a scrape has to read, that costs less than the engine needs to
plan a query that sums them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pipeline.metrics.families import RUN_BUCKETS, TASK_BUCKETS
from pipeline.warehouse.database import Database, Row

_AT_ONCE = 100  # runs; so that a long history is never in memory as a whole
_WHERE = "WHERE run_id > ? AND run_id <= ?"
_RUNS = "SELECT run_id, flow, status, started_at, finished_at, version IS NOT NULL FROM ledger.runs WHERE run_id >= ?"
_TASKS = (
    "SELECT run_id, task, layer, table_name, status, attempts, rows_in, rows_out, rows_quarantined, seconds, started_at "
    f"FROM ledger.tasks {_WHERE}"
)
_CHECKS = (
    "SELECT run_id, table_name, dimension, severity, outcome = 'passed', starts_with(check_name, 'unusual.') "
    f"FROM ledger.checks {_WHERE}"
)


@dataclass
class Tally:
    """Sums by group. The values are never changed in place, so that a copy is cheap.

    runs: (flow, status) -> how many, seconds, how many over the sla; id, end, seconds and begin of the last.
    lengths: (flow, bucket) -> how many. tasks: (flow, layer, status, bucket) -> how many, attempts, retries, seconds.
    tables: (layer, table) -> when (run, time), status and seconds of the last task; rows in, out and set aside.
    of_runs: flow -> its last run, and (task, table, offset, seconds) of its tasks.
    checks: (table, dimension, severity, passed) -> how many, the last run, how many in it, how many of those unusual.
    published: the last run that did, or could have, and its status.
    """

    runs: dict[tuple[str, str], Row] = field(default_factory=dict)
    lengths: dict[tuple[str, int], int] = field(default_factory=dict)
    tasks: dict[tuple[str, str, str, int], Row] = field(default_factory=dict)
    tables: dict[tuple[str, str], Row] = field(default_factory=dict)
    of_runs: dict[str, tuple[int, tuple[Row, ...]]] = field(default_factory=dict)
    checks: dict[tuple[str, str, str, bool], Row] = field(default_factory=dict)
    published: dict[str, tuple[int, str]] = field(default_factory=dict)

    def copy(self) -> Tally:
        """One that is added to apart."""
        return Tally(*(dict(getattr(self, one.name)) for one in fields(self)))

    def take_run(self, row: Row, sla: float) -> None:
        """One row of ledger.runs."""
        run_id, flow, status, started, finished, published = row
        took = (finished - started).total_seconds() if finished is not None else 0.0
        many, seconds, late, last, *_ = self.runs.get((flow, status), (0, 0.0, 0, -1))
        newest = (run_id, finished, took, started) if run_id > last else self.runs[flow, status][3:]
        self.runs[flow, status] = (many + 1, seconds + took, late + (took > sla), *newest)
        if status != "running":
            bucket = bisect_left(RUN_BUCKETS, took)
            self.lengths[flow, bucket] = self.lengths.get((flow, bucket), 0) + 1
        if status == "withheld" or published:
            self.published[""] = max(self.published.get("", (-1, "")), (run_id, status))

    def take_task(self, row: Row, run: Row) -> None:
        """One row of ledger.tasks, and that of its run."""
        run_id, task, layer, table, status, attempts, rows_in, rows_out, aside, seconds, started = row
        flow, key = run[1], (layer, table)
        group = (flow, layer, status, bisect_left(TASK_BUCKETS, seconds))
        many, tries, again, spent = self.tasks.get(group, (0, 0, 0, 0.0))
        self.tasks[group] = (many + 1, tries + attempts, again + max(attempts - 1, 0), spent + seconds)
        when, last, took, *rows = self.tables.get(key, ((-1, datetime.min), None, 0.0, 0, 0, 0))
        if status != "skipped" and (run_id, started) >= when:
            when, last, took = (run_id, started), status, seconds
        self.tables[key] = (when, last, took, rows[0] + rows_in, rows[1] + rows_out, rows[2] + aside)
        if status != "skipped" and run[2] != "running":
            newest, tasks = self.of_runs.get(flow, (-1, ()))
            if run_id >= newest:
                offset = (started - run[3]).total_seconds()
                self.of_runs[flow] = run_id, (*(tasks if run_id == newest else ()), (task, table, offset, seconds))

    def take_check(self, row: Row) -> None:
        """One row of ledger.checks."""
        run_id, table, dimension, severity, passed, unusual = row
        key = (table, dimension, severity, passed)
        many, last, of_last, odd = self.checks.get(key, (0, -1, 0, 0))
        if run_id > last:
            last, of_last, odd = run_id, 0, 0
        same = run_id == last
        self.checks[key] = (many + 1, last, of_last + same, odd + (same and unusual))


class History:
    """Keeps the tally of the runs that have ended."""

    def __init__(self, slas: Mapping[str, float]) -> None:
        self._slas = slas
        self._ended, self._shown = Tally(), Tally()  # what is shown is never added to
        self._last: Row = (0,)  # the last run that was added up
        self._new: list[Row] = []

    def goes_on(self, database: Database) -> bool:
        """Look for runs that are not added up yet. False if the last one that is is not in this ledger."""
        self._new = sorted(database.rows(_RUNS, [self._last[0]]))
        return self._last == (0,) or self._new[:1] == [self._last]

    def tally(self, database: Database) -> Tally:
        """Of all runs. A run's rows are written before it ends, and only retention takes them away afterwards."""
        runs = [row for row in self._new if row[0] > self._last[0]]
        if not runs:
            return self._shown
        running = [row[0] for row in runs if row[2] == "running"]
        ended = [row for row in runs if not running or row[0] < min(running)]
        for place in range(0, len(ended), _AT_ONCE):
            some = ended[place : place + _AT_ONCE]
            self._take(database, self._ended, some, self._last[0])
            self._last = some[-1]
        self._shown = self._ended.copy()
        if running:
            self._take(database, self._shown, runs[len(ended) :], self._last[0])
        return self._shown

    def _take(self, database: Database, tally: Tally, runs: Sequence[Row], above: int) -> None:
        """Add some runs, all those above a number up to the last of them, and what they did."""
        known: dict[Any, Row] = {row[0]: row for row in runs}
        span = [above, runs[-1][0]]
        for row in runs:
            tally.take_run(row, self._slas.get(row[1], float("inf")))
        for row in database.rows(_TASKS, span):
            if row[0] in known:
                tally.take_task(row, known[row[0]])
        for row in database.rows(_CHECKS, span):
            tally.take_check(row)
