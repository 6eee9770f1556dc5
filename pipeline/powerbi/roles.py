"""Roles of goldfeed.yml as row-level security: SQL conditions over one table, written in DAX."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlglot import exp

from pipeline.errors import ProjectError
from pipeline.powerbi.catalog import Catalog, Table
from pipeline.powerbi.names import dax_column, dax_text
from pipeline.project.condition import columns_used, parse_condition
from pipeline.project.role import is_among
from pipeline.project.yamlfile import read_yaml

_COMPARISONS: dict[type[exp.Expr], tuple[str, str]] = {  # how it is written, and its opposite
    exp.EQ: ("=", "<>"), exp.NEQ: ("<>", "="), exp.LT: ("<", ">="), exp.LTE: ("<=", ">"), exp.GT: (">", "<="),
    exp.GTE: (">=", "<"),
}  # fmt: skip
_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Lower: "LOWER", exp.Upper: "UPPER", exp.Year: "YEAR", exp.Month: "MONTH", exp.Day: "DAY",
}  # fmt: skip
_USERS = (exp.CurrentUser, exp.SessionUser, exp.Placeholder, exp.Parameter)


def roles_of(folder: Path) -> dict[str, dict[str, Any]]:
    """`roles:` of goldfeed.yml as it is written there: name -> tables, columns, rows, pii."""
    path = folder / "goldfeed.yml"
    found = read_yaml(path.read_text(encoding="utf-8"), path).get("roles") or {}
    return {str(name): dict(role or {}) for name, role in found.items()}


def row_filters(name: str, role: Mapping[str, Any], catalog: Catalog) -> list[tuple[Table, str]]:
    """For each table that a role does not see whole: the DAX that is true for its rows.

    A table that the role does not name among its tables has no rows for it. Raises ProjectError for a condition
    that cannot be written in DAX.
    """
    rows = {str(table).removeprefix("gold."): str(text) for table, text in (role.get("rows") or {}).items()}
    filters = []
    for table in catalog.tables:
        if table.source.startswith("_"):
            continue
        if not sees(role, table.source):
            filters.append((table, "FALSE()"))
        elif table.source in rows:
            filters.append((table, _dax(rows[table.source], table, name)))
    return filters


def sees(role: Mapping[str, Any], table: str) -> bool:
    """Whether a role may see a table, by name or pattern (`dim_*`); a role that names no tables sees all."""
    named = role.get("tables") or ()
    patterns = [named] if isinstance(named, str) else named
    return not patterns or is_among(table, map(str, patterns))


def _dax(condition: str, table: Table, role: str) -> str:
    def refuse(what: str) -> ProjectError:
        return ProjectError(
            f"the rows of {table.source} for the role {role} cannot be written in DAX: {what}",
            where="goldfeed.yml: roles",
            do="use comparisons, IN, IS NULL, AND, OR and NOT over the table's columns",
        )

    try:
        tree = parse_condition(condition)
        if not table.has(*columns_used(tree)):
            return "FALSE()"  # the rule asks a column that this model lacks: nobody could tell which rows are meant
        return _written(tree, table)
    except ValueError as error:
        raise refuse(str(error)) from error


def _written(node: exp.Expr, table: Table, wanted: bool = True) -> str:
    """DAX that is true where the SQL is true (or, not `wanted`, where it is false): where it is NULL it is neither.

    Raises ValueError for what DAX cannot say in the same way.
    """
    if isinstance(node, exp.Paren):
        return _written(node.this, table, wanted)
    if isinstance(node, exp.Not):
        return _written(node.this, table, not wanted)
    if isinstance(node, (exp.And, exp.Or)):
        sign = "&&" if isinstance(node, exp.And) == wanted else "||"
        return f"({_written(node.this, table, wanted)} {sign} {_written(node.expression, table, wanted)})"
    if isinstance(node, exp.Boolean):
        return "TRUE()" if bool(node.this) == wanted else "FALSE()"
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        blank = f"ISBLANK({_value(node.this, table)})"
        return blank if wanted else f"NOT {blank}"
    return _compared(node, table, wanted)


def _compared(node: exp.Expr, table: Table, wanted: bool) -> str:
    if type(node) in _COMPARISONS:
        text = f"{_value(node.this, table)} {_COMPARISONS[type(node)][not wanted]} {_value(node.expression, table)}"
    elif isinstance(node, exp.In) and node.expressions:
        listed = ", ".join(_value(one, table) for one in node.expressions)
        text = f"{'' if wanted else 'NOT '}{_value(node.this, table)} IN {{{listed}}}"
    elif isinstance(node, exp.Between):
        low, high = (
            f"{_value(node.this, table)} {sign} {_value(node.args[end], table)}"
            for sign, end in ((">=", "low"), ("<=", "high"))
        )
        text = f"{low} && {high}" if wanted else f"NOT ({low} && {high})"
    elif isinstance(node, exp.Like):
        text = f"{_begins(node, table)} = {'TRUE()' if wanted else 'FALSE()'}"
    elif isinstance(node, exp.Column):
        text = f"{_value(node, table)} = {'TRUE()' if wanted else 'FALSE()'}"
    else:
        raise ValueError(node.sql("duckdb"))
    known = [f"NOT ISBLANK({_value(column, table)})" for column in node.find_all(exp.Column)]
    return f"({' && '.join([*dict.fromkeys(known), text])})"


def _begins(node: exp.Expr, table: Table) -> str:
    """`LIKE 'abc%'`. Raises ValueError for any other pattern."""
    pattern = node.expression.name
    if not isinstance(node.expression, exp.Literal) or not pattern.endswith("%") or set("%_") & set(pattern[:-1]):
        raise ValueError(node.sql("duckdb"))
    return f"EXACT(LEFT({_value(node.this, table)}, {len(pattern) - 1}), {dax_text(pattern[:-1])})"


def _value(node: exp.Expr, table: Table) -> str:
    if isinstance(node, exp.Column):
        column = table.column(node.name)
        if column is None:
            raise ValueError(f"the table has no column {node.name}")
        return dax_column(table.name, column.name)
    if isinstance(node, exp.Literal):
        return dax_text(node.this) if node.args.get("is_string") else str(node.this)
    if isinstance(node, exp.Boolean):
        return "TRUE()" if node.this else "FALSE()"
    if isinstance(node, exp.Neg):
        return f"-{_value(node.this, table)}"
    if type(node) in _FUNCTIONS:
        return f"{_FUNCTIONS[type(node)]}({_value(node.this, table)})"
    if isinstance(node, _USERS):
        return "USERPRINCIPALNAME()"
    if isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.DATE and isinstance(node.this, exp.Literal):
        day = date.fromisoformat(node.this.name)
        return f"DATE({day.year}, {day.month}, {day.day})"
    raise ValueError(node.sql("duckdb"))
