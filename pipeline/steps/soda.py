"""Soda Core on the live connection: one contract, inside the transaction that wrote the table.

What is known of it (docs/quality.md has the list) is met here: its telemetry
is off before it is imported, one session runs at a time, it must not end our
transaction, and it can call a contract good without having looked: whoever
calls this compares the outcomes with the checks that were asked for.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Any

import duckdb

from pipeline.errors import PermanentError, first_line
from pipeline.steps.lean import Look, Soda, imported

_LOCK = Lock()  # its sessions share state
_BOUNDS = (
    "must_be",
    "must_not_be",
    "must_be_greater_than",
    "must_be_greater_than_or_equal",
    "must_be_less_than",
    "must_be_less_than_or_equal",
)
_COUNTS = ("missing_count", "invalid_count", "duplicate_count", "failed_rows_count")


@dataclass(frozen=True)
class Outcome:
    """What came of one check. `outcome`: PASSED, FAILED, WARN, NOT_EVALUATED or EXCLUDED, as Soda says it."""

    path: str
    outcome: str
    value: float | None
    threshold: str
    rows_failed: int | None


@dataclass
class Verified:
    """The outcomes by path, a SELECT of the rows that failed where Soda can say which, and what it complained of.

    `seconds`: what it took, without the wait for another table's contract.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0


def verify(
    connection: duckdb.DuckDBPyConnection, contract: dict[str, Any], changed: str, now: datetime, look: Look
) -> Verified:
    """Verify one contract. `changed`: what the variable of that name stands for.

    Raises PermanentError when Soda cannot read the contract at all.
    """
    with _LOCK:
        soda, began = _soda(), time.monotonic()
        variables = {"changed": changed} if "changed" in (contract.get("variables") or {}) else {}
        soda.seen.clear()
        try:
            result = soda.session.execute(
                [soda.source(yaml_str=json.dumps(contract, default=str))],
                variables=variables,
                data_timestamp=now.replace(tzinfo=UTC).isoformat(),
                data_source_impls=[soda.data_source(connection, look)],
            )
        except Exception as error:  # Soda has many kinds; each of them means that nothing was checked
            raise PermanentError(f"the contract cannot be checked: {first_line(error)}") from error
        found = Verified(failing=dict(soda.seen), seconds=time.monotonic() - began)
        for one in result.contract_verification_results:
            found.outcomes += [_outcome(check) for check in one.check_results]
            found.complaints += [
                _cause(record.getMessage()) for record in one.log_records or () if record.levelno >= logging.ERROR
            ]
        return found


_loaded: list[Soda] = []


def warm() -> None:
    """Import Soda in a thread of its own, while files are read: by the first contract it is there."""

    def load() -> None:
        with _LOCK:
            _soda()

    Thread(target=load, daemon=True).start()


def _soda() -> Soda:
    """Import Soda, once and only when a contract runs: it takes more than half a second."""
    if not _loaded:
        os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
        _loaded.append(imported())
    return _loaded[0]


def _outcome(result: Any) -> Outcome:
    measured = result.diagnostic_metric_values or {}
    failed = next((measured[name] for name in _COUNTS if measured.get(name) is not None), None)
    value = result.threshold_value
    return Outcome(
        result.check.relative_path,
        result.outcome.name,
        float(value) if value is not None else None,
        _columns_told(result) or _threshold(result.check.threshold),
        int(failed) if failed is not None else None,
    )


def _columns_told(result: Any) -> str:
    """What a schema check found, by the names of the columns; empty for other checks and where all is well."""
    if not hasattr(result, "expected_column_names_not_actual"):
        return ""
    parts = {
        "missing columns": result.expected_column_names_not_actual,
        "undeclared columns": result.actual_column_names_not_expected,
        "of another type": [one.column for one in result.column_data_type_mismatches],
        "not in the order declared": ["the columns"] if result.are_columns_out_of_order else [],
    }
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in parts.items() if names)


def _threshold(threshold: Any) -> str:
    if threshold is None:
        return ""
    parts = [f"{word.replace('_', ' ')} {_number(getattr(threshold, word))}" for word in _BOUNDS]
    return " and ".join(part for part in parts if not part.endswith(" None"))


def _number(value: Any) -> str:
    return "None" if value is None else f"{value:,.12g}"


def _cause(message: str) -> str:
    """The engine's own sentence within a message of Soda's; else the first line."""
    lines = [line for line in message.splitlines() if "Error: " in line]
    return first_line(lines[0] if lines else message)
