"""The SELECT that reads CSV files of one layout as text, casts, and says which column of a row does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.landing.header import Layout
from pipeline.project.source import Source
from pipeline.sql import columns_list, literal, quoted
from pipeline.warehouse.casts import blank, given, value

_BLANK = 10_000


@dataclass(frozen=True)
class Misfit:
    """A sign of a row that does not fit: found by `quick`, which holds of no row that fits, and then by `exact`."""

    quick: str
    exact: str
    code: int


def typed(source: Source, columns: Mapping[str, str], layout: Layout, limit: int, *, careful: bool) -> str:
    """The rows of the files given as its one parameter.

    They have the columns of bronze, `_f` (the file's place among them) and `_bad`
    (a number for `reason`, of the first column that does not fit, or NULL).

    Args:
        columns: those of the bronze table, and their types.
        limit: bytes that a line may have.
        careful: whether the files were written by the careful reader.
    """
    texts = [f"h{number}" for number in range(layout.width)]
    spec = ", ".join(f"{literal(text)}: 'VARCHAR'" for text in texts)
    fields = {name: f"h{number}" for number, name in enumerate(layout.fields) if name}
    values = ", ".join(f"{_value(source, name, kind, fields)} AS {quoted(name)}" for name, kind in columns.items())
    # staged files end their lines with LF; said so, DuckDB takes a CR inside quotes for what it is
    header, end = ("false", ", new_line = '\\n'") if careful else ("true", "")
    return (
        f"SELECT {columns_list(columns)}, _f, {_bad(source, columns, layout, fields)} AS _bad "
        f"FROM (SELECT {values}, CAST(file_index AS INTEGER) AS _f, {', '.join(texts)} "
        f"FROM read_csv(?, columns = {{{spec}}}, auto_detect = false, header = {header}, "
        f"delim = {literal(layout.delimiter)}, quote = '\"', escape = '\"', nullstr = '', strict_mode = true, "
        f"store_rejects = true, rejects_limit = 0, max_line_size = {limit}{end}))"
    )


def _value(source: Source, name: str, kind: str, fields: Mapping[str, str]) -> str:
    column, raw = source.columns.get(name), fields.get(name)
    if raw is None:
        return f"CAST(NULL AS {kind})"
    return value(raw, column) if column else raw


def _bad(source: Source, columns: Mapping[str, str], layout: Layout, fields: Mapping[str, str]) -> str:
    """The code of the first misfit of a row. Most rows have none, which the quick signs show."""
    found = [
        misfit
        for number, name in enumerate(columns)
        if name in fields
        for misfit in _misfits(source, name, number, fields)
    ]
    # a column left out is read all the same: the reader reports broken lines only for the columns that a query reads
    unread = [f"strlen(h{number}) > 1000000000" for number, name in enumerate(layout.fields) if not name]
    found += [Misfit(sign, sign, -1) for sign in unread]
    if not found:
        return "CAST(NULL AS INTEGER)"
    any_of = " OR ".join(dict.fromkeys(misfit.quick for misfit in found))
    cases = " ".join(f"WHEN {misfit.exact} THEN {misfit.code}" for misfit in found)
    return f"CAST(CASE WHEN {any_of} THEN CASE {cases} END END AS INTEGER)"


def _misfits(source: Source, name: str, number: int, fields: Mapping[str, str]) -> Iterator[Misfit]:
    column, raw = source.columns.get(name), fields[name]
    text = column is None or column.is_text
    none = f"{quoted(name)} IS NULL"
    if column and column.on_error == "quarantine" and not text:
        yield Misfit(none, f"{none} AND {given(raw)} IS NOT NULL", number)
    empty = blank(raw) if text else f"{none} AND {given(raw)} IS NULL"
    if name in source.key:
        yield Misfit(empty if text else none, empty, _BLANK + number)
    elif column and column.not_null:
        yield Misfit(empty if text else none, f"{empty}{_unless_deleted(source, fields)}", _BLANK + number)


def _unless_deleted(source: Source, fields: Mapping[str, str]) -> str:
    """A row that only takes its key away needs no other value."""
    operation = source.operation
    if operation is None or operation.column not in fields:
        return ""
    words = ", ".join(literal(word.strip()) for word in operation.delete)
    return f" AND NOT coalesce(trim({fields[operation.column]}) IN ({words}), false)"


def reason(source: Source, columns: Sequence[str], bad: int) -> tuple[str, str]:
    """(column, reason) of a misfit, by its code."""
    name = columns[bad % _BLANK]
    if bad >= _BLANK:
        return name, f"{name} is blank but {'part of the key' if name in source.key else 'must not be'}"
    kind = source.columns[name].type
    return name, f"{name} is not {'an' if kind.startswith('int') else 'a'} {kind}"
