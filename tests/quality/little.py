"""Contracts for the tiny shop."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

from tests.conftest import Shop

GOOD = ("1,ann,paid,10.00,2024-01-01", "2,bob,created,20.00,2024-01-02")


def attributes(dimension: str = "accuracy", severity: str = "error") -> str:
    return f"attributes: {{dimension: {dimension}, severity: {severity}}}"


def contract(table: str, checks: str = "", columns: str = "", *, top: str = "", counted: bool = True) -> str:
    """The text of a contract; with `counted` it has its row_count, as a warning."""
    count = f"  - row_count: {{{attributes('completeness', 'warn')}}}\n" if counted else ""
    body = indent(dedent(checks).strip(), "  ") + "\n" if checks else ""
    held = f"columns:\n{indent(dedent(columns).strip(), '  ')}\n" if columns else ""
    return f"dataset: goldfeed/{table.replace('.', '/')}\n{top}checks:\n{count}{body}{held}"


def agree(shop: Shop, table: str, checks: str = "", columns: str = "", *, top: str = "", counted: bool = True) -> None:
    """Write the contract of a table."""
    text = contract(table, checks, columns, top=top, counted=counted)
    shop.write(f"sql/{table.replace('.', '/')}.contract.yml", text)


def results(shop: Shop, table: str) -> dict[str, dict[str, Any]]:
    """check name -> the row of its last audit in the ledger."""
    names = ("check_name", "check_type", "dimension", "severity", "outcome", "value", "rows_failed", "rows_looked_at")
    rows = shop.warehouse(
        f"SELECT {', '.join(names)} FROM ledger.checks WHERE table_name = '{table}' "
        f"AND run_id = (SELECT max(run_id) FROM ledger.audits WHERE table_name = '{table}')"
    )
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}
