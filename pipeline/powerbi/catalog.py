"""Gold as Power BI is to show it: tables, columns and references with names for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import ProjectError, UsageError
from pipeline.powerbi.names import friendly, unique
from pipeline.powerbi.standard import STANDARD
from pipeline.project.header import Header, Measure
from pipeline.project.project import Project

_KINDS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "int64"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "int64"),
    **dict.fromkeys(("FLOAT", "REAL", "DOUBLE", "INTERVAL"), "double"),  # an interval in days
    **dict.fromkeys(("DATE", "TIME"), "dateTime"),
    "BOOLEAN": "boolean",
}
_NOT_SHOWN = ("BLOB", "BIT")  # Power BI loads no bytes
_SCALE = re.compile(r"DECIMAL\(\d+,\s*(\d+)\)")
TRUST_TABLES = ("Last Refresh", "Freshness")  # tables of the feed's own, made in trust.py
_FIXED = 4  # digits behind the point of Power BI's fixed decimal


@dataclass(frozen=True)
class Column:
    """A column. `source` is its name in gold, `type` DuckDB's type, `kind` Power BI's data type."""

    source: str
    name: str
    type: str
    description: str = ""

    @property
    def kind(self) -> str:
        scale = _SCALE.fullmatch(self.type)
        if scale:
            return "decimal" if int(scale[1]) <= _FIXED else "double"
        return "dateTime" if self.has_time else _KINDS.get(self.type, "string")

    @property
    def is_number(self) -> bool:
        return self.kind in ("int64", "decimal", "double")

    @property
    def has_time(self) -> bool:
        """Whether it is a moment: a day with its time."""
        return self.type.startswith("TIMESTAMP")

    @property
    def is_day_or_moment(self) -> bool:
        """Whether a partial refresh can go by it: a time of day has no place among days."""
        return self.has_time or self.type == "DATE"


@dataclass(frozen=True)
class Reference:
    """A foreign key, in names of gold. `active`: filters flow along it without being asked."""

    table: str
    column: str
    to_table: str
    to_column: str
    active: bool = True


@dataclass(frozen=True)
class Table:
    """A gold table. `refresh_by` is the column by which large tables are refreshed in part."""

    source: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    business_key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    refresh_by: str | None = None
    measures: dict[str, Measure] = field(default_factory=dict)

    @property
    def is_date(self) -> bool:
        """Whether it is the date table: `dim_date`, or a table whose one key is a DATE named `date`."""
        return self.key == ("date",) and self.column("date") is not None and self.source.startswith("dim_")

    @property
    def is_fact(self) -> bool:
        return self.source.startswith("fact_")

    def column(self, source: str) -> Column | None:
        return next((column for column in self.columns if column.source == source), None)

    def has(self, *sources: str) -> bool:
        return all(self.column(source) is not None for source in sources)


@dataclass(frozen=True)
class Catalog:
    """The gold tables, in the order in which they are built. `cut`: some tables or columns are kept from the reader."""

    project: str
    version: str
    tables: tuple[Table, ...]
    cut: bool = False

    def table(self, source: str) -> Table | None:
        return next((table for table in self.tables if table.source == source), None)

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(reference for table in self.tables for reference in table.references)

    @property
    def date(self) -> Table | None:
        return next((table for table in self.tables if table.is_date), None)


def read_catalog(project: Project, manifest: Mapping[str, Any]) -> Catalog:
    """The tables that are both declared and in the manifest; one cut to what a role sees gives that role's catalog.

    Raises UsageError when there is none.
    """
    names = [name.partition(".")[2] for name in project.graph.layer("gold")]
    seen = [name for name in names if name in manifest["tables"]]
    if not seen:
        raise UsageError("no gold table is published", where="powerbi export", do="type `goldfeed run`")
    titles = unique([(name, friendly(name)) for name in seen] + [(name, name) for name in TRUST_TABLES])
    taken = _measure_names(project, seen)
    tables = [_read(project, name, titles[name], manifest["tables"][name], taken) for name in seen]
    return Catalog(project.flow, manifest["version"], _related(tables), bool(manifest.get("cut")))


def _measure_names(project: Project, seen: list[str]) -> frozenset[str]:
    """Names of measures, in lower case: no column may bear one."""
    own = [name.lower() for table in seen for name in project.graph.models[f"gold.{table}"].header.measures]
    return frozenset(own) | {standard.name.lower() for standard in STANDARD}


def _read(project: Project, name: str, title: str, published: Mapping[str, Any], taken: frozenset[str]) -> Table:
    header = project.graph.models[f"gold.{name}"].header
    names = unique([(column["name"], _column_name(column["name"], title, taken)) for column in published["columns"]])
    columns = tuple(
        Column(column["name"], names[column["name"]], column["type"], header.columns.get(column["name"], ""))
        for column in published["columns"]
        if column["type"] not in _NOT_SHOWN
    )
    table = Table(
        source=name,
        name=title,
        description=header.description,
        columns=columns,
        key=tuple(published.get("key") or ()),
        business_key=tuple(published.get("business_key") or ()),
        references=tuple(_references(name, header)),
        measures=header.measures,
    )
    return _with_refresh(table, header, project)


def _column_name(source: str, title: str, taken: frozenset[str]) -> str:
    name = friendly(source)
    return f"{name} ({title})" if name.lower() in taken else name


def _references(name: str, header: Header) -> list[Reference]:
    found = []
    for column, target in header.foreign_keys.items():
        table, _, to_column = target.removeprefix("gold.").rpartition(".")
        found.append(Reference(name, column, table, to_column))
    return found


def _with_refresh(table: Table, header: Header, project: Project) -> Table:
    """The column of a partial refresh: the one the header names, else a fact's first reference to a date."""
    wanted = header.refresh_by
    if wanted is None and table.is_fact:
        days = [one.column for one in table.references if one.to_column == "date"]
        wanted = next(iter(days), None)
    column = table.column(wanted) if wanted else None
    if header.refresh_by and (column is None or not column.is_day_or_moment):
        path = project.graph.models[f"gold.{table.source}"].path
        raise ProjectError(
            f"refresh_by names {wanted!r}, which is no date or timestamp of the table",
            where=str(path),
            do="name such a column, one that is never NULL",
        )
    return replace(table, refresh_by=wanted if column else None)


def _related(tables: list[Table]) -> tuple[Table, ...]:
    """Each table with the references that lead to a table that is there, active where that leaves one way only.

    Who is referred to comes first, then the order of the header decides: what is declared first is active.
    """
    known = {table.source: table for table in tables}
    ways: dict[str, set[str]] = {name: {name} for name in known}  # from each table, what filters it: itself first
    kept: dict[str, list[Reference]] = {name: [] for name in known}
    for table in _referred_first(known):
        for one in (one for one in table.references if _leads(one, known)):
            active = _only_way(one, ways)
            if active:
                _open_way(one, ways)
            kept[table.source].append(replace(one, active=active))
    return tuple(replace(table, references=tuple(kept[table.source])) for table in tables)


def _referred_first(known: Mapping[str, Table]) -> list[Table]:
    done: dict[str, Table] = {}

    def visit(table: Table, path: tuple[str, ...]) -> None:
        for one in table.references:
            if one.to_table in known and one.to_table not in (*done, *path):
                visit(known[one.to_table], (*path, one.to_table))
        done.setdefault(table.source, table)

    for table in known.values():
        visit(table, (table.source,))
    return list(done.values())


def _leads(one: Reference, known: Mapping[str, Table]) -> bool:
    target = known.get(one.to_table)
    return one.table != one.to_table and known[one.table].has(one.column) and bool(target and target.has(one.to_column))


def _only_way(one: Reference, ways: Mapping[str, set[str]]) -> bool:
    """Whether no table would be filtered by another along two ways, or by itself, with this reference active."""
    below = [name for name, above in ways.items() if one.table in above]
    return all(ways[name].isdisjoint(ways[one.to_table]) for name in below)


def _open_way(one: Reference, ways: dict[str, set[str]]) -> None:
    for name, above in ways.items():
        if one.table in above:
            ways[name] = above | ways[one.to_table]
