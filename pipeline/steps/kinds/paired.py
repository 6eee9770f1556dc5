"""A rebuilt table laid beside the one it replaces, row by row of one key.

A join finds the rows that differ at a third of the price of grouping both tables by all columns (two of 2.4 million
rows: 0.42 s of CPU, not 1.3). Where the key does not tell rows apart, that is what is left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.sql import PLACE, columns_list, quoted
from pipeline.steps.kinds.common import same_key
from pipeline.warehouse.database import Database

MOST = 999_999  # places that min(place, n) finds at most


class Placed(NamedTuple):
    """A relation, the name of the column that says where in it a row is, and how many rows it has."""

    relation: str
    place: str
    rows: int

    def with_places(self) -> str:
        """A SELECT of its rows with their places."""
        return f"SELECT *, {self.place} AS {PLACE} FROM {self.relation}"

    def found(self, which: str, columns: Sequence[str]) -> str:
        """The rows whose places `pair` has found."""
        places = f"(SELECT unnest({which}) AS {PLACE} FROM temp.pairs)"
        return f"(SELECT {columns_list(columns, 'r')} FROM ({self.with_places()}) r SEMI JOIN {places} d ON r.{PLACE} = d.{PLACE})"


def pair(database: Database, fresh: Placed, held: Placed, key: Sequence[str], columns: Sequence[str], most: int) -> bool:
    """Find the places of the rows that only one of two tables has, at most `most` of each, and leave them in temp.pairs.

    False where they are more, or the key does not tell rows apart. Equal rows of one key are left out, which is right if
    each row is in one pair or alone: a key that is there twice has more pairs than rows, and the counts show it; of a key
    that thousands of rows have the pairs are not all made. Rows with a blank key are alone; equal ones may be on both sides.
    """
    if not key or {fresh.place.casefold(), held.place.casefold()} & {name.casefold() for name in columns}:
        return False
    alone = [f"{side}.{PLACE} IS NULL" for side in ("c", "w")]
    differ = " OR ".join([*alone, *(f"c.{quoted(name)} IS DISTINCT FROM w.{quoted(name)}" for name in columns if name not in key)])
    most = max(1, min(most, MOST))
    places = ", ".join(f"min({side}, {most}) FILTER (differ) AS {side}" for side in ("came", "went"))
    database.run(
        f"CREATE OR REPLACE TEMP TABLE pairs AS SELECT count(came) AS came_rows, count(went) AS went_rows, {places} FROM ("
        f"SELECT c.{PLACE} AS came, w.{PLACE} AS went, ({differ}) AS differ "
        f"FROM ({fresh.with_places()}) c FULL JOIN ({held.with_places()}) w ON {same_key(key, 'c', 'w')} LIMIT {fresh.rows + held.rows + 1})"
    )
    counted = "SELECT came_rows, went_rows, coalesce(len(came), 0), coalesce(len(went), 0) FROM temp.pairs"
    came_rows, went_rows, came, went = database.rows(counted)[0]
    return (came_rows, went_rows) == (fresh.rows, held.rows) and max(came, went) < most
