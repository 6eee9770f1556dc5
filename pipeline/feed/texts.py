"""Columns of text as DuckDB made them: the bytes of a whole batch of rows lie side by side, ready to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import nanoarrow

_ROWS = 8192  # of a batch: some megabytes, which are sent while the next are made


class Batch:
    """Some rows of an answer; every column is VARCHAR, the first is what is sent."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.rows: int = array.length

    def text(self, rows: int | None = None) -> memoryview:
        """The texts of the first rows (default: of all), joined, as UTF-8; no copy is made."""
        return self._cut(0, 0, self.rows if rows is None else rows)

    def values(self, row: int) -> list[str | None]:
        """The other columns in one row."""
        columns = range(1, self._array.n_children)
        return [str(self._cut(n, row, row + 1), "utf-8") if self._there(n, row) else None for n in columns]

    def _cut(self, number: int, start: int, end: int) -> memoryview:
        column = self._array.child(number).view()
        joined = memoryview(column.buffer(2)).cast("B")
        if not self.rows:
            return joined[:0]
        ends = memoryview(column.buffer(1))
        return joined[ends[column.offset + start] : ends[column.offset + end]]

    def _there(self, number: int, row: int) -> bool:
        column = self._array.child(number).view()
        if not column.null_count:
            return True
        place = column.offset + row
        return bool(bytes(memoryview(column.buffer(0)).cast("B"))[place // 8] >> (place % 8) & 1)


class Texts:
    """The batches of a query, read one by one; DuckDB works some way ahead. Without pyarrow, by Arrow's C interface.

    `_submit` is what `sql(...).__arrow_c_stream__()` calls in the end, with batches of any size and without binding twice.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any]) -> None:
        result: Any = cursor._submit(sql, list(values), "stream", _ROWS)
        self._batches = iter(nanoarrow.c_array_stream(result.arrow_capsule()))

    def next(self) -> Batch | None:
        """The next batch, or None after the last."""
        array = next(self._batches, None)
        return None if array is None else Batch(array)
