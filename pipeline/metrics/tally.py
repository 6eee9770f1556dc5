"""The history of runs, added up: what has ended is read once, only what is under way again and again.

Rows are taken as they lie in the ledger: for the few that a scrape has to read, that costs less than the engine needs to
plan a query that sums them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pipeline.metrics.ask import NEAR, Done, ask_done
from pipeline.metrics.families import RUN_BUCKETS, TASK_BUCKETS
from pipeline.warehouse.database import Database, Row

AT_ONCE = 100  # runs; so that a long history is never in memory as a whole


@dataclass
class Tally:
    """Sums by group. The values are never changed in place, so that a copy is cheap; but for `checks`, which has groups in groups.

    runs: (flow, status) -> how many, seconds, how many over the sla; id, end, seconds and begin of the last.
    lengths: (flow, bucket) -> how many. tasks: (flow, layer, status, bucket) -> how many, attempts, retries, seconds.
    tables: (layer, table) -> when (run, time), status and seconds of the last task; rows in, out and set aside.
    of_runs: flow -> its last run, and (task, table, offset, seconds) of its tasks.
    checks: table -> (dimension, severity, passed) -> how many, the last run, how many in it, how many of those unusual.
    audited: (layer, dimension, severity, passed) -> how many checks of the tables that are shown by name.
    published: the last run that did, or could have, and its status.
    """

    runs: dict[tuple[str, str], Row] = field(default_factory=dict)
    lengths: dict[tuple[str, int], int] = field(default_factory=dict)
    tasks: dict[tuple[str, str, str, int], Row] = field(default_factory=dict)
    tables: dict[tuple[str, str], Row] = field(default_factory=dict)
    of_runs: dict[str, tuple[int, tuple[Row, ...]]] = field(default_factory=dict)
    checks: dict[str, dict[tuple[str, str, bool], Row]] = field(default_factory=dict)
    audited: dict[tuple[str, str, str, bool], int] = field(default_factory=dict)
    published: dict[str, tuple[int, str]] = field(default_factory=dict)

    def copy(self) -> Tally:
        """One that is added to apart."""
        new = Tally(*(dict(getattr(self, one.name)) for one in fields(self)))
        new.checks = {table: dict(groups) for table, groups in self.checks.items()}
        return new

    def take_run(self, row: Row, sla: float) -> None:
        """One row of `Answer.runs`."""
        run_id, flow, status, version, started, finished = row
        took = (finished - started).total_seconds() if finished is not None else 0.0
        many, seconds, late, last, *_ = self.runs.get((flow, status), (0, 0.0, 0, -1))
        newest = (run_id, finished, took, started) if run_id > last else self.runs[flow, status][3:]
        self.runs[flow, status] = (many + 1, seconds + took, late + (took > sla), *newest)
        if status != "running":
            bucket = bisect_left(RUN_BUCKETS, took)
            self.lengths[flow, bucket] = self.lengths.get((flow, bucket), 0) + 1
        if status == "withheld" or version is not None:
            self.published[""] = max(self.published.get("", (-1, "")), (run_id, status))

    def take_task(self, row: Row, run: Row) -> None:
        """One row of `Done.tasks`, and that of its run."""
        run_id, task, layer, table, status, started, seconds, attempts, rows_in, rows_out, aside = row
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
                offset = (started - run[4]).total_seconds()
                self.of_runs[flow] = run_id, (*(tasks if run_id == newest else ()), (task, table, offset, seconds))

    def take_check(self, row: Row, named: bool) -> None:
        """One row of `Done.checks`; `named`: its table is shown by name."""
        run_id, table, dimension, severity, outcome, name = row
        groups, key = self.checks.setdefault(table, {}), (dimension, severity, outcome == "passed")
        many, last, of_last, odd = groups.get(key, (0, -1, 0, 0))
        if run_id > last:
            last, of_last, odd = run_id, 0, 0
        same = run_id == last
        groups[key] = (many + 1, last, of_last + same, odd + (same and name.startswith("unusual.")))
        if named:
            all_of = (table.partition(".")[0], *key)
            self.audited[all_of] = self.audited.get(all_of, 0) + 1


class History:
    """Keeps the tally of the runs that have ended."""

    def __init__(self, slas: Mapping[str, float], named: Collection[str]) -> None:
        self._slas, self._named = slas, named
        self._ended, self._shown = Tally(), Tally()  # what is shown is never added to
        self._last: Row = (0,)  # the last run that was added up
        self._runs: list[Row] = []  # what was found at the last look, and what was done in the first of them
        self._done = Done([], [])
        self._under_way: tuple[list[Row], Done] | None = None  # the runs in `shown` beside those in `ended`

    @property
    def last(self) -> int:
        """The number of the last run that is added up; 0 before the first."""
        return int(self._last[0])

    def goes_on(self, runs: list[Row], done: Done) -> bool:
        """Take an answer, asked from `last` on. False if that run is not among the runs: it is another ledger."""
        self._runs, self._done = runs, done
        return self._last == (0,) or runs[:1] == [self._last]

    def tally(self, database: Database) -> Tally:
        """Of all runs. A run's rows are written before it ends, and only retention takes them away afterwards."""
        asked = self.last
        runs = [row for row in self._runs if row[0] > asked]
        if not runs and not self._under_way:
            return self._shown
        running = [row[0] for row in runs if row[2] == "running"]
        ended = [row for row in runs if not running or row[0] < min(running)]
        for place in range(0, len(ended), AT_ONCE):
            some = ended[place : place + AT_ONCE]
            self._take(self._ended, some, some, self._done_in(database, some, asked))
            self._last = some[-1]
        rest = runs[len(ended) :]
        self._show(rest, self._done_in(database, rest, asked))
        return self._shown

    def _done_in(self, database: Database, runs: Sequence[Row], asked: int) -> Done:
        """What was done in some runs, all those from the last one on: as the answer says, if it goes so far."""
        above, upto = self.last, runs[-1][0] if runs else 0
        if upto > asked + NEAR:
            return ask_done(database, above, upto)
        tasks, checks = self._done.tasks, self._done.checks
        return Done([row for row in tasks if above < row[0] <= upto], [row for row in checks if above < row[0] <= upto])

    def _show(self, runs: list[Row], done: Done) -> None:
        """What has ended, and these runs. If they are those of the last look, only what they have done since is added."""
        known = self._under_way
        new = done.after(known[1]) if known and known[0] == runs else None
        if known and new:
            self._shown = self._shown.copy()
            self._take(self._shown, [], runs, new)
            known[1].add(new)
        else:
            self._shown = self._ended.copy()
            self._take(self._shown, runs, runs, done)
            self._under_way = (runs, done) if runs else None

    def _take(self, tally: Tally, new: Sequence[Row], runs: Sequence[Row], done: Done) -> None:
        """Add new runs, and what was done in runs."""
        known: dict[Any, Row] = {row[0]: row for row in runs}
        for row in new:
            tally.take_run(row, self._slas.get(row[1], float("inf")))
        for row in done.tasks:
            if row[0] in known:
                tally.take_task(row, known[row[0]])
        for row in done.checks:
            tally.take_check(row, row[1] in self._named)
