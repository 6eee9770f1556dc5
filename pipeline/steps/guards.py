"""A delivery that is far too small: what no contract of a table that only grows can see."""

from __future__ import annotations

from statistics import median

from pipeline.warehouse.audits import FAILED, PASSED, CheckRecord
from pipeline.warehouse.database import Database

SHARE, DELIVERIES, ROWS = (
    0.1,
    5,
    100,
)  # of the usual; deliveries to know the usual by; rows below which nothing is usual


def delivery(database: Database, source: str) -> CheckRecord | None:
    """Whether what the last run took in of a source is less than a tenth of what runs usually bring.

    None while there have been too few deliveries, or too small ones, to know what is usual.
    """
    found = database.rows(
        "SELECT run_id, sum(bronze_rows + quarantined_rows) FROM ledger.files WHERE source = ? GROUP BY run_id "
        "ORDER BY run_id DESC LIMIT 31",
        [source],
    )
    rows = [int(row[1]) for row in found]
    if len(rows) <= DELIVERIES or median(rows[1:]) < ROWS:
        return None
    came, usual = rows[0], median(rows[1:])
    outcome = PASSED if came >= SHARE * usual else FAILED
    words = f"must be at least {SHARE * usual:,.0f}, a tenth of the usual"
    return CheckRecord("delivery", "delivery", "completeness", "error", outcome, came, words, None, 0.0)
