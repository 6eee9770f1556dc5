"""Files made for readers: what a role sees of a table, as Parquet, CSV or an Arrow stream; kept while they are asked for."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import RequestError
from pipeline.feed.catalog import Column
from pipeline.feed.snapshot import Snapshot, sandbox
from pipeline.feed.work import refusal
from pipeline.published import file_hash
from pipeline.settings import Settings, bytes_of
from pipeline.sql import literal, quoted

_FORMULA = "^[=+@\\t\\r\\n-]"  # how a cell begins that a spreadsheet would take for a formula
_NICE = 10
_AT_ONCE, _WAITING = 2, 16  # files that are written at a time, and those under way with them
MEMORY = "256MB"
SECONDS = 600.0


@dataclass(frozen=True)
class Export:
    """A file that was made, its ETag and its rows."""

    path: Path
    etag: str
    rows: int


@dataclass(frozen=True)
class Wanted:
    """What to write: rows of a `relation` (SQL to select from) with these columns, of a table whose content has a hash."""

    table: str
    content: str
    relation: str
    columns: tuple[Column, ...]
    format: str

    @property
    def name(self) -> str:
        """A file name that says all of it: equal names, equal content."""
        mark = hashlib.sha256(f"{self.table}\0{self.content}\0{self.relation}".encode()).hexdigest()[:32]
        return f"{mark}.{self.format}"


class Exports:
    """Makes each file once, however many wait for it, and keeps the last used, up to the setting `exports_bytes`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.scratch / "exports"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="export", initializer=give_way, initargs=(_NICE,))
        self._made: OrderedDict[str, Export] = OrderedDict()
        self._making: dict[str, asyncio.Task[Export]] = {}
        self._open: set[duckdb.DuckDBPyConnection] = set()
        self._closed = threading.Event()

    async def get(self, snapshot: Snapshot, wanted: Wanted) -> Export:
        """The file, made now if it is not there. Raises RequestError: 410, 413, 503 or 504."""
        name = wanted.name
        found = self._made.get(name)
        if found is not None:
            self._made.move_to_end(name)
            return found
        if name not in self._making:
            if len(self._making) >= _WAITING:
                raise RequestError("too many files are being written now", status=503, code="Busy", do="ask again soon")
            self._making[name] = asyncio.create_task(self._keep(snapshot, wanted))
            self._making[name].add_done_callback(lambda task: self._over(name, task))
        return await asyncio.shield(self._making[name])

    async def _keep(self, snapshot: Snapshot, wanted: Wanted) -> Export:
        made = await asyncio.wrap_future(self._pool.submit(self._make, snapshot, wanted))
        self._made[wanted.name] = made
        self._shrink()
        return made

    def _over(self, name: str, task: asyncio.Task[Export]) -> None:
        del self._making[name]
        if not task.cancelled():
            task.exception()  # those who wait for it have it; nobody else need hear of it

    def _make(self, snapshot: Snapshot, wanted: Wanted) -> Export:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / wanted.name
        beside = path.with_name(f".{path.name}.new")
        try:
            with _writing(self._settings, snapshot, self._folder) as connection, self._held(connection):
                rows = _WRITERS[wanted.format](connection, wanted, beside)
            os.replace(beside, path)
        except duckdb.Error as error:
            raise _refusal(error) from error
        finally:
            beside.unlink(missing_ok=True)
        return Export(path, f'"{file_hash(path)[:32]}"', rows)

    def _shrink(self) -> None:
        """Remove the least used beyond the limit; readers that have one open keep it."""
        held = sum(_size(export.path) for export in self._made.values())
        while held > bytes_of(self._settings.exports_bytes) and len(self._made) > 1:
            _, old = self._made.popitem(last=False)
            held -= _size(old.path)
            old.path.unlink(missing_ok=True)

    @contextmanager
    def _held(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """While a file is written, `close` can end it."""
        self._open.add(connection)
        try:
            if self._closed.is_set():
                raise duckdb.InterruptException("the feed is closing")
            yield
        finally:
            self._open.discard(connection)

    def close(self) -> None:
        """End what is being written, and the threads: the process can end in a second."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._open:
            for connection in list(self._open):
                connection.interrupt()  # again and again: one that comes before the statement begins is lost
            threading.Event().wait(0.02)


def give_way(nice: int) -> None:
    """This thread, and those it starts, have a lower priority than runs."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


@contextmanager
def _writing(settings: Settings, snapshot: Snapshot, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A sandbox that may write into one folder; one thread, this one, and a time limit."""
    connection = sandbox(
        settings.published / snapshot.version,
        snapshot.manifest,
        memory_limit=MEMORY,
        threads=1,
        writable=folder,
        spill=folder / "spill",
    )
    timer = threading.Timer(SECONDS, connection.interrupt)
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        connection.close()


def _parquet(connection: duckdb.DuckDBPyConnection, wanted: Wanted, path: Path) -> int:
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v1"
    return _copied(connection, f"SELECT * FROM {wanted.relation}", path, options)


def _csv(connection: duckdb.DuckDBPyConnection, wanted: Wanted, path: Path) -> int:
    cells = ", ".join(_cell(column) for column in wanted.columns)
    return _copied(connection, f"SELECT {cells} FROM {wanted.relation}", path, "FORMAT csv, HEADER true")


def _arrow(connection: duckdb.DuckDBPyConnection, wanted: Wanted, path: Path) -> int:
    from nanoarrow.ipc import StreamWriter

    with StreamWriter.from_path(str(path)) as writer:
        writer.write_stream(connection.sql(f"SELECT * FROM {wanted.relation}"))
    return _count(connection, wanted)


def _count(connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> int:
    found = connection.execute(f"SELECT count(*) FROM {wanted.relation}").fetchone()
    return int(found[0]) if found else 0


_WRITERS: dict[str, Callable[[duckdb.DuckDBPyConnection, Wanted, Path], int]] = {
    "parquet": _parquet,
    "csv": _csv,
    "arrow": _arrow,
}


def _copied(connection: duckdb.DuckDBPyConnection, select: str, path: Path, options: str) -> int:
    found: tuple[Any, ...] | None = connection.execute(
        f"COPY ({select}) TO {literal(str(path))} ({options})"
    ).fetchone()
    return int(found[0]) if found else 0


def _cell(column: Column) -> str:
    """A text that begins as a formula gets a quote in front, so that a spreadsheet shows it and does not run it."""
    name = quoted(column.name)
    if column.type.startswith(_PLAIN) and not column.type.endswith("]"):
        return name
    text = f"CAST({name} AS VARCHAR)"
    return f"CASE WHEN regexp_matches({text}, {literal(_FORMULA)}) THEN '''' || {text} ELSE {text} END AS {name}"


_PLAIN = (
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    *("UBIGINT", "UHUGEINT", "DECIMAL", "FLOAT", "DOUBLE", "DATE", "TIME", "TIMESTAMP", "UUID"),
)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _refusal(error: duckdb.Error) -> Exception:
    if isinstance(error, duckdb.InterruptException):
        return RequestError(
            f"the file takes more than {SECONDS:g} seconds to write",
            status=504,
            code="TimeLimit",
            do="take one month of it",
        )
    return refusal(error)
