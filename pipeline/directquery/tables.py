"""Tables of PostgreSQL that hold exactly what gold holds: types, keys and indexes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.sql import columns_list, quoted

_TYPES = {
    "BOOLEAN": "boolean", "TINYINT": "smallint", "UTINYINT": "smallint", "SMALLINT": "smallint", "USMALLINT": "integer",
    "INTEGER": "integer", "UINTEGER": "bigint", "BIGINT": "bigint", "UBIGINT": "numeric(20,0)",
    "HUGEINT": "numeric(38,0)", "FLOAT": "real", "DOUBLE": "double precision", "VARCHAR": "text", "DATE": "date",
    "TIME": "time", "TIMESTAMP": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamptz", "BLOB": "bytea",
}  # fmt: skip
# what DuckDB casts to so that the driver sends the type above
_CASTS = {
    "TINYINT": "SMALLINT", "UTINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)", "HUGEINT": "DECIMAL(38,0)",
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*\d+\)")
_NAME = 63  # bytes of a name in PostgreSQL


def postgres_type(duckdb_type: str) -> str:
    """The type that holds every value of DuckDB's; text for those without one (lists, structs, enums)."""
    if _DECIMAL.fullmatch(duckdb_type):
        return duckdb_type.lower().replace("decimal", "numeric")
    return _TYPES.get(duckdb_type, "text")


def selected(columns: Sequence[Mapping[str, Any]], source: str) -> str:
    """SELECT over a published table that gives what `postgres_type` holds."""
    return f"SELECT {', '.join(_sent(column['name'], column['type']) for column in columns)} FROM {quoted(source)}"


def _sent(name: str, type_: str) -> str:
    cast = _CASTS.get(type_)
    if cast is None and postgres_type(type_) == "text" and type_ != "VARCHAR":
        cast = "VARCHAR"
    return f"CAST({quoted(name)} AS {cast}) AS {quoted(name)}" if cast else quoted(name)


def create(schema: str, name: str, columns: Sequence[Mapping[str, Any]]) -> str:
    """CREATE TABLE with exact types."""
    parts = ", ".join(f"{quoted(column['name'])} {postgres_type(column['type'])}" for column in columns)
    return f"CREATE TABLE {quoted(schema)}.{quoted(name)} ({parts})"


def indexes(schema: str, name: str, table: Mapping[str, Any]) -> list[str]:
    """A unique index on the key, one on each foreign key and on each date."""
    place = f"{quoted(schema)}.{quoted(name)}"
    key = [str(column) for column in table.get("key") or ()]
    single = dict.fromkeys(
        [*(table.get("foreign_keys") or {}), *(c["name"] for c in table["columns"] if c["type"] == "DATE")]
    )
    statements = [f"CREATE UNIQUE INDEX ON {place} ({columns_list(key)})"] if key else []
    there = {column["name"] for column in table["columns"]}
    return statements + [
        f"CREATE INDEX ON {place} ({quoted(column)})" for column in single if column in there and [column] != key
    ]


def fits(name: str) -> bool:
    """Whether PostgreSQL keeps a name whole."""
    return len(name.encode()) <= _NAME
