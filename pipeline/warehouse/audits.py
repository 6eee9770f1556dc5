"""The ledger of checks: what was checked, what came of it, and what a person overruled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from pipeline.errors import UsageError
from pipeline.warehouse.database import Database

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class CheckRecord:
    """One row of ledger.checks. `outcome`: passed or failed; `looked_at`: all, or changed rows only."""

    name: str
    type: str
    dimension: str
    severity: str
    outcome: str
    value: float | None
    threshold: str
    rows_failed: int | None
    seconds: float
    looked_at: str = "all"

    def sentence(self, table: str) -> str:
        """What a person reads of a failure: names and numbers, never a value of the data."""
        found = "nothing to compare" if self.value is None else f"{self.value:,.12g}"
        return f"{table}.{self.name} ({self.dimension}): found {found}, {self.threshold or 'which is not allowed'}"


@dataclass(frozen=True)
class Audit:
    """The last audit of a table: which version and contract, whether every row, and the errors not overruled."""

    run_id: int
    table: str
    version: int
    contract: str
    outcome: str
    whole_at: datetime | None
    partly: bool
    errors: tuple[str, ...] = ()


def last_audits(database: Database) -> dict[str, Audit]:
    """The last audit of every table that has one."""
    found = database.rows(
        "SELECT table_name, max(run_id), arg_max(version, run_id), arg_max(contract, run_id), arg_max(outcome, run_id), "
        "max(checked_at) FILTER (whole), arg_max(whole, run_id) FROM ledger.audits GROUP BY table_name"
    )
    failures: dict[str, list[str]] = {}
    if any(row[4] == FAILED for row in found):
        for table, record in failing(database):
            failures.setdefault(table, []).append(record.sentence(table))
    return {
        name: Audit(run, name, version, contract, outcome, whole_at, not whole, tuple(failures.get(name, ())))
        for name, run, version, contract, outcome, whole_at, whole in found
    }


def failing(database: Database) -> list[tuple[str, CheckRecord]]:
    """The errors of the last audit of each table that nobody has overruled."""
    rows = database.rows(
        "SELECT c.table_name, c.check_name, c.check_type, c.dimension, c.severity, c.outcome, c.value, c.threshold, "
        "c.rows_failed, c.seconds, c.rows_looked_at FROM ledger.checks c JOIN (SELECT table_name, max(run_id) AS run_id "
        "FROM ledger.audits GROUP BY table_name) a ON a.table_name = c.table_name AND a.run_id = c.run_id "
        "WHERE c.outcome = 'failed' AND c.severity = 'error' AND NOT EXISTS (SELECT 1 FROM ledger.acceptances x "
        "WHERE x.table_name = c.table_name AND x.check_name = c.check_name AND x.run_id = c.run_id) "
        "ORDER BY c.table_name, c.check_name"
    )
    return [(row[0], CheckRecord(*row[1:])) for row in rows]


def record_audit(
    database: Database,
    run_id: int,
    table: str,
    version: int,
    contract: str,
    checks: Sequence[CheckRecord],
    now: datetime,
    *,
    again: bool = True,
) -> Audit:
    """Keep what an audit found; in the transaction that wrote the table, where there is one.

    `again`: the run may have audited the table before.
    """
    errors = tuple(check.sentence(table) for check in checks if check.outcome == FAILED and check.severity == "error")
    whole = all(check.looked_at == "all" for check in checks)
    warned = any(check.outcome == FAILED for check in checks)
    outcome = FAILED if errors else "warned" if warned else PASSED
    for name in ("checks", "audits") if again else ():
        database.run(f"DELETE FROM ledger.{name} WHERE run_id = ? AND table_name = ?", [run_id, table])
    add_checks(database, run_id, table, checks, now)
    seconds = sum(check.seconds for check in checks)
    database.run(
        "INSERT INTO ledger.audits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [run_id, table, version, contract, whole, outcome, seconds, now],
    )
    return Audit(run_id, table, version, contract, outcome, now if whole else None, not whole, errors)


def add_checks(database: Database, run_id: int, table: str, checks: Sequence[CheckRecord], now: datetime) -> None:
    """Keep the results of some checks of a table."""
    database.insert_many(
        "INSERT INTO ledger.checks SELECT * FROM",
        None,
        [
            (
                run_id,
                table,
                check.name,
                check.type,
                check.dimension,
                check.severity,
                check.outcome,
                check.value,
                check.threshold,
                check.rows_failed,
                check.seconds,
                check.looked_at,
                now,
            )
            for check in checks
        ],
    )


def accept(database: Database, name: str, why: str, now: datetime) -> tuple[str, str]:
    """Overrule one failure of the last audit, once. Returns the table and the check.

    Raises UsageError when no error of that name stands.
    """
    standing = {f"{table}.{check.name}": (table, check.name) for table, check in failing(database)}
    if name not in standing:
        known = f"what stands: {', '.join(standing)}" if standing else "`goldfeed checks` lists the last results"
        raise UsageError(f"no error of the name {name} stands", where="publish --accept", do=known)
    table, check = standing[name]
    database.run(
        "INSERT INTO ledger.acceptances SELECT ?, ?, max(run_id), ?, ? FROM ledger.audits WHERE table_name = ?",
        [table, check, why, now, table],
    )
    return table, check


@dataclass
class Audits:
    """The last audits, held in memory while one run works: `noted` after each commit."""

    _held: dict[str, Audit] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _loaded: bool = False

    def load(self, database: Database) -> Audits:
        """Read them once."""
        with self._lock:
            if not self._loaded:
                self._held, self._loaded = last_audits(database), True
        return self

    def of(self, table: str) -> Audit | None:
        """The last audit of a table."""
        return self._held.get(table)

    def noted(self, audit: Audit) -> None:
        """A table was audited, and that is committed."""
        before = self._held.get(audit.table)
        if audit.whole_at is None and before is not None:
            audit = Audit(**{**vars(audit), "whole_at": before.whole_at})
        self._held[audit.table] = audit

    def errors(self, table: str) -> tuple[str, ...]:
        """The errors of a table's last audit that nobody has overruled."""
        found = self._held.get(table)
        return found.errors if found else ()
