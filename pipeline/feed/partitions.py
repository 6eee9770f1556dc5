"""A table cut by month of its date column, with the paths that Hive uses: `year=2024/month=01`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date

import duckdb

from pipeline.errors import RequestError
from pipeline.feed.catalog import Table
from pipeline.feed.freshness import date_column
from pipeline.sql import quoted

_PLACE = re.compile(r"year=(\d{4})/month=(\d{2})")


@dataclass(frozen=True)
class Month:
    """One month of a table and its rows."""

    year: int
    month: int
    rows: int = 0

    @property
    def place(self) -> str:
        """`year=2024/month=01`."""
        return f"year={self.year:04d}/month={self.month:02d}"

    def of(self, table: Table) -> Table:
        """The table with the rows of this month only. Raises RequestError (404) when it has no date."""
        column = date_column(table)
        if column is None:
            raise _no_month()
        first = date(self.year, self.month, 1)
        after = date(self.year + self.month // 12, self.month % 12 + 1, 1)
        within = f"{quoted(column)} >= DATE '{first}' AND {quoted(column)} < DATE '{after}'"
        condition = f"({table.condition}) AND {within}" if table.condition else within
        return replace(table, condition=condition, rows=-1)


def month_of(place: str) -> Month:
    """The month of a path. Raises RequestError (404) when it is none."""
    found = _PLACE.fullmatch(place)
    if not found or not 1 <= int(found[2]) <= 12 or not 1 <= int(found[1]) <= 9998:
        raise _no_month()
    return Month(int(found[1]), int(found[2]))


def months(cursor: duckdb.DuckDBPyConnection, table: Table) -> list[Month]:
    """The months in which the table has rows, in order; rows without a date are in none."""
    column = date_column(table)
    if column is None:
        return []
    name = quoted(column)
    rows = cursor.execute(
        f"SELECT year({name}), month({name}), count(*) FROM {table.relation} "
        f"WHERE {name} IS NOT NULL AND isfinite({name}) AND year({name}) BETWEEN 1 AND 9998 GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [Month(*row) for row in rows]


def _no_month() -> RequestError:
    return RequestError(
        "there is no such month", status=404, code="NotFound", do="/files/<table>/ lists the months of a table"
    )
