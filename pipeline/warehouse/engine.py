"""What the engine says is wrong, as an error of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from pipeline.errors import GoldfeedError, PermanentError, TransientError, WarehouseBusy, first_line

REBUILD = "move it and its .wal away and type `goldfeed run --from-archive` to rebuild it from archive/"
_PASSING = (
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.TransactionException,
    duckdb.FatalException,
)
_OF_VALUES = (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn an engine error into ours: transient where trying again can help."""
    try:
        yield
    except duckdb.Error as error:
        raise _ours(error, where) from error


def _ours(error: duckdb.Error, where: str) -> GoldfeedError:
    text = first_line(error)
    if "corrupt" in text.lower() or "checksum" in text.lower():
        return PermanentError("the warehouse file is damaged", where=where, do=REBUILD)
    if isinstance(error, duckdb.ResourceInUseException):
        return WarehouseBusy("this process has the warehouse open already", where=where, do="wait until it ends, or stop it")
    if isinstance(error, duckdb.IOException):
        if "lock" in text.lower():
            return WarehouseBusy(
                "another process holds the warehouse", where=where, do="wait until it ends, or stop it"
            )
        return TransientError(text, where=where, do="check the disk, then run again")
    if isinstance(error, _PASSING):
        return TransientError(text, where=where, do="free memory or disk, then run again")
    return PermanentError(without_values(text) if isinstance(error, _OF_VALUES) else text, where=where)


def without_values(text: str) -> str:
    """A message about a value, without the value: it may be personal data, and messages go into logs."""
    text = re.sub(r"with value .* can't be", "with value '' cannot be", text, flags=re.S)
    return re.sub(r"""['"\[].*['"\]]|['"\[].*$""", "(the value is not shown)", text, flags=re.S)
