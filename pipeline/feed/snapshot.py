"""A published version, opened for reading: verified, in a sandbox of its own, never the warehouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import PublishError, UsageError, first_line
from pipeline.published import current, damaged, read_manifest, table_files, versions
from pipeline.settings import Settings
from pipeline.sql import literal, quoted

_FILLED = """SELECT path_in_schema FROM parquet_metadata(?) GROUP BY 1
HAVING bool_and(coalesce(stats_null_count = 0 AND NOT coalesce(stats_min_value, '') IN ('infinity', '-infinity')
 AND NOT coalesce(stats_max_value, '') IN ('infinity', '-infinity'), false))"""


@dataclass(frozen=True)
class Snapshot:
    """A version and the in-memory connection that has its tables as views.

    Args:
        filled: the columns of each table that hold no null and no infinite date, by the word of its files.
    """

    version: str
    manifest: dict[str, Any]
    connection: duckdb.DuckDBPyConnection
    warning: str | None = None
    filled: dict[str, frozenset[str]] = field(default_factory=dict)

    def query(self, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows. Raises UsageError when the statement is wrong or not allowed."""
        return run_query(self.connection, statement)


def run_query(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one reading statement. Raises UsageError when it is wrong, more than one, or would write."""
    try:
        found = connection.extract_statements(statement)
        if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
            raise UsageError("a query is one statement that reads", where="query", do="give one SELECT")
        cursor = connection.execute(found[0])
        return [str(column[0]) for column in cursor.description or []], cursor.fetchall()
    except duckdb.Error as error:
        raise UsageError(first_line(error), where="query", do="correct the SQL; `goldfeed status` lists the tables") from error


def good_version(published: Path, wanted: str | None = None) -> tuple[str, str | None]:
    """The wanted (or current) version if it is intact, else the newest older one that is, with a warning.

    Raises PublishError when nothing is published or no version is intact.
    """
    first = wanted or current(published)
    if first is None:
        raise PublishError("nothing is published yet", where=str(published), do="type `goldfeed run`")
    if not (published / first).is_dir():
        read_manifest(published, first)  # says which there are
    if not damaged(published, first):
        return first, None
    if wanted is None:
        for version in reversed([name for name in versions(published) if name < first]):
            if not damaged(published, version):
                said = f"version {first} is damaged and refused; this is version {version}"
                return version, f"{said}, and the next `goldfeed run` writes it anew"
    raise PublishError(f"version {first} is damaged", where=str(published), do="type `goldfeed run` to publish again")


def open_snapshot(settings: Settings, version: str | None = None) -> Snapshot:
    """Open a version. After the views are made, the connection can read nothing but its files."""
    chosen, warning = good_version(settings.published, version)
    manifest = read_manifest(settings.published, chosen)
    connection = sandbox(
        settings.published / chosen, manifest, memory_limit=settings.memory_limit, threads=settings.threads
    )
    return Snapshot(chosen, manifest, connection, warning, _filled(connection, settings.published / chosen, manifest))


def _filled(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: dict[str, Any]) -> dict[str, frozenset[str]]:
    """What need not be looked at row by row when JSON is written: it is in the footers of the files."""
    found = dict[str, frozenset[str]]()
    for name, table in manifest["tables"].items():
        paths = [str(folder / path) for path, _ in table_files(table)]
        rows = connection.execute(_FILLED, [paths]).fetchall()
        found[name] = frozenset(row[0] for row in rows)
    return found


def sandbox(
    folder: Path,
    manifest: dict[str, Any],
    *,
    memory_limit: str,
    threads: int,
    writable: Path | None = None,
    spill: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection with a version's tables as views, that can open no other file, load nothing and be set no more.

    Args:
        writable: a second folder, into which statements of ours may COPY.
    """
    connection = duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "disabled_optimizers": "late_materialization",  # fails on Parquet with LIMIT and OFFSET (DuckDB 2.0.0)
            "temp_directory": str(spill or ""),
        }
    )
    for name, table in manifest["tables"].items():
        paths = ", ".join(literal(str(folder / path)) for path, _ in table_files(table))
        connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM read_parquet([{paths}])")
    allowed = ", ".join(literal(str(path)) for path in (folder, writable) if path)
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
