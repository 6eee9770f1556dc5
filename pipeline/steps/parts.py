"""The parts of a large table, by ranges of its key, and what has become of each since the last version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pipeline.project.model import Model
from pipeline.sql import columns_list, quoted, table_name
from pipeline.steps.context import Run
from pipeline.warehouse.changes import Change, touched_keys
from pipeline.warehouse.ledger import TableState

_SAMPLE = 50_000  # rows looked at to cut a table into parts of like size
Columns = frozenset[str]


@dataclass(frozen=True)
class _Moved:
    """What has become of a part's rows: the columns that have changed, None if rows came or went; and how many more they are, if that is known."""

    columns: Columns | None
    more: int | None = None


@dataclass(frozen=True)
class Part:
    """One file of a table: the rows whose first key column is in [low, high); None is no bound.

    Args:
        before: what the last version's manifest says of the file with these rows, if none has come or gone since.
        changed: the columns in which some of them have changed.
    """

    low: Any
    high: Any
    before: dict[str, Any] | None = None
    changed: Columns = frozenset()

    @property
    def stands(self) -> bool:
        """Whether its rows are those of the last version's file."""
        return self.before is not None and not self.changed

    @property
    def is_piece(self) -> bool:
        """Whether there are other parts beside it."""
        return self.low is not None or self.high is not None

    def where(self, column: str, blanks: bool) -> tuple[str, list[Any]]:
        """A condition and its values; rows without a key, if there are any, are in the last part.

        A condition with OR would have the engine read the table from end to end, so it is left out where it can be.
        """
        name, terms, values = quoted(column), [], []
        if self.low is not None:
            terms.append(f"{name} >= ?")
            values.append(self.low)
        if self.high is not None:
            terms.append(f"{name} < ?")
            values.append(self.high)
        text = " AND ".join(terms) or "true"
        return (f"({text} OR {name} IS NULL)" if blanks and self.high is None else text), values


def parts_of(
    run: Run, model: Model, state: TableState, last: dict[str, Any] | None, before: dict[str, Any] | None
) -> list[Part]:
    """The parts of a table, cut anew where they have grown. `before`: its entry in the manifest of the last version."""
    parts, seen = _parts_before(run, model, last, before), (last["tables"].get(model.name, 0) if last else 0)
    change = run.changes.since(run.database, model.name, seen, state.version) if parts else None
    one = change if state.version == seen + 1 else None
    if one is not None:
        parts = _with_new_end(run, model, one, parts)
    touched = _touched(run, model, change, one, parts) if change else None
    if touched is None:
        return _cut(run, model, Part(None, None), state.kept)
    found: list[Part] = []
    for number, part in enumerate(parts):
        moved = touched.get(number, _Moved(frozenset(), 0))
        if moved.columns is not None and part.before is not None:
            found.append(replace(part, changed=moved.columns))
        else:
            found += _cut(run, model, replace(part, before=None), _rows_now(run, model, part, moved))
    return found


def _rows_now(run: Run, model: Model, part: Part, moved: _Moved) -> int:
    """How many rows a part has: those of before and what has come, or else counted."""
    if part.before is not None and moved.more is not None:
        return int(part.before["rows"]) + moved.more
    where, values = within(run, model, part)
    return int(run.database.value(f"SELECT count(*) FROM {table_name(model.name)} WHERE {where}", values))


def _cut_by(entry: dict[str, Any]) -> str:
    """The column by whose ranges a published table was cut; before it was written down it was the business key's first."""
    return str(entry["cut_by"] if "cut_by" in entry else entry["business_key"][0])


def _parts_before(run: Run, model: Model, last: dict[str, Any] | None, before: dict[str, Any] | None) -> list[Part]:
    """The parts of the last version, if those of the new one may be the same; else none."""
    if last is None or before is None or len(before["files"]) < 2 or before["business_key"] != model.header.key:
        return []
    columns = run.shape(model.name)
    if [column["name"] for column in before["columns"]] != list(columns) or _cut_by(before) != model.header.order[0]:
        return []
    kind = columns[model.header.order[0]]
    texts = [text for file in before["files"] for text in (file["from"], file["to"])]  # at once: there may be hundreds
    bounds = _values(run, kind, texts)
    ends = zip(bounds[::2], bounds[1::2], before["files"], strict=True)
    return [Part(low, high, file) for low, high, file in ends]


def _values(run: Run, kind: str, texts: Sequence[str | None]) -> Sequence[Any]:
    """Texts as values of a type. The engine takes 4 ms for a list of any length, so that what is plain is not asked."""
    if kind == "VARCHAR":
        return texts
    if kind in ("INTEGER", "BIGINT"):
        return [None if text is None else int(text) for text in texts]
    found: Sequence[Any] = run.database.value(f"SELECT CAST(CAST(? AS VARCHAR[]) AS {kind}[])", [texts])
    return found


def _with_new_end(run: Run, model: Model, change: Change, parts: list[Part]) -> list[Part]:
    """A part of their own for the rows that have come behind the last one, if that is full: they are few, and it is not."""
    *others, end = parts
    full = end.before is not None and end.before["rows"] >= run.project.settings.part_rows
    if not full or _has_blanks(run, model):
        return parts
    order, first = columns_list(model.header.order), quoted(model.header.order[0])
    went = change.removed or f"{change.added} LIMIT 0"
    begin = run.database.value(
        f"WITH went AS ({went}), fresh AS (SELECT {order} FROM ({change.added}) ANTI JOIN went USING ({order})), "
        f"held AS (SELECT {first} FROM {table_name(model.name)} ANTI JOIN fresh USING ({order}) WHERE {first} >= ?) "
        f"SELECT min({first}) FROM fresh WHERE {first} > greatest((SELECT max({first}) FROM held), (SELECT max({first}) FROM went))",
        [end.low],
    )
    if begin is None:
        return parts
    return [*others, replace(end, high=begin, before={**(end.before or {}), "to": str(begin)}), Part(begin, None)]


def _touched(
    run: Run, model: Model, change: Change, one: Change | None, parts: list[Part]
) -> dict[int, _Moved]:
    """The numbers of the parts in which a row has changed. `one`: the change, if there was only one."""
    database = run.database
    if one is not None and one.removed is not None:
        return _touched_columns(run, model, one, parts)
    keys = touched_keys(change, [model.header.order[0]])
    place, highs = _place(quoted(model.header.order[0]), parts)
    return {int(row[0]): _Moved(None) for row in database.rows(f"SELECT DISTINCT {place} FROM ({keys})", highs)}


def _place(key: str, parts: list[Part]) -> tuple[str, list[Any]]:
    """An expression: the number of the part that a key is in; and its values."""
    cases = " ".join(f"WHEN {key} < ? THEN {number}" for number in range(len(parts) - 1))
    return f"CASE {cases} ELSE {len(parts) - 1} END", [part.high for part in parts[:-1]]


def _touched_columns(run: Run, model: Model, change: Change, parts: list[Part]) -> dict[int, _Moved]:
    """As `_touched`, for one change set: what came is laid beside what went under the same key."""
    order = model.header.order
    names = [name for name in run.shape(model.name) if name not in order]
    first = quoted(order[0])
    place, highs = _place(f"coalesce(came.{first}, went.{first})", parts)
    same = " AND ".join(f"came.{quoted(name)} = went.{quoted(name)}" for name in order)
    differ = [f"bool_or(came.{quoted(name)} IS DISTINCT FROM went.{quoted(name)})" for name in names]
    alone = [f"count(*) FILTER ({side}.{first} IS NULL)" for side in ("went", "came")]
    found = run.database.rows(
        f"SELECT {place} AS place, {', '.join(alone)}, {', '.join(differ) or 'false'} "
        f"FROM ({change.added}) came FULL JOIN ({change.removed}) went ON {same} GROUP BY place",
        highs,
    )
    return {
        int(row[0]): _Moved(None if row[1] or row[2] else _where_true(names, row[3:]), row[1] - row[2]) for row in found
    }


def _where_true(names: Sequence[str], said: Sequence[Any]) -> Columns | None:
    """The columns that have changed; None if none has, as when rows of one key are there twice."""
    return frozenset(name for name, differs in zip(names, said, strict=False) if differs) or None


def within(run: Run, model: Model, part: Part) -> tuple[str, list[Any]]:
    """The condition of a part's rows, and its values."""
    return part.where(model.header.order[0], part.high is None and _has_blanks(run, model))


def _has_blanks(run: Run, model: Model) -> bool:
    """Whether rows have no key; they are in the last part."""
    blank = f"{table_name(model.name)} WHERE {quoted(model.header.order[0])} IS NULL"
    return bool(run.database.value(f"SELECT count(*) FROM {blank}"))


def _cut(run: Run, model: Model, part: Part, rows: int) -> list[Part]:
    """Cut a part of more than twice the wanted size into pieces of about that size, by a sample of its keys."""
    size = run.project.settings.part_rows
    pieces = rows // size
    if rows <= 2 * size:
        return [part]
    column = columns_list(model.header.order[:1])
    where, values = within(run, model, part)
    share = min(100.0, 100.0 * _SAMPLE / rows)
    shares = [number / pieces for number in range(1, pieces)]
    cuts = run.database.value(
        f"SELECT quantile_disc({column}, {shares}) FROM (SELECT {column} FROM {table_name(model.name)} WHERE {where}) "
        f"TABLESAMPLE bernoulli({share:.4f}%)",
        values,
    )
    edges = [part.low, *sorted({cut for cut in cuts or [] if cut is not None and cut != part.low}), part.high]
    return [Part(low, high) for low, high in pairwise(edges)]
