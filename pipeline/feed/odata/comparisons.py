"""Comparing as the protocol does: null equals null, and nothing else does; NaN equals nothing; dates and moments go together."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time

from pipeline.feed.odata.refusals import wrong
from pipeline.feed.odata.scope import Context, Value
from pipeline.feed.odata.types import BOOLEAN, DATE, MOMENT, is_float

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TURNED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq", "ne": "ne"}
_ORDERED = ("number", "text", "truth", "date", "moment", "time", "span", "guid")


def compared(context: Context, name: str, left: Value, right: Value, loose: bool) -> Value:
    """eq, ne, gt, ge, lt or le. `loose`: null may stand for false, which lets DuckDB skip what cannot match.

    Raises RequestError (400) for types that cannot be compared.
    """
    if left.known and not right.known:
        name, left, right = _TURNED[name], right, left
    name, left, right = _same_kind(context, name, left, right)
    if left.kind != right.kind and "null" not in (left.kind, right.kind):
        raise wrong(f"{_called(left)} cannot be compared with {_called(right)}", "compare values of one type")
    sql = _equal(name, left, right, loose) if name in ("eq", "ne") else _ordered(name, left, right, loose)
    if "Edm.Decimal" in {value.type.name for value in (left, right) if value.type} and "SELECT" not in sql:
        safe = context.safe(sql)  # decimals of different scales may not fit each other
        return Value(safe, BOOLEAN, nullable=loose or safe != sql)
    return Value(sql, BOOLEAN, nullable=loose)


def _equal(name: str, left: Value, right: Value, loose: bool) -> str:
    if "null" in (left.kind, right.kind):
        one = right if left.kind == "null" else left
        if one.kind == "null":
            return "true" if name == "eq" else "false"
        return f"({one.sql} IS {'NOT ' if name == 'ne' else ''}NULL)"
    if (loose or not left.nullable) and not right.nullable and name == "eq":
        sql = f"({left.sql} = {right.sql})"
    else:
        sql = f"({left.sql} IS {'NOT ' if name == 'eq' else ''}DISTINCT FROM {right.sql})"
    numbers = _not_numbers(left, right)
    if not numbers:
        return sql
    return f"({sql} AND NOT ({numbers}))" if name == "eq" else f"({sql} OR ({numbers}))"


def _ordered(name: str, left: Value, right: Value, loose: bool) -> str:
    if "null" in (left.kind, right.kind):
        one = right if left.kind == "null" else left
        both = one.sql + " IS NULL" if one.kind != "null" else "true"
        return f"({both})" if name in ("ge", "le") else "false"  # null is as great as null
    if left.kind not in _ORDERED:
        raise wrong(f"{_called(left)} has no order", "use eq or ne")
    sql = f"({left.sql} {_SIGNS[name]} {right.sql})"
    if numbers := _not_numbers(left, right):
        sql = f"({sql} AND NOT ({numbers}))"
    if left.nullable and right.nullable and name in ("ge", "le"):
        sql = f"({sql} OR ({left.sql} IS NULL AND {right.sql} IS NULL))"
    return sql if loose or not (left.nullable or right.nullable) else f"coalesce({sql}, false)"


def _not_numbers(left: Value, right: Value) -> str:
    """SQL that is true where a value is NaN, which DuckDB would take for the greatest number."""
    floats = [value.sql for value in (left, right) if value.type and is_float(value.type)]
    return " OR ".join(f"coalesce(isnan({sql}), false)" for sql in floats)


def _same_kind(context: Context, name: str, left: Value, right: Value) -> tuple[str, Value, Value]:
    kinds = (left.kind, right.kind)
    if kinds == ("date", "moment") and right.known:
        return _day(context, name, left, right)
    if kinds == ("moment", "date"):
        return name, left, replace(right, sql=f"CAST({right.sql} AS TIMESTAMP)", type=MOMENT)
    if kinds == ("date", "moment"):
        return name, replace(left, sql=f"CAST({left.sql} AS TIMESTAMP)", type=MOMENT), right
    return name, left, right


def _day(context: Context, name: str, left: Value, right: Value) -> tuple[str, Value, Value]:
    """A date against a moment, as Power Query asks: the moment becomes a date, exactly, so that DuckDB can skip by it."""
    moment: datetime = right.constant
    day = moment.date()
    if moment.time() != time(0):
        if name in ("eq", "ne"):
            moved = replace(left, sql=f"CAST({left.sql} AS TIMESTAMP)", type=MOMENT)
            return name, moved, right
        name = {"ge": "gt", "lt": "le"}.get(name, name)
    return name, left, replace(right, sql=context.bind(day), type=DATE, constant=day)


def _called(value: Value) -> str:
    return value.type.name if value.type else "null"
