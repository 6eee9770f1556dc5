"""A small reader of DAX: enough of the language to work out the measures over published tables, row by row.

It holds to the language's published rules: a filter context of columns, filters that flow from the one side to the many
side of active relationships, CALCULATE that turns a row into filters and replaces filters unless KEEPFILTERS says
otherwise, tables as filters with all that they refer to.
"""

from __future__ import annotations

import calendar
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

TOKEN = re.compile(r"""\s*(?:(?P<text>"(?:[^"]|"")*")|(?P<table>'(?:[^']|'')+')|(?P<name>\[(?:[^\]]|\]\])+\])
    |(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|<>|&&|\|\||[-+*/=<>(){},]))""", re.X)  # fmt: skip
Place = tuple[str, str]
CALENDAR: Place = ("Date", "Date")  # of the table that is marked as date table: days that are set put aside its other filters


# ---------------------------------------------------------------- reading
class Reader:
    """DAX text to a tree of tuples: (kind, ...)."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            assert match and match.lastgroup, text[at:]
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> tuple[str, str]:
        found = self.tokens[self.at]
        assert not wanted or found[1] == wanted, f"{wanted} expected, {found[1]} found"
        self.at += 1
        return found

    def whole(self) -> Any:
        tree = self.block()
        assert self.at == len(self.tokens), self.peek()
        return tree

    def block(self) -> Any:
        variables = []
        while self.peek() == "VAR":
            self.take()
            name = self.take()[1]
            self.take("=")
            variables.append((name, self.choice()))
        if variables:
            self.take("RETURN")
        return ("block", variables, self.choice())

    def binary(self, below: Callable[[], Any], *signs: str) -> Any:
        left = below()
        while self.peek() in signs:
            left = ("binary", self.take()[1], left, below())
        return left

    def choice(self) -> Any:
        return self.binary(lambda: self.binary(self.negated, "&&"), "||")

    def negated(self) -> Any:
        if self.peek() == "NOT":
            self.take()
            return ("not", self.negated())
        return self.binary(self.sum, "=", "<>", "<", "<=", ">", ">=", "IN")

    def sum(self) -> Any:
        return self.binary(lambda: self.binary(self.unary, "*", "/"), "+", "-")

    def unary(self) -> Any:
        if self.peek() == "-":
            self.take()
            return ("minus", self.unary())
        return self.primary()

    def primary(self) -> Any:
        kind, text = self.take()
        if kind == "text":
            return ("value", text[1:-1].replace('""', '"'))
        if kind == "number":
            return ("value", Decimal(text))
        if kind == "table":
            name = text[1:-1].replace("''", "'")
            return ("column", (name, self.take()[1][1:-1])) if self.peek().startswith("[") else ("table", name)
        if kind == "name":
            return ("named", text[1:-1])
        if text == "(":
            tree = self.block()
            self.take(")")
            return tree
        if self.peek() == "(":
            return ("call", text, self.listed("(", ")"))
        return ("variable", text)

    def listed(self, first: str, last: str) -> list[Any]:
        self.take(first)
        found = []
        while self.peek() != last:
            found.append(self.block())
            if self.peek() == ",":
                self.take()
        self.take(last)
        return found


# ---------------------------------------------------------------- what is asked over
@dataclass(frozen=True)
class Link:
    """A relationship."""

    many: Place
    one: Place
    active: bool


@dataclass
class Data:
    """Tables as rows of values, their relationships, the measures' texts."""

    tables: dict[str, list[dict[str, Any]]]
    links: list[Link]
    measures: dict[str, str]


@dataclass(frozen=True)
class Context:
    """Filters: allowed values of columns, allowed rows of tables, relationships in use; and the current row."""

    columns: dict[Place, frozenset[Any]] = field(default_factory=dict)
    rows: dict[str, frozenset[int]] = field(default_factory=dict)
    used: tuple[tuple[Place, Place], ...] = ()
    row: dict[Place, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """A table that was worked out: its columns and rows; `base` if it is a table of the model, by row numbers."""

    columns: tuple[Place, ...]
    rows: tuple[tuple[Any, ...], ...]
    base: str | None = None


SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Dax:
    """Works out expressions over data."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.trees = {name: Reader(text).whole() for name, text in data.measures.items()}

    def measure(self, name: str, days: Iterable[date]) -> Any:
        """A measure under a filter of days."""
        return self.value(self.trees[name], Context({("Date", "Date"): frozenset(days)}))

    # ------------------------------------------------------------ which rows are seen
    def seen(self, table: str, context: Context, blocked: frozenset[str] = frozenset()) -> set[int]:
        """The rows of a table that the filters leave."""
        rows = self.data.tables[table]
        left = set(range(len(rows)))
        if table not in blocked:
            left &= context.rows.get(table, left)
            for (owner, column), values in context.columns.items():
                if owner == table:
                    left = {number for number in left if rows[number][column] in values}
        links = [link for link in self.data.links if link.many[0] == table]
        asked = [link for link in links if (link.many, link.one) in context.used]
        for link in asked + [link for link in links if link.active and link not in asked]:
            stop = blocked | {other.one[0] for other in asked if other is not link}
            keys = self.keys(link, context, stop)
            if keys is not None:
                left = {number for number in left if rows[number][link.many[1]] in keys}
        return left

    def keys(self, link: Link, context: Context, blocked: frozenset[str]) -> set[Any] | None:
        """The keys of the one side that filters leave; None if nothing filters it."""
        table, column = link.one
        rows, left = self.data.tables[table], self.seen(table, context, blocked)
        return None if len(left) == len(rows) else {rows[number][column] for number in left}

    # ------------------------------------------------------------ values
    def value(self, tree: Any, context: Context) -> Any:
        return getattr(self, f"of_{tree[0]}")(tree, context)

    def of_block(self, tree: Any, context: Context) -> Any:
        for name, inner in tree[1]:
            context = replace(context, variables={**context.variables, name: self.value(inner, context)})
        return self.value(tree[2], context)

    def of_value(self, tree: Any, _: Context) -> Any:
        return tree[1]

    def of_variable(self, tree: Any, context: Context) -> Any:
        return context.variables[tree[1]]

    def of_column(self, tree: Any, context: Context) -> Any:
        return context.row[tree[1]]

    def of_table(self, tree: Any, context: Context) -> Relation:
        name = tree[1]
        return Relation(((name, "#"),), tuple((number,) for number in sorted(self.seen(name, context))), name)

    def of_not(self, tree: Any, context: Context) -> bool:
        return not self.value(tree[1], context)

    def of_minus(self, tree: Any, context: Context) -> Any:
        found = self.value(tree[1], context)
        return None if found is None else -found

    def of_binary(self, tree: Any, context: Context) -> Any:
        return self.binary(tree[1], self.value(tree[2], context), self.value(tree[3], context))

    def of_call(self, tree: Any, context: Context) -> Any:
        return getattr(self, f"do_{tree[1].lower()}")(tree[2], context)

    def of_named(self, tree: Any, context: Context) -> Any:
        if ("", tree[1]) in context.row:
            return context.row["", tree[1]]
        return self.value(self.trees[tree[1]], self.turned(replace(context, variables={})))

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        if sign == "IN":
            return (left,) in set(right.rows)
        if sign in ("&&", "||"):
            return bool(left and right) if sign == "&&" else bool(left or right)
        if sign in SIGNS:
            return SIGNS[sign](left, right)
        if left is None and right is None:
            return None
        left, right = left or 0, right or 0
        return {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](left, right)

    # ------------------------------------------------------------ CALCULATE
    def turned(self, context: Context) -> Context:
        """The current row as filters."""
        columns = dict(context.columns)
        for place, value in context.row.items():
            if place[0]:
                columns[place] = columns.get(place, frozenset([value])) & {value}
        return replace(context, columns=columns, row={})

    def do_calculate(self, parts: list[Any], context: Context) -> Any:
        wanted = [(part, self.filter_of(part, context)) for part in parts[1:]]
        inner = self.turned(context)
        for change in sorted((found for _, found in wanted), key=lambda found: found[0]):
            inner = change[1](inner)
        return self.value(parts[0], inner)

    do_calculatetable = do_calculate

    def filter_of(self, part: Any, context: Context) -> tuple[int, Callable[[Context], Context]]:
        """(turn, change): what takes filters away comes before what sets them."""
        while part[0] == "block":
            part = part[2]
        name = part[1] if part[0] == "call" else ""
        if name == "REMOVEFILTERS":
            return 0, self.without(part[2][0][2])
        if name == "ALLEXCEPT":
            return 0, self.without(part[2][0][2], {column[2][1] for column in part[2][1:]})
        if name == "USERELATIONSHIP":
            ends = (part[2][0][2][1], part[2][1][2][1])
            assert any((link.many, link.one) == ends for link in self.data.links), ends
            return 0, lambda inner: replace(inner, used=(*inner.used, ends))
        if name == "KEEPFILTERS":
            return 1, self.setting(self.listed(part[2][0], context), keep=True)
        return 1, self.setting(self.listed(part, context), keep=False)

    def without(self, tree: Any, kept: frozenset[Place] | set[Place] = frozenset()) -> Callable[[Context], Context]:
        assert tree[0] == "table"

        def change(inner: Context) -> Context:
            columns = {place: values for place, values in inner.columns.items() if place[0] != tree[1] or place in kept}
            return replace(inner, columns=columns, rows={name: rows for name, rows in inner.rows.items() if name != tree[1]})

        return change

    def listed(self, part: Any, context: Context) -> Relation:
        """A filter as a table; a condition is the values of its one column for which it is true."""
        while part[0] == "block" and not part[1]:
            part = part[2]
        if part[0] == "binary":
            (place,) = set(places(part))
            values = {row[place[1]] for row in self.data.tables[place[0]]}
            true = [value for value in values if self.value(part, replace(context, row={place: value}))]
            return Relation((place,), tuple((value,) for value in true))
        found = self.value(part, context)
        assert isinstance(found, Relation), part
        return found

    def setting(self, relation: Relation, *, keep: bool) -> Callable[[Context], Context]:
        def change(inner: Context) -> Context:
            if relation.base:
                return replace(inner, rows=self.expanded(relation, inner.rows))
            (place,) = relation.columns
            values = frozenset(row[0] for row in relation.rows)
            if keep and place in inner.columns:
                values &= inner.columns[place]
            others = inner if keep or place != CALENDAR else self.without(("table", place[0]))(inner)
            return replace(others, columns={**others.columns, place: values})

        return change

    def expanded(self, relation: Relation, rows: dict[str, frozenset[int]]) -> dict[str, frozenset[int]]:
        """A table as a filter: its rows, and the rows of every table that these refer to."""
        result, waiting = dict(rows), [(relation.base or "", frozenset(row[0] for row in relation.rows))]
        while waiting:
            table, numbers = waiting.pop()
            result[table] = result.get(table, numbers) & numbers
            for link in self.data.links:
                if link.active and link.many[0] == table:
                    keys = {self.data.tables[table][number][link.many[1]] for number in numbers}
                    ones = self.data.tables[link.one[0]]
                    waiting.append((link.one[0], frozenset(n for n, row in enumerate(ones) if row[link.one[1]] in keys)))
        return result

    # ------------------------------------------------------------ functions
    def cells(self, part: Any, context: Context) -> list[Any]:
        table, column = part[2][1]
        rows = self.data.tables[table]
        return [rows[number][column] for number in self.seen(table, context) if rows[number][column] is not None]

    def do_sum(self, parts: list[Any], context: Context) -> Any:
        found = self.cells(parts[0], context)
        return sum(found) if found else None

    def do_min(self, parts: list[Any], context: Context) -> Any:
        return min(self.cells(parts[0], context), default=None)

    def do_max(self, parts: list[Any], context: Context) -> Any:
        return max(self.cells(parts[0], context), default=None)

    def do_countrows(self, parts: list[Any], context: Context) -> Any:
        return len(self.value(parts[0], context).rows) or None

    def do_divide(self, parts: list[Any], context: Context) -> Any:
        above, below = (self.value(part, context) for part in parts)
        return None if above is None or not below else Decimal(above) / Decimal(below)

    def do_isblank(self, parts: list[Any], context: Context) -> bool:
        return self.value(parts[0], context) is None

    def do_values(self, parts: list[Any], context: Context) -> Relation:
        table, column = place = parts[0][2][1]
        rows = self.data.tables[table]
        found = dict.fromkeys(rows[number][column] for number in sorted(self.seen(table, context)))
        return Relation((place,), tuple((value,) for value in found))

    def do_filter(self, parts: list[Any], context: Context) -> Relation:
        table = self.value(parts[0], context)
        kept = [row for row in table.rows if self.value(parts[1], self.on(table, row, context))]
        return replace(table, rows=tuple(kept))

    def do_addcolumns(self, parts: list[Any], context: Context) -> Relation:
        table, name = self.value(parts[0], context), self.value(parts[1], context)
        rows = [(*row, self.value(parts[2], self.on(table, row, context))) for row in table.rows]
        return Relation((*table.columns, ("", name)), tuple(rows))

    def on(self, table: Relation, row: tuple[Any, ...], context: Context) -> Context:
        return replace(context, row={**context.row, **dict(zip(table.columns, row, strict=True))})

    def do_sumx(self, parts: list[Any], context: Context) -> Any:
        table = self.value(parts[0], context)
        found = [self.value(parts[1], self.on(table, row, context)) for row in table.rows]
        kept = [number for number in found if number is not None]
        return sum(kept) if kept else None

    def do_hasonevalue(self, parts: list[Any], context: Context) -> bool:
        return len(self.do_values(parts, context).rows) == 1

    def do_if(self, parts: list[Any], context: Context) -> Any:
        return self.value(parts[1] if self.value(parts[0], context) else parts[2], context)

    def do_intersect(self, parts: list[Any], context: Context) -> Relation:
        one, other = (self.value(part, context) for part in parts)
        return replace(one, rows=tuple(row for row in one.rows if row in set(other.rows)))

    # ------------------------------------------------------------ days
    def days(self, part: Any, first: date | None, last: date | None) -> Relation:
        """The days of the calendar from first to last."""
        table, column = place = part[2][1]
        found = sorted(row[column] for row in self.data.tables[table])
        kept = [day for day in found if first and last and first <= day <= last]
        return Relation((place,), tuple((day,) for day in kept))

    def do_dateadd(self, parts: list[Any], context: Context) -> Relation:
        shown = sorted(self.cells(parts[0], context))
        months = int(self.value(parts[1], context)) * {"MONTH": 1, "YEAR": 12}[parts[2][2][1]]
        return self.shifted(parts[0], shown, months)

    def do_sameperiodlastyear(self, parts: list[Any], context: Context) -> Relation:
        return self.shifted(parts[0], sorted(self.cells(parts[0], context)), -12)

    def shifted(self, part: Any, shown: list[date], months: int) -> Relation:
        if not shown:
            return self.days(part, None, None)
        first, last = (moved(day, months) for day in (shown[0], shown[-1]))
        if shown[-1].day == calendar.monthrange(shown[-1].year, shown[-1].month)[1]:
            last = last.replace(day=calendar.monthrange(last.year, last.month)[1])
        return self.days(part, first, last)

    def do_datesbetween(self, parts: list[Any], context: Context) -> Relation:
        return self.days(parts[0], self.value(parts[1], context), self.value(parts[2], context))

    def do_date(self, parts: list[Any], context: Context) -> date | None:
        year, month, day = (self.value(part, context) for part in parts)
        return None if year is None else date(int(year), int(month), int(day))

    def do_year(self, parts: list[Any], context: Context) -> Any:
        day = self.value(parts[0], context)
        return day and day.year

    def do_month(self, parts: list[Any], context: Context) -> Any:
        day = self.value(parts[0], context)
        return day and day.month

    def do_datesinperiod(self, parts: list[Any], context: Context) -> Relation:
        last, count = self.value(parts[1], context), int(self.value(parts[2], context))
        assert parts[3][2][1] == "DAY" and count < 0
        return self.days(parts[0], last and last + timedelta(days=count + 1), last)


def moved(day: date, months: int) -> date:
    """The same day some months later, or the last of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def places(tree: Any) -> Iterable[Place]:
    """The columns that a condition names."""
    if isinstance(tree, tuple) and tree and tree[0] == "column":
        yield tree[1]
    elif isinstance(tree, (tuple, list)):
        for part in tree:
            yield from places(part)
