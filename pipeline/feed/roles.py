"""From a role's name to what it does to a catalog: what it may not see is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from pipeline.errors import RequestError
from pipeline.feed.catalog import Catalog, Column, Role, Table
from pipeline.project.condition import columns_used, condition_for, parse_condition
from pipeline.project.role import RoleFile, bare, is_among

Value = TypeVar("Value")
UNKNOWN = -1  # rows of a table of which a reader sees a part: counting is the route's


def role_of(name: str, user: str, declared: Mapping[str, RoleFile]) -> Role:
    """The role as a function of catalogs. Raises RequestError (403) for a role that is no longer declared."""
    if name == "admin":
        return lambda catalog: catalog
    spec = RoleFile() if name == "reader" else declared.get(name)
    if spec is None:
        raise RequestError(
            "your role is no longer declared", status=403, code="Forbidden", do="ask who runs goldfeed for another"
        )
    return lambda catalog: _limited(catalog, spec, user)


def _limited(catalog: Catalog, spec: RoleFile, user: str) -> Catalog:
    seen = {name: _table(table, spec, user) for name, table in catalog.tables.items() if _is_seen(name, spec)}
    return replace(catalog, tables={name: table for name, table in seen.items() if table is not None}).closed()


def _is_seen(table: str, spec: RoleFile) -> bool:
    return not spec.tables or is_among(table, spec.tables)


def _table(table: Table, spec: RoleFile, user: str) -> Table | None:
    """The table as the role sees it; None if nothing of it is left, or its condition does not fit its columns."""
    columns = tuple(column for column in table.columns if _may_see(table.name, column, spec))
    if not columns:
        return None
    names = {column.name for column in columns}
    key = table.key if names.issuperset(table.key) else ()
    foreign = {column: target for column, target in table.foreign_keys.items() if column in names}
    table_seen = replace(table, columns=columns, key=key, foreign_keys=foreign)
    text = _of(spec.rows, table.name)
    if text is None:
        return table_seen
    if not columns_used(parse_condition(text)) <= {column.name for column in table.columns}:
        return None
    return replace(table_seen, condition=condition_for(text, user), rows=UNKNOWN)


def _may_see(table: str, column: Column, spec: RoleFile) -> bool:
    wanted = _of(spec.columns, table)
    clear = bool(column.pii) and not column.masked
    return (wanted is None or column.name in wanted) and (not clear or spec.pii == "clear")


def _of(by_table: Mapping[str, Value], table: str) -> Value | None:
    return next((value for name, value in by_table.items() if bare(name) == table), None)
