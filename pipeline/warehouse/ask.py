"""A person's query beside a run: what a read-only file would refuse is refused here, by the engine's own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from pipeline.errors import UsageError, first_line
from pipeline.warehouse.database import Database, Row

_HARMLESS = ("range", "generate_series", "unnest", "repeat", "json_each", "json_tree", "summary", "sql_auto_complete")
_EXPLAIN = re.compile(r"\s*explain(\s+analyze\b)?", re.I)


def ask(database: Database, statement: str) -> tuple[list[str], list[Row]]:
    """One SELECT over the tables of the warehouse, in a transaction that cannot write. Raises UsageError for all else."""
    _check(database, statement)
    return database.query(statement, sandbox=False)


def _check(database: Database, statement: str) -> None:
    bare = _EXPLAIN.sub("", statement, count=1)
    try:
        many = len(duckdb.extract_statements(statement))
    except duckdb.Error as error:
        raise UsageError(first_line(error), where="query", do="correct the SQL") from error
    if many != 1:
        raise UsageError("a query is one statement", where="query", do="give one SELECT")
    parsed = json.loads(database.value("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [bare]))
    if parsed["error"]:
        raise UsageError(
            f"the warehouse is only read here: {parsed['error_message']}", where="query", do="give one SELECT"
        )
    for node in _nodes(parsed):
        _check_node(database, node)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _check_node(database: Database, node: dict[str, Any]) -> None:
    """Tables outside the file, and functions that read files or settings, are refused."""
    if node.get("type") == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name", "")).lower()
        if name not in _HARMLESS and not name.startswith(("duckdb_", "pragma_")):
            raise UsageError(f"{name}() is not allowed here", where="query", do="ask tables of the warehouse")
    elif node.get("type") == "BASE_TABLE" and not node.get("schema_name"):
        name = str(node.get("table_name", ""))
        if not re.fullmatch(r"\w+", name):
            raise UsageError(f"{name} is no table of the warehouse", where="query", do="ask tables of the warehouse")
    elif node.get("type") == "FUNCTION" and str(node.get("function_name", "")).lower() == "getenv":
        raise UsageError("getenv() is not allowed here", where="query", do="ask tables of the warehouse")
