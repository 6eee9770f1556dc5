"""What the commands share: the warehouse, for writing or for reading."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from threading import Event
from typing import Any, Protocol

from pipeline import runner, show
from pipeline.clock import Clock
from pipeline.errors import PermanentError, WarehouseBusy
from pipeline.project.project import Project
from pipeline.results import RunResult
from pipeline.settings import Settings
from pipeline.warehouse.database import Database, open_database
from pipeline.warehouse.migrations import refuse_other

WAITS = "another run holds the warehouse; this one waits for it"


class Caller(Protocol):
    """Who has a command done for somebody else, and lends it the warehouse that he holds: the service."""

    stop: Event

    def writing(self, project: Project, wait: float | None) -> AbstractContextManager[Database]: ...

    def reading(self, settings: Settings) -> AbstractContextManager[Database]: ...

    def alone(self) -> AbstractContextManager[None]: ...

    def ended(self, result: RunResult) -> None: ...


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


@contextmanager
def writing(project: Project, wait: float | None = None) -> Iterator[Database]:
    """The warehouse for writing, with what a crash cut off finished.

    `wait`: seconds to wait for another run; without it the service waits as long as it takes, a command alone not at all.
    Raises WarehouseBusy when that takes too long.
    """
    service = caller.get()
    if service is not None:
        with service.writing(project, wait) as held:
            yield held
        return
    database = _patiently(project, wait or 0.0)
    try:
        yield database
    finally:
        database.close()


def _patiently(project: Project, wait: float) -> Database:
    until, told = time.monotonic() + wait, False
    while True:
        try:
            return runner.open_warehouse(project, Clock())
        except WarehouseBusy:
            if time.monotonic() >= until:
                raise
            if not told:
                show.err().print(WAITS, highlight=False)
                told = True
            time.sleep(0.2)


def alone() -> AbstractContextManager[None]:
    """While nobody else has the warehouse open in this process: for what replaces its file."""
    service = caller.get()
    return service.alone() if service is not None else nullcontext()


def stop_of_call() -> Event | None:
    """Set when who typed the command is gone."""
    service = caller.get()
    return service.stop if service is not None else None


def ended(result: RunResult) -> None:
    """Let the service know how a run ended that was done for somebody else."""
    service = caller.get()
    if service is not None:
        service.ended(result)


@contextmanager
def reading(settings: Settings) -> Iterator[Database]:
    """The warehouse for reading. Raises PermanentError when there is none yet, and when another goldfeed made it."""
    if not settings.warehouse.exists():
        raise PermanentError("there is no warehouse yet", where=str(settings.warehouse), do="type `goldfeed run`")
    service = caller.get()
    if service is not None:
        with service.reading(settings) as held:
            yield held
        return
    database = open_database(settings, read_only=True)
    try:
        refuse_other(database)
        yield database
    finally:
        database.close()


def dicts(database: Database, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query, as objects."""
    names, _, rows = database.described(statement, values)
    return show.objects(names, rows)
