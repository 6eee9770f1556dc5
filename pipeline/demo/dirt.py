"""Dirty rows: what may be wrong with one, and whether it still loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from pipeline.demo.files import Dialect
from pipeline.demo.layout import STATUSES, Table

Change = Callable[[list[str], Table, Random], bool]
"""Changes the fields in place; False if there is nothing to change."""


class Kind(NamedTuple):
    """A kind of dirt.

    Args:
        change: what happens to the fields.
        form: how the row is written: plain, quoted, spaced, short, long, stray, open.
        weight: how often it is chosen.
        twice: whether the good row comes as well.
    """

    change: Change
    form: str = "plain"
    weight: int = 4
    twice: bool = False


class DirtyRow(NamedTuple):
    """A row to be written in an odd form; place picks the column it happens in."""

    fields: list[str]
    form: str
    place: float
    loads: bool


def _keep(fields: list[str], table: Table, rng: Random) -> bool:
    return True


def _pad(fields: list[str], table: Table, rng: Random) -> bool:
    place = rng.choice(table.texts)
    before, after = rng.choice(((" ", ""), ("", "  "), (" ", " ")))
    fields[place] = f"{before}{fields[place]}{after}"
    return True


def _recase(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.cased:
        return False
    place = rng.choice(table.cased)
    value = fields[place]
    fields[place] = rng.choice((value.upper(), value.title(), value.swapcase()))
    return True


def _comma_decimal(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.decimals:
        return False
    place = rng.choice(table.decimals)
    whole, cents = fields[place].split(".")
    sign = "-" if whole.startswith("-") else ""
    digits = whole.removeprefix("-")
    if rng.random() < 0.3:
        fields[place] = f"{whole},{cents} EUR"
    elif len(digits) > 3:
        grouped = f"{int(digits):,}".replace(",", ".")
        fields[place] = f"{sign}{grouped},{cents}"
    else:
        fields[place] = f"{whole},{cents}"
    return True


def _slash_date(fields: list[str], table: Table, rng: Random) -> bool:
    places = [place for place in table.times if fields[place].endswith(":00")]
    if not places:
        return False
    place = rng.choice(places)
    value = fields[place]
    fields[place] = f"{value[8:10]}/{value[5:7]}/{value[:4]} {value[11:16]}"
    return True


def _empty(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.optional:
        return False
    fields[rng.choice(table.optional)] = ""
    return True


def _bad_number(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.decimals:
        return False
    place = rng.choice(table.decimals + table.whole)
    fields[place] = rng.choice(("12.x", "abc", "NaN"))
    return True


def _bad_date(fields: list[str], table: Table, rng: Random) -> bool:
    fields[rng.choice(table.times)] = rng.choice(("2024-13-45", "not a date"))
    return True


def _bad_choice(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.choices:
        return False
    status = fields[table.choices[0]] in STATUSES
    fields[table.choices[0]] = "teleported" if status else "barter"
    return True


def _blank_key(fields: list[str], table: Table, rng: Random) -> bool:
    fields[rng.choice(table.keys)] = rng.choice(("", "  "))
    return True


def _negative(fields: list[str], table: Table, rng: Random) -> bool:
    if not table.positive:
        return False
    place = rng.choice(table.positive)
    if place in table.whole:
        fields[place] = rng.choice(("0", f"-{fields[place]}"))
    else:
        fields[place] = f"-{int(fields[place].split('.')[0]) + 1}.00"
    return True


LOADABLE = (
    Kind(_pad),
    Kind(_recase),
    Kind(_comma_decimal, weight=6),
    Kind(_slash_date),
    Kind(_empty, weight=2),
    Kind(_keep, "quoted", weight=2),
    Kind(_keep, "spaced", weight=2),
    Kind(_keep, twice=True),
)
UNLOADABLE = (
    Kind(_bad_number, weight=6),
    Kind(_bad_date),
    Kind(_bad_choice),
    Kind(_blank_key),
    Kind(_negative),
)
BROKEN = (
    *UNLOADABLE,
    Kind(_keep, "short"),
    Kind(_keep, "long"),
    Kind(_keep, "stray"),
    Kind(_keep, "open", weight=1),
)


def weighted(kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    """Each kind as often as its weight, to choose from evenly."""
    return tuple(kind for kind in kinds for _ in range(kind.weight))


_LOADABLE = weighted(LOADABLE)
_UNLOADABLE = weighted(UNLOADABLE)
_BROKEN = weighted(BROKEN)


def spoil(fields: list[str], table: Table, rng: Random, *, may_break: bool) -> tuple[DirtyRow, bool]:
    """A dirty row made of a good one, and whether the good one comes as well."""
    loads = rng.random() < 0.5
    kinds = _LOADABLE if loads else _BROKEN if may_break else _UNLOADABLE
    kind = rng.choice(kinds)
    while not kind.change(fields, table, rng):
        kind = rng.choice(kinds)
    twice = kind.twice or (not loads and rng.random() < 0.5)
    return DirtyRow(fields, kind.form, rng.random(), loads), twice


def render(row: DirtyRow, dialect: Dialect) -> str:
    """The text of a dirty row in a file of that dialect."""
    if row.form == "spaced":
        return dialect.newline + dialect.row(row.fields)
    if row.form == "plain":
        return dialect.row(row.fields)
    cells = list(map(dialect.quoted, dialect.arranged(row.fields)))
    return dialect.delimiter.join(_reshaped(cells, row.form, row.place))


def _reshaped(cells: list[str], form: str, place: float) -> list[str]:
    if form == "short":
        return cells[: -1 - int(place * 2)]
    if form == "long":
        return [*cells, *["extra"] * (1 + int(place * 2))]
    bare = [cell.strip('"').replace('""', '"') for cell in cells]
    if form == "quoted":
        return ['"' + cell.replace('"', '""') + '"' for cell in bare]
    spot = int(place * len(cells))
    tail = '"x' if form == "stray" else ""
    cells[spot] = '"' + bare[spot].replace('"', "") + tail
    return cells
