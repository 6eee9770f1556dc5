"""The DuckDB file: opened once, by one process, through one thin object."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import GoldfeedError, PermanentError, UsageError, WarehouseBusy, first_line
from pipeline.settings import Settings, bytes_of
from pipeline.sql import quoted
from pipeline.warehouse.connections import another_of, check_engine, connected, know_progress
from pipeline.warehouse.engine import REBUILD, translated
from pipeline.warehouse.masks import install, key_id, token_key

Row = tuple[Any, ...]
_READ: dict[str, duckdb.Statement] = {}  # statements that come again, as the engine's parser has read them
_MOST = 500  # of them in memory
atexit.register(_READ.clear)  # or the engine's binding complains on standard error, as the process ends, that they leaked


class Database:
    """One connection to the warehouse. All times are UTC, naive."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        maker: Database | None = None,
        *,
        key: bytes | None = None,
    ) -> None:
        self._connection, self.path, self._maker, self._key = connection, path, maker, key
        self._others: list[Database] = []

    def another(self, *, bare: bool = False) -> Database:
        """A second connection to the same open file, for another thread; it sees what is committed.

        A `bare` one lacks the masking functions, which take longer to make than a look at the ledger.
        """
        cursor = another_of(self._connection)
        if not bare:
            know_progress(cursor)
            with translated(str(self.path)):
                install(cursor, self._key)
        other = Database(cursor, self.path, self, key=self._key)
        self._others.append(other)
        return other

    def interrupt(self) -> None:
        """End the statement under way here, and on connections made from this one; each raises TransientError there."""
        with suppress(duckdb.Error):
            self._connection.interrupt()
        for other in [*self._others]:
            other.interrupt()

    def progress(self) -> float:
        """How far the statement under way is, 0 to 100, as the engine guesses it; -1 if it does not say."""
        try:
            return float(self._connection.query_progress())
        except duckdb.Error:
            return -1.0

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The engine's own connection, for a library that works inside the transaction under way."""
        return self._connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute one statement; engine errors become ours (see `translated`)."""
        with translated(str(self.path)):
            self._execute(statement, values)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Execute one statement and fetch all it gives."""
        with translated(str(self.path)):
            return self._execute(statement, values).fetchall()

    def rows_again(self, statement: str) -> list[Row]:
        """As `rows`, for a statement without parameters that is asked again and again."""
        with translated(str(self.path)):
            return self._connection.execute(self._read(statement)).fetchall()

    def _execute(self, statement: str, values: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        """Execute a statement; one with parameters is likely to come again."""
        if not values:
            return self._connection.execute(statement)
        return self._connection.execute(self._read(statement), list(values))

    def _read(self, statement: str) -> duckdb.Statement:
        """The statement as the engine reads it, once for all connections: a sixth to a quarter of the time of a small one."""
        read = _READ.get(statement)
        if read is None:
            (read,) = self._connection.extract_statements(statement)
            if len(_READ) >= _MOST:
                _READ.clear()
            _READ[statement] = read
        return read

    def value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(statement, values)
        return found[0][0] if found else None

    def made(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute a CREATE TABLE ... AS or a COPY ... TO; the rows of the table or file."""
        return int(self.value(statement, values))

    def described(self, statement: str, values: Sequence[Any] = ()) -> tuple[list[str], list[str], list[Row]]:
        """Column names, their types and all rows of a query."""
        with translated(str(self.path)):
            cursor = self._execute(statement, values)
            names = [str(column[0]) for column in cursor.description or []]
            types = [str(column[1]) for column in cursor.description or []]
            return names, types, cursor.fetchall()

    def query(self, statement: str, *, sandbox: bool = True) -> tuple[list[str], list[Row]]:
        """A person's one statement, which only reads. Raises UsageError when it is wrong or would write.

        `sandbox` shuts the engine off from other files, in all connections of this process and for good.
        """
        try:
            found = self._connection.extract_statements(statement)
            if len(found) != 1:
                raise UsageError("a query is one statement", where="query", do="give one SELECT")
            if sandbox:
                self._connection.execute("SET enable_external_access = false")
            self._connection.execute("BEGIN TRANSACTION READ ONLY")  # a file may be read-only, what is in memory beside it is not
            try:
                cursor = self._connection.execute(found[0])
                return [str(column[0]) for column in cursor.description or []], cursor.fetchall()
            finally:
                self._connection.execute("ROLLBACK")
        except duckdb.Error as error:
            raise UsageError(first_line(error), where="query", do="correct the SQL") from error

    def insert_many(self, insert: str, names: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> None:
        """Run `insert` (ending in FROM) on rows given as parallel lists: one statement, whatever their number."""
        if not rows:
            return
        names = names or [f"c{number}" for number in range(len(rows[0]))]
        lists = ", ".join(f'unnest(?) AS "{name}"' for name in names)
        self.run(f"{insert} (SELECT {lists}) s", [list(column) for column in zip(*rows, strict=True)])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commit at the end, roll back on any error."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self.run("COMMIT")

    def _roll_back(self) -> None:
        # the engine may have rolled back already, or the database be gone; the first error is the one to show
        with suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """Keep the order of rows for this connection's statements inside (slower; needed for line numbers and files)."""
        self.keep_order()
        try:
            yield
        finally:
            self.run("SET SESSION preserve_insertion_order = false")

    def keep_order(self) -> None:
        """As `in_order`, to the end of this connection."""
        self.run("SET SESSION preserve_insertion_order = true")

    @contextmanager
    def giving_way(self, limit: str, most: int | None = None) -> Iterator[None]:
        """At most so many bytes for the engine, usually half of its memory, for something else that works in this process.

        What it holds beyond that goes to disk.
        """
        other = self._connection.cursor()  # a refusal must not end the transaction under way
        held = bytes_of(limit) // 2 if most is None else most
        try:
            with suppress(duckdb.OutOfMemoryException):  # what is being built beside needs it
                other.execute(f"SET memory_limit = '{held // 1_000_000 + 1}MB'")
            yield
        finally:
            with translated(str(self.path)):
                other.execute(f"SET memory_limit = '{limit}'")
            other.close()

    def let_go(self, limit: str) -> None:
        """Let go of the blocks of tables in memory: they are in the file as well. Nobody else may be at work.

        They stay where they fill the memory, as in a large run: what comes next would read most of them again.
        """
        held = "sum(memory_usage_bytes)"
        blocks, all_of_it = self.rows(f"SELECT {held} FILTER (tag = 'BASE_TABLE'), {held} FROM duckdb_memory()")[0]
        if blocks < bytes_of(limit) // 2:
            with self.giving_way(limit, most=int(all_of_it - blocks)):
                pass

    def checkpoint(self) -> bool:
        """Write everything to the file: after each schema change (DESIGN.md, duckdb#22124). Returns whether it was done.

        It is not while somebody writes, or reads what stood before the last commit (duckdb#19937): a later one does it.
        """
        with translated(str(self.path)):
            try:
                self._connection.execute("CHECKPOINT")
            except duckdb.TransactionException as error:
                if "other write transactions" not in str(error):
                    raise
                return False
        return True

    def columns(self, layer: str, table: str) -> dict[str, str]:
        """Column -> type of a table, which must be there. (duckdb_columns() looks at every table there is.)"""
        return self.columns_of(f"{quoted(layer)}.{quoted(table)}")

    def has(self, layer: str, table: str) -> bool:
        """Whether there is such a table or view."""
        named = "database_name = current_database() AND schema_name = ? AND {} = ?"
        found = self.value(
            f"SELECT EXISTS (FROM duckdb_tables() WHERE {named.format('table_name')}) "
            f"OR EXISTS (FROM duckdb_views() WHERE {named.format('view_name')})",
            [layer, table] * 2,
        )
        return bool(found)

    def same_type(self, one: str, other: str) -> bool:
        """Whether two type names mean the same type to the engine (`int` and `INTEGER`)."""
        alike = one.casefold() == other.casefold()  # what most are, so the engine need not be asked
        return alike or bool(self.value(f"SELECT typeof(CAST(NULL AS {one})) = typeof(CAST(NULL AS {other}))"))

    def columns_of(self, relation: str) -> dict[str, str]:
        """Column -> type of any table or query; an error if there is none. As DESCRIBE says it, at half the price."""
        source = f"({relation})" if relation.startswith("SELECT ") else relation
        names, types, _ = self.described(f"FROM {source} LIMIT 0")
        return dict(zip(names, types, strict=True))

    def key_id(self) -> str | None:
        """The name of the key that tokens are made with; None where nothing is written."""
        return None if self._key is None else key_id(self._key)

    def close(self) -> None:
        """Close the connection, with the last one the file; open transactions are rolled back."""
        with translated(str(self.path)):
            self._connection.close()
        if self._maker is not None and self in self._maker._others:
            self._maker._others.remove(self)


def files_state(path: Path) -> tuple[tuple[int, int], ...]:
    """Sizes and times of a warehouse file and of its log: a commit changes one of them."""
    found = []
    for part in (path, path.with_name(path.name + ".wal")):
        try:
            info = part.stat()
            found.append((info.st_size, info.st_mtime_ns))
        except FileNotFoundError:
            found.append((0, 0))
    return tuple(found)


def open_database(settings: Settings, *, read_only: bool = False) -> Database:
    """Open the warehouse file, creating it if need be.

    Raises WarehouseBusy when another process holds it, PermanentError when it cannot be read.
    """
    check_engine()
    path = settings.warehouse
    try:
        with translated(str(path)):
            connection = connected(settings, path, read_only=read_only)
    except WarehouseBusy:
        raise
    except GoldfeedError as error:
        raise PermanentError("the warehouse file cannot be opened", where=str(path), do=REBUILD) from error
    try:
        key = None if read_only else token_key(settings.secrets)
        with translated(str(path)):
            install(connection, key)
    except BaseException:
        connection.close()
        raise
    return Database(connection, path, key=key)


def open_in_memory(settings: Settings) -> Database:
    """A warehouse that is gone when it is closed."""
    check_engine()
    connection = connected(settings, None)
    key = token_key(settings.secrets)
    install(connection, key)
    return Database(connection, Path("memory"), key=key)
