"""Roles of goldfeed.yml as PostgreSQL roles: grants by column, rows by row-level security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp

from pipeline.directquery.tables import fits
from pipeline.errors import ProjectError
from pipeline.powerbi.roles import sees
from pipeline.project.condition import parse_condition
from pipeline.sql import columns_list, quoted

PREFIX, READER = "goldfeed_", "reader"
Roles = Mapping[str, Mapping[str, Any]]


def with_reader(roles: Roles) -> Roles:
    """The roles, and `reader`, who sees all but clear personal data, where none of that name is declared."""
    return {READER: {}, **roles}


def role_name(role: str) -> str:
    """The PostgreSQL role of a role. Raises ProjectError if the name is too long for PostgreSQL."""
    name = PREFIX + role
    if not fits(name):
        raise ProjectError(f"the role {role!r} has too long a name", where="goldfeed.yml: roles", do="shorten it")
    return name


def granted(schema: str, tables: Mapping[str, Any], roles: Roles) -> list[str]:
    """The statements that let each role see its tables, columns and rows, and no others."""
    statements = [f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role_name(role))}" for role in roles]
    for name, table in tables.items():
        place = f"{quoted(schema)}.{quoted(name)}"
        statements.append(f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY")
        for role, said in roles.items():
            columns = _columns(name, table, said) if sees(said, name) or name.startswith("_") else []
            if columns:
                who = quoted(role_name(role))
                statements.append(f"GRANT SELECT ({columns_list(columns)}) ON {place} TO {who}")
                rule = f"CREATE POLICY {who} ON {place} FOR SELECT TO {who} USING ({_condition(role, name, said)})"
                statements.append(rule)
    return statements


def _columns(name: str, table: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    """The columns a role may see: those it names (all, if it names none), without clear personal data unless it may."""
    named = said.get("columns") or {}
    listed = named.get(name) or named.get(f"gold.{name}")
    clear = said.get("pii") == "clear"
    return [
        column["name"]
        for column in table["columns"]
        if (not listed or "*" in listed or column["name"] in listed)
        and (clear or not column.get("pii") or column.get("masked"))
    ]


def _condition(role: str, name: str, said: Mapping[str, Any]) -> str:
    """A role's rule for a table in PostgreSQL's SQL. Raises ProjectError if it cannot be read."""
    rows = said.get("rows") or {}
    text = rows.get(name) or rows.get(f"gold.{name}")
    if not text:
        return "true"
    try:
        condition = parse_condition(text)
    except ValueError as error:
        raise ProjectError(
            f"the rows of {name} for the role {role} are no condition: {error}",
            where="goldfeed.yml: roles",
            do="compare columns with constants or $user",
        ) from error
    user = sqlglot.parse_one("current_user", read="postgres")
    tree = condition.transform(lambda node: user.copy() if isinstance(node, (exp.Placeholder, exp.Parameter)) else node)
    return str(tree.sql("postgres"))
