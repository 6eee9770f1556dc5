"""The warehouse of a service: open while somebody needs it, one writes at a time in order of asking, others read beside.

It is closed when nobody needs it, for the memory: the engine keeps what it has read for as long as the file is open.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic

from pipeline.clock import Clock
from pipeline.errors import GoldfeedError, WarehouseBusy
from pipeline.project.project import Project
from pipeline.runner import open_warehouse
from pipeline.warehouse.database import Database, files_state


class Keeper:
    """Lends connections to the one open warehouse of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.before_close: Callable[[Database, object], None] = lambda database, state: None
        self._opened = 0  # how often
        self._changed = threading.Condition()
        self._database: Database | None = None
        self._users = self._lingering = 0
        self._shut = False
        self._spare: Database | None = None  # the connection of the last run of a row, for the next one
        self._queue: deque[object] = deque()

    @contextmanager
    def reading(self, project: Project, *, bare: bool = False) -> Iterator[Database]:
        """A connection of its own, beside whatever run is under way. Raises WarehouseBusy when another process has the file.

        `bare`: see `Database.another`.
        """
        connection = self._borrow(project, bare)
        try:
            yield connection
        finally:
            connection.close()
            self._give_back()

    @property
    def is_open(self) -> bool:
        """Whether somebody uses the file, so that asking it costs nothing; not while it is written anew."""
        return self._database is not None and not self._shut

    def ask(self, project: Project) -> None:
        """See whether the warehouse answers a query: after some errors an open one does not. Raises GoldfeedError."""
        if not self._shut:
            with self.reading(project) as connection:
                connection.value("SELECT count(*) FROM ledger.runs")

    def memory(self) -> int:
        """Bytes the engine holds; 0 while the file is closed."""
        with self._changed:
            if self._database is None:
                return 0
            connection = self._database.another(bare=True)
            self._users += 1
        try:
            return sum(row[0] for row in connection.rows_again("SELECT memory_usage_bytes FROM duckdb_memory()"))
        finally:
            connection.close()
            self._give_back()

    def state(self) -> object:
        """Another value whenever what is in the warehouse may be another. What is closed does not change."""
        database = self._database
        return (self._opened, None if database is None else files_state(database.path))

    @contextmanager
    def writing(
        self,
        project: Project,
        *,
        wait: float | None = None,
        stop: Event | None = None,
        told: Callable[[], None] | None = None,
    ) -> Iterator[Database]:
        """A connection of its own, once it is its turn. `told` is called when that is not at once.

        Raises WarehouseBusy after `wait` seconds, or when `stop` is set before.
        """
        with self._turn(wait, stop, told):
            connection = self._take_spare() or self._borrow(project, False)
            good = False
            try:
                yield connection
                good = True
            finally:
                if not (good and self._keep_spare(connection)):
                    connection.close()
                self._give_back()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody has the file open, nor can open it: for what replaces the file."""
        with self._turn(None, None, None), self._changed:
            while self._users:
                self._changed.wait()
            self._close()
            self._shut = True
            try:
                yield
            finally:
                self._shut = False

    @contextmanager
    def lingering(self) -> Iterator[None]:
        """Leave the file open between one use and the next, unless somebody wants it alone: for many runs in a row."""
        with self._changed:
            self._lingering += 1
        try:
            yield
        finally:
            with self._changed:
                self._lingering -= 1
                self._close_if_unused()

    # ---------------------------------------------------------------- whose turn it is
    @contextmanager
    def _turn(self, wait: float | None, stop: Event | None, told: Callable[[], None] | None) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            first = self._queue[0] is ticket
        try:
            if not first:
                if told is not None:
                    told()
                self._wait_for(ticket, wait, stop)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _wait_for(self, ticket: object, wait: float | None, stop: Event | None) -> None:
        until = None if wait is None else monotonic() + wait
        with self._changed:
            while self._queue[0] is not ticket:
                if stop is not None and stop.is_set():
                    raise WarehouseBusy("it was stopped before its turn came", do="type it again")
                if until is not None and monotonic() >= until:
                    raise WarehouseBusy("another run holds the warehouse", do="wait until it ends, or stop it")
                self._changed.wait(0.2)

    # ---------------------------------------------------------------- open while needed
    def _take_spare(self) -> Database | None:
        with self._changed:
            spare, self._spare = self._spare, None
            self._users += spare is not None
            return spare

    def _keep_spare(self, connection: Database) -> bool:
        """Keep a connection for the next run of a row: making one anew costs as much as a small task."""
        with self._changed:
            if not self._lingering or self._spare is not None:
                return False
            self._spare = connection
            return True

    def _borrow(self, project: Project, bare: bool) -> Database:
        with self._changed:
            if self._database is None:
                self._database = open_warehouse(project, self._clock)
                self._opened += 1
            try:
                connection = self._database.another(bare=bare)
            except BaseException:
                self._close_if_unused()
                raise
            self._users += 1
            return connection

    def _give_back(self) -> None:
        with self._changed:
            self._users -= 1
            self._close_if_unused()
            self._changed.notify_all()

    def _close_if_unused(self) -> None:
        if self._users == 0 and self._lingering == 0:
            self._close()

    def _close(self) -> None:
        """Give up every connection, also of a database that an error has ended: the next use opens it anew."""
        if self._database is not None:
            with suppress(GoldfeedError):
                self.before_close(self._database, (self._opened, None))
        held, self._spare, self._database = (self._spare, self._database), None, None
        for connection in held:
            if connection is not None:
                with suppress(GoldfeedError):
                    connection.close()
