"""What a scrape asks of the ledger, in one statement.

A statement costs the engine half a millisecond whatever it finds; a branch of this one costs a third of that.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from pipeline.warehouse.database import Database, Row
from pipeline.warehouse.promises import OPEN

NEAR = 10  # runs, by their numbers, whose rows are asked for with all else
NEVER = datetime.min  # when retention was done before it was done at all
_WHERE = "WHERE run_id > ? AND run_id <= ?"
_TASKS = (
    "SELECT run_id, task, layer, table_name, status, started_at, seconds, attempts, rows_in, rows_out, rows_quarantined "
    f"FROM ledger.tasks {_WHERE}"
)
_CHECKS = f"SELECT run_id, table_name, dimension, severity, outcome, check_name FROM ledger.checks {_WHERE}"
_ALL = f"""
SELECT 'task' AS part, run_id AS number, task AS one, layer AS two, table_name AS three, status AS four, NULL AS five,
    started_at AS at, seconds, attempts AS a, rows_in AS b, rows_out AS c, rows_quarantined AS d
    FROM ledger.tasks {_WHERE}
UNION ALL BY NAME SELECT 'check' AS part, run_id AS number, table_name AS one, dimension AS two, severity AS three,
    outcome AS four, check_name AS five FROM ledger.checks {_WHERE}
UNION ALL BY NAME SELECT 'run' AS part, run_id AS number, flow AS one, status AS two, version AS three, started_at AS at,
    finished_at AS until FROM ledger.runs WHERE run_id >= ?
UNION ALL BY NAME SELECT 'retention' AS part, done_at AS at FROM ledger.retentions WHERE done_at >= ?
UNION ALL BY NAME SELECT 'publication' AS part, publication_id AS number, kind AS one, version AS two, tables AS three,
    published_at AS at FROM ledger.publications WHERE publication_id > ?
UNION ALL BY NAME SELECT 'due' AS part, flow AS one, state AS two, due_at AS at FROM ledger.due
    WHERE state IN ('skipped', 'waiting')
UNION ALL BY NAME SELECT 'miss' AS part, kind AS one, table_name AS two FROM ledger.misses WHERE {OPEN}
UNION ALL BY NAME SELECT 'quarantine' AS part, source AS one, reason AS two, count(*) AS number
    FROM ledger.quarantine GROUP BY source, reason
UNION ALL BY NAME SELECT 'table' AS part, table_name AS one, version AS number, built_at AS at,
    rows_in AS a, kept AS b, superseded AS c, quarantined AS d FROM ledger.tables
"""


@dataclass(frozen=True)
class Since:
    """What is known already: the last run and publication, and when retention was done last."""

    run: int = 0
    publication: int = 0
    retained: datetime = NEVER


@dataclass(frozen=True)
class Done:
    """What was done in some runs: (run, task, layer, table, status, start, seconds, attempts, rows in, out and set aside),
    and (run, table, dimension, severity, outcome, name) of checks."""

    tasks: list[Row]
    checks: list[Row]

    def after(self, before: Done) -> Done | None:
        """What came after what was there before; None if it does not begin with that."""
        tasks, checks = len(before.tasks), len(before.checks)
        if self.tasks[:tasks] != before.tasks or self.checks[:checks] != before.checks:
            return None
        return Done(self.tasks[tasks:], self.checks[checks:])

    def add(self, new: Done) -> None:
        """Add what came after this."""
        self.tasks.extend(new.tasks)
        self.checks.extend(new.checks)


@dataclass(frozen=True)
class Answer:
    """What the ledger says.

    runs: (run, flow, status, version, start, end) from the last known one on. done: in the runs after it that are NEAR.
    retained: when retention was done last, if not before the known time. publications: (number, kind, version, tables,
    time) after the known one. dues: (flow, state, when) of those skipped or waiting. misses: (kind, table) of broken
    promises. quarantine: (source, reason, how many), the most frequent reason of a source first. tables: name -> how many
    rows came, what became of them (three numbers), version, and when it last changed.
    """

    runs: list[Row]
    done: Done
    retained: datetime
    publications: list[Row]
    dues: list[Row]
    misses: set[Row]
    quarantine: list[Row]
    tables: dict[str, Row]


def ask(database: Database, since: Since) -> Answer:
    """Ask all of it."""
    span = [since.run, since.run + NEAR]
    of: defaultdict[str, list[Row]] = defaultdict(list)
    for row in database.rows(_ALL, [*span, *span, since.run, since.retained, since.publication]):
        of[row[0]].append(row)
    return Answer(
        runs=sorted((*row[1:5], row[7], row[13]) for row in of["run"]),
        done=Done([(*row[1:6], *row[7:13]) for row in of["task"]], [row[1:7] for row in of["check"]]),
        retained=max((row[7] for row in of["retention"]), default=NEVER),
        publications=sorted((*row[1:5], row[7]) for row in of["publication"]),
        dues=sorted((*row[2:4], row[7]) for row in of["due"]),
        misses={row[2:4] for row in of["miss"]},
        quarantine=sorted(((*row[2:4], row[1]) for row in of["quarantine"]), key=lambda row: (row[0], -row[2], row[1])),
        tables={row[2]: (*row[9:13], row[1], row[7]) for row in sorted(of["table"], key=lambda row: str(row[2]))},
    )


def ask_done(database: Database, above: int, upto: int) -> Done:
    """What was done in the runs above a number, up to another."""
    span = [above, upto]
    return Done(database.rows(_TASKS, span), database.rows(_CHECKS, span))
