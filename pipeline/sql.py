"""Identifiers quoted in one place; values are always bound, never pasted."""

from __future__ import annotations

from collections.abc import Iterable

WHOLE_ROW = '"a whole row"'  # an alias for hash() and to_json(): of a shorter name a table may have a column, which is then meant
PLACE = '"the place of a row"'  # a column beside those of a table, for the same reason of such a name
CHECKSUM = f"count(*), sum(hash({WHOLE_ROW})), bit_xor(hash({WHOLE_ROW}))"  # of a relation with that alias, in whatever order its rows are


def quoted(name: str) -> str:
    """A DuckDB identifier, safe whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def table_name(name: str) -> str:
    """`silver.orders` -> `"silver"."orders"`."""
    layer, _, table = name.partition(".")
    return f"{quoted(layer)}.{quoted(table)}"


def columns_list(names: Iterable[str], prefix: str = "") -> str:
    """`a, b` quoted, each with an optional alias in front."""
    dot = f"{prefix}." if prefix else ""
    return ", ".join(dot + quoted(name) for name in names)


def literal(text: str) -> str:
    """A string literal, for the few statements (COPY, read_csv options) that take no parameter."""
    return "'" + text.replace("'", "''") + "'"
