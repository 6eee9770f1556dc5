"""What differs between two published versions: keys, and the sums of the measures, by day where there is a date."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import PublishError
from pipeline.published import current, damaged, read_manifest, table_files, versions
from pipeline.settings import Settings
from pipeline.sql import columns_list, literal, quoted

_NUMBERS = ("DECIMAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DOUBLE", "FLOAT")
_DAYS = 400  # days with drift that are listed, the latest


@dataclass(frozen=True)
class Drift:
    """The sum of a measure in both versions; `day` is None for the whole table."""

    measure: str
    day: str | None
    before: Decimal | float | int | None
    after: Decimal | float | int | None


@dataclass
class TableDiff:
    """One table: `status` is same, changed, added or removed; rows are counted by key."""

    table: str
    status: str
    rows_before: int = 0
    rows_after: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    key: list[str] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def chosen_versions(settings: Settings, one: str | None, other: str | None) -> tuple[str, str]:
    """The versions to compare: by default the one before the current, and the current. Raises PublishError."""
    published, kept = settings.published, versions(settings.published)
    after = other or current(published)
    if after is None:
        raise PublishError("nothing is published yet", where=str(published), do="type `goldfeed run`")
    if one is None:
        older = [name for name in kept if name < after]
        if not older:
            raise PublishError(
                f"there is no version older than {after} to compare with",
                where=str(published),
                do="`goldfeed history` lists them",
            )
        one = older[-1]
    for version in (one, after):
        read_manifest(published, version)
        wrong = damaged(published, version)
        if wrong:
            raise PublishError(
                f"version {version} is damaged ({', '.join(wrong)})", where=str(published), do="choose another"
            )
    return one, after


def compare(settings: Settings, one: str, other: str) -> list[TableDiff]:
    """Every table of either version."""
    before, after = (read_manifest(settings.published, version)["tables"] for version in (one, other))
    connection = duckdb.connect(config={"memory_limit": settings.memory_limit, "threads": settings.threads})
    found = []
    for name in sorted({*before, *after}):
        if name not in before:
            found.append(TableDiff(name, "added", rows_after=after[name]["rows"]))
        elif name not in after:
            found.append(TableDiff(name, "removed", rows_before=before[name]["rows"]))
        elif before[name]["sha256"] == after[name]["sha256"]:
            rows = after[name]["rows"]
            found.append(TableDiff(name, "same", rows, rows))
        else:
            for side, version, table in (("before", one, before[name]), ("after", other, after[name])):
                _show(connection, side, settings.published / version, table)
            found.append(_differences(connection, name, before[name], after[name]))
    return found


def _show(connection: duckdb.DuckDBPyConnection, side: str, folder: Path, table: dict[str, Any]) -> None:
    paths = ", ".join(literal(str(folder / path)) for path, _ in table_files(table))
    connection.execute(f"CREATE OR REPLACE VIEW {side} AS SELECT * FROM read_parquet([{paths}])")


def _differences(
    connection: duckdb.DuckDBPyConnection, name: str, before: dict[str, Any], after: dict[str, Any]
) -> TableDiff:
    kinds = {column["name"]: column["type"] for column in after["columns"]}
    shared = [column["name"] for column in before["columns"] if column["name"] in kinds]
    key = [column for column in (after["key"] or shared) if column in shared]
    result = TableDiff(name, "changed", before["rows"], after["rows"], key=key)
    facts = [column for column in shared if column not in key]
    same = " AND ".join(f"b.{quoted(column)} IS NOT DISTINCT FROM a.{quoted(column)}" for column in key)
    other = f"row({columns_list(facts, 'b')}) IS DISTINCT FROM row({columns_list(facts, 'a')})" if facts else "false"
    found = connection.execute(
        "SELECT count(*) FILTER (b._here IS NULL), count(*) FILTER (a._here IS NULL), "
        f"count(*) FILTER (a._here AND b._here AND {other}) "
        f"FROM (SELECT *, true AS _here FROM before) b FULL JOIN (SELECT *, true AS _here FROM after) a ON {same}"
    ).fetchone()
    result.added, result.removed, result.changed = found or (0, 0, 0)
    if [column["name"] for column in before["columns"]] == list(kinds) and not any(found or ()):
        result.status = "same"
    described = name.startswith("dim_")  # what a dimension holds is not for adding up
    measures = [c for c in facts if kinds[c].startswith(_NUMBERS) and not c.endswith("_key") and not described]
    day = next((column for column in shared if kinds[column] == "DATE"), None)
    if measures:
        result.drift = _drift(connection, measures, None) + (_drift(connection, measures, day) if day else [])
    return result


def _drift(connection: duckdb.DuckDBPyConnection, measures: list[str], day: str | None) -> list[Drift]:
    """The measures whose sums differ, for the whole table or for each day."""
    place = f"CAST({quoted(day)} AS VARCHAR)" if day else "CAST(NULL AS VARCHAR)"
    sums = ", ".join(f"sum({quoted(name)}) AS m{number}" for number, name in enumerate(measures))
    names = ", ".join(f"b.m{number}, a.m{number}" for number in range(len(measures)))
    rows = connection.execute(
        f"SELECT coalesce(b.day, a.day), {names} FROM (SELECT {place} AS day, {sums} FROM before GROUP BY 1) b "
        f"FULL JOIN (SELECT {place} AS day, {sums} FROM after GROUP BY 1) a ON a.day IS NOT DISTINCT FROM b.day "
        f"WHERE {' OR '.join(f'b.m{n} IS DISTINCT FROM a.m{n}' for n in range(len(measures)))} ORDER BY 1 DESC LIMIT {_DAYS}"
    ).fetchall()
    return [
        Drift(name, row[0], row[1 + 2 * number], row[2 + 2 * number])
        for row in rows
        for number, name in enumerate(measures)
        if row[1 + 2 * number] != row[2 + 2 * number]
    ]
