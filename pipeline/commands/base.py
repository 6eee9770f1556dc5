"""What the commands share: the warehouse, for writing or for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline import runner, show
from pipeline.clock import Clock
from pipeline.errors import PermanentError
from pipeline.project.project import Project
from pipeline.settings import Settings
from pipeline.warehouse.database import Database, open_database


@contextmanager
def writing(project: Project) -> Iterator[Database]:
    """The warehouse for writing, with what a crash cut off finished."""
    database = runner.open_warehouse(project, Clock())
    try:
        yield database
    finally:
        database.close()


@contextmanager
def reading(settings: Settings) -> Iterator[Database]:
    """The warehouse for reading. Raises PermanentError when there is none yet."""
    if not settings.warehouse.exists():
        raise PermanentError("there is no warehouse yet", where=str(settings.warehouse), do="type `goldfeed run`")
    database = open_database(settings, read_only=True)
    try:
        yield database
    finally:
        database.close()


def dicts(database: Database, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query, as objects."""
    names, _, rows = database.described(statement, values)
    return show.objects(names, rows)
