"""A table against its contract, in the transaction that wrote it; every check gives an outcome or the step fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from pipeline.errors import PermanentError
from pipeline.project.contract import CHANGED, Check, Contract, fingerprint, read_contract, soda_text
from pipeline.sql import WHOLE_ROW, columns_list, quoted, table_name
from pipeline.steps import soda
from pipeline.steps.context import Run, StepResult
from pipeline.steps.guards import delivery
from pipeline.steps.lean import Look
from pipeline.warehouse.audits import FAILED, PASSED, Audit, CheckRecord, record_audit
from pipeline.warehouse.ledger import table_states

LARGE = 50_000  # rows above which that keys differ is proven rather than counted
KEPT_ROWS = 100  # rows of one failed check that are shown in quarantine
_VERDICTS = {"PASSED": PASSED, "FAILED": FAILED, "WARN": FAILED}


@dataclass(frozen=True)
class Changed:
    """The rows of a table that have changed since a version of it: a condition that they meet, and how many they are."""

    condition: str
    count: int
    since: int


def audit(
    run: Run,
    table: str,
    version: int,
    rows: int,
    *,
    changed: Changed | None = None,
    guards: tuple[CheckRecord, ...] = (),
) -> Audit | None:
    """Check one table, which has changed or whose contract has. None when it has no contract and no guard spoke.

    Raises PermanentError when a check gives no outcome: what was not checked is not good.
    """
    path = run.project.contracts.get(table)
    records = list(guards)
    if path is not None:
        contract = read_contract(table, path)
        if changed is None or not changed_is_enough(run, table, contract, rows, changed):
            changed = None
        records += _verify(run, contract, changed, Look(rows > LARGE))
    if not records:
        return None
    mark = fingerprint(path) if path is not None else ""
    last = run.audits.load(run.database).of(table)
    again = last is not None and last.run_id == run.run_id
    return record_audit(run.database, run.run_id, table, version, mark, records, run.now, again=again)


def changed_is_enough(run: Run, table: str, contract: Contract, rows: int, changed: Changed) -> bool:
    """Whether the changed rows alone tell how the table is.

    That is so for a large table whose other rows were found good under the same contract, not too long ago; also for a
    small one that is compared with others by a query that can be told which rows have changed.
    """
    settings, last = run.project.settings, run.audits.load(run.database).of(table)
    if last is None or last.outcome != PASSED or last.contract != contract.fingerprint or last.whole_at is None:
        return False
    if last.version != changed.since:
        return False
    fresh = run.now - last.whole_at < timedelta(hours=settings.full_check_hours)
    worth = rows > settings.check_whole_below or contract.compares
    return fresh and worth and changed.count * 2 < rows


def key_condition(run: Run, key: list[str], since: int) -> Changed | None:
    """The rows whose keys are among those of temp.added; None when a key is blank, which no comparison finds."""
    names = columns_list(key)
    blank = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
    count, blanks = run.database.rows(f"SELECT count(*), count(*) FILTER ({blank}) FROM temp.added")[0]
    if blanks:
        return None
    left = names if len(key) == 1 else f"({names})"
    return Changed(f"{left} IN (SELECT {names} FROM temp.added)", count, since)


def batch_condition(first: int, last: int, count: int, since: int) -> Changed:
    """The rows of the batches after `first` up to `last`."""
    return Changed(f"_batch > {int(first)} AND _batch <= {int(last)}", count, since)


def expect_contracts(run: Run, tables: list[str]) -> None:
    """Get ready for the contracts of some tables, beside the work that comes before them."""
    if any(table in run.project.contracts for table in tables):
        soda.warm()


# ---------------------------------------------------------------- one contract
def _verify(run: Run, contract: Contract, changed: Changed | None, look: Look) -> list[CheckRecord]:
    if changed is None:
        return _verify_part(run, contract, contract.checks, None, look)
    by_row = tuple(check for check in contract.checks if check.by_row)
    others = tuple(check for check in contract.checks if not check.by_row)
    found = _verify_part(run, contract, by_row, changed, look) if by_row else []
    return found + (_verify_part(run, contract, others, None, look) if others else [])


def _verify_part(
    run: Run, contract: Contract, checks: tuple[Check, ...], changed: Changed | None, look: Look
) -> list[CheckRecord]:
    condition = changed.condition if changed else None
    try:
        found = soda.verify(
            run.database.connection, soda_text(contract, checks, condition), condition or "true", run.now, look
        )
    except PermanentError as error:
        raise PermanentError(error.what, where=str(contract.path), do="correct the contract") from error
    each = found.seconds / len(checks)
    outcomes = demanded(contract, checks, found)
    records = []
    for check in checks:
        outcome = outcomes[check.path]
        record = CheckRecord(
            check.name,
            check.type,
            check.dimension,
            check.severity,
            _VERDICTS[outcome.outcome],
            outcome.value,
            outcome.threshold,
            outcome.rows_failed,
            each,
            "changed" if changed else "all",
        )
        if record.outcome == FAILED and check.severity == "error":  # those of warnings are counted
            record = _show_rows(run, contract, check, record, found.failing.get(check.path), condition)
        records.append(record)
    return records


def demanded(contract: Contract, checks: tuple[Check, ...], found: soda.Verified) -> dict[str, soda.Outcome]:
    """The outcome of every check by its path. Raises PermanentError when one is missing, or was not evaluated."""
    outcomes = {outcome.path: outcome for outcome in found.outcomes}
    because = f": {found.complaints[0]}" if found.complaints else ""
    for check in checks:
        outcome = outcomes.get(check.path)
        if (
            outcome is None
            or outcome.outcome not in _VERDICTS
            or (outcome.outcome == "PASSED" and outcome.value is None)
        ):
            raise PermanentError(
                f"the check {check.name} of {contract.table} was not evaluated{because}",
                where=str(contract.path),
                do="correct the contract or the model",
            )
    return outcomes


# ---------------------------------------------------------------- rows that failed
def _show_rows(
    run: Run, contract: Contract, check: Check, record: CheckRecord, condition: str | None, changed: str | None
) -> CheckRecord:
    """Put some rows of a failed check into quarantine, to be looked at: they stay in the table."""
    rows = _failing_rows(contract, check, condition, changed)
    if rows is None:
        return record
    database = run.database
    database.run(f"CREATE OR REPLACE TEMP TABLE failing AS SELECT * FROM ({rows}) LIMIT {KEPT_ROWS}")
    many = int(database.value("SELECT count(*) FROM temp.failing"))
    database.run(
        "INSERT INTO ledger.quarantine SELECT ? + row_number() OVER (), ?, NULL, NULL, ?, ?, "
        f"CAST(to_json({WHOLE_ROW}) AS VARCHAR), NULL, ?, ? FROM temp.failing {WHOLE_ROW}",
        [
            run.numbers.take(database, many),
            contract.table,
            f"contract {check.name}",
            check.column,
            run.run_id,
            run.now,
        ],
    )
    database.run("DROP TABLE temp.failing")
    return replace(record, rows_failed=many if record.rows_failed is None else record.rows_failed)


def _failing_rows(contract: Contract, check: Check, condition: str | None, changed: str | None) -> str | None:
    """A SELECT of the rows that a check found wrong; None where no single row is."""
    parts = [part for part in (contract.data.get("filter"), changed) if part]
    if "query" in check.body:
        return str(check.body["query"]).replace(CHANGED, changed or "true")
    if check.type == "duplicate":
        names = check.body.get("columns") or [check.column]
        where = f" WHERE {' AND '.join(f'({part})' for part in parts)}" if parts else ""
        keys = f"SELECT {columns_list(names)} FROM {table_name(contract.table)}{where} GROUP BY ALL HAVING count(*) > 1"
        return f"SELECT t.* FROM {table_name(contract.table)} t JOIN ({keys}) d USING ({columns_list(names)})"
    if condition is None:
        return None
    where = " AND ".join(f"({part})" for part in (*parts, condition))
    return f"SELECT * FROM {table_name(contract.table)} WHERE {where}"


def forget_rows(run: Run, table: str) -> None:
    """Take the rows that an earlier audit of a table showed out of quarantine."""
    last = run.audits.load(run.database).of(table)
    if last is None or last.outcome == PASSED:
        return
    run.database.run("DELETE FROM ledger.quarantine WHERE source = ? AND starts_with(reason, 'contract ')", [table])


# ---------------------------------------------------------------- a table that has not changed
def check_again(run: Run, table: str) -> StepResult:
    """Check a table as it is: its contract has changed, or the whole of it is due."""
    state = table_states(run.database)[table]
    source = run.project.graph.sources.get(table)
    guard = delivery(run.database, source.name) if source else None
    with run.database.transaction():
        forget_rows(run, table)
        found = audit(run, table, state.version, state.kept, guards=(guard,) if guard else ())
    if found is None:
        return StepResult("unchanged")
    run.audits.noted(found)
    return judged(table, StepResult("succeeded", rows_in=state.kept, rows_out=state.kept), found)


def judged(table: str, result: StepResult, found: Audit | None) -> StepResult:
    """A step's result in the light of the audit: below gold an error stops what depends on the table."""
    if found is None or not found.errors:
        return result
    if table.startswith("gold."):
        return replace(result, notes=(*result.notes, *found.errors))
    return replace(result, status="failed", error=stopped(found.errors))


def stopped(errors: tuple[str, ...]) -> str:
    """One sentence for the errors of a table."""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}; `goldfeed checks` shows all, `goldfeed publish --accept` overrules one."
