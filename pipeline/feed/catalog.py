"""What a reader may see of a version: tables, columns, rows. A role is a function from one catalog to a smaller one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from pipeline.sql import quoted


@dataclass(frozen=True)
class Column:
    """A column as readers know it. `type` is DuckDB's (`DECIMAL(18,2)`); `pii` the kind of personal data in it;
    `filled`: this version has no null in it, nor an infinite date, whatever is declared."""

    name: str
    type: str
    description: str = ""
    nullable: bool = True
    pii: str | None = None
    masked: bool = False
    filled: bool = False


@dataclass(frozen=True)
class Table:
    """A table as one reader sees it. `condition` is SQL over all of its columns, or None for every row."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    foreign_keys: dict[str, tuple[str, str]]
    rows: int
    condition: str | None = None

    def column(self, name: str) -> Column | None:
        """The column of this name, or None: what a role may not see does not exist."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def relation(self) -> str:
        """SQL to select from: the columns and rows that may be seen, and no others.

        In rows that may not be seen every value is NULL, for the engine may try a reader's own filter on them first:
        one that divides by zero there would tell, by its error, what is in them.
        """
        names = [quoted(column.name) for column in self.columns]
        if not self.condition:
            return f"(SELECT {', '.join(names)} FROM {quoted(self.name)})"
        seen = ", ".join(f"CASE WHEN ({self.condition}) THEN {name} END AS {name}" for name in names)
        return f"(SELECT {seen} FROM {quoted(self.name)} WHERE ({self.condition}))"


@dataclass(frozen=True)
class Catalog:
    """One version's tables by name, in the order of the manifest."""

    version: str
    published_at: str
    tables: dict[str, Table]

    def without(self, hidden: Callable[[Table], bool]) -> Catalog:
        """The catalog without some tables, and without the foreign keys that lead to them."""
        kept = {name: table for name, table in self.tables.items() if not hidden(table)}
        return replace(self, tables=kept).closed()

    def closed(self) -> Catalog:
        """Foreign keys only where both ends can be seen."""
        return replace(self, tables={name: _with_seen_keys(table, self.tables) for name, table in self.tables.items()})


Role = Callable[[Catalog], Catalog]


def catalog_of(manifest: dict[str, Any], filled: Mapping[str, Set[str]] | None = None) -> Catalog:
    """The whole catalog of a version, as its manifest describes it. `filled`: see `Snapshot`."""
    known = filled or {}
    tables = {name: _table(name, entry, known.get(name, set())) for name, entry in manifest["tables"].items()}
    return Catalog(manifest["version"], manifest["published_at"], tables).closed()


def _table(name: str, entry: dict[str, Any], filled: Set[str]) -> Table:
    key = tuple(entry.get("key") or ())
    return Table(
        name=name,
        description=entry.get("description", ""),
        key=key,
        columns=tuple(_column(column, key, filled) for column in entry["columns"]),
        foreign_keys={column: _target(target) for column, target in (entry.get("foreign_keys") or {}).items()},
        rows=entry["rows"],
    )


def _column(entry: dict[str, Any], key: tuple[str, ...], filled: Set[str]) -> Column:
    return Column(
        name=entry["name"],
        type=entry["type"],
        description=entry.get("description", ""),
        nullable=entry["name"] not in key,
        pii=entry.get("pii"),
        masked=bool(entry.get("masked")),
        filled=entry["name"] in filled,
    )


def _target(target: str) -> tuple[str, str]:
    """`gold.dim_date.date` -> (`dim_date`, `date`)."""
    _, table, column = target.split(".")
    return table, column


def _with_seen_keys(table: Table, tables: dict[str, Table]) -> Table:
    seen = {
        column: (other, target)
        for column, (other, target) in table.foreign_keys.items()
        if table.column(column) and other in tables and tables[other].column(target)
    }
    return replace(table, foreign_keys=seen)
