"""JSON made by DuckDB: a row is one concat() of its columns' texts, in the forms that OData prescribes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.feed.odata.types import Type, is_float
from pipeline.sql import literal

_BIG = ("Edm.Int64", "Edm.Decimal")
_QUOTED = ("date", "moment", "time", "span", "guid", "binary")


@dataclass(frozen=True)
class Format:
    """metadata: minimal, none or full. ieee: Int64 and Decimal as texts, for readers that know only doubles."""

    metadata: str = "minimal"
    ieee: bool = False


def json_text(sql: str, kind: Type, style: Format) -> str:
    """SQL for a value's JSON; NULL where the value is."""
    text = value_text(sql, kind)
    if kind.kind == "text":
        return f"CAST(to_json({text}) AS VARCHAR)"
    if is_float(kind):
        return f"CASE WHEN isfinite({sql}) THEN {text} ELSE '\"' || {text} || '\"' END"
    quotes = kind.kind in _QUOTED or (style.ieee and kind.name in _BIG)
    return f"('\"' || {text} || '\"')" if quotes else text


def filled_member(name: str, sql: str, kind: Type, style: Format) -> Member:
    """A value that is neither null nor infinite: nothing need be asked of it row by row."""
    if kind.kind in ("date", "moment"):
        plain = f"CAST({sql} AS VARCHAR)"
        return Member(name, plain if kind.kind == "date" else f"replace({plain}, ' ', 'T') || 'Z'", False, quotes=True)
    return Member(name, json_text(sql, kind, style), nullable=False)


def value_text(sql: str, kind: Type) -> str:
    """SQL for a value as OData writes it without quotes, as `/$value` gives it."""
    plain = f"CAST({sql} AS VARCHAR)"
    if is_float(kind):
        return f"CASE {plain} WHEN 'nan' THEN 'NaN' WHEN 'inf' THEN 'INF' WHEN '-inf' THEN '-INF' ELSE {plain} END"
    match kind.kind:
        case "moment":
            return f"CASE WHEN isfinite({sql}) THEN replace({plain}, ' ', 'T') || 'Z' END"
        case "date":
            return f"CASE WHEN isfinite({sql}) THEN {plain} END"
        case "span":
            return _span(sql)
        case "binary":
            return f"replace(replace(to_base64({sql}), '+', '-'), '/', '_')"
        case "text":
            return plain if kind.sql != "VARCHAR" else sql
    return plain


def _span(sql: str) -> str:
    """`P3DT4H5M6.5S`; months are 30 days, as DuckDB compares them."""
    seconds = f"epoch({sql})"
    whole = f"CAST(abs({seconds}) // 1 AS BIGINT)"
    rest = f"CAST(CAST(abs({seconds}) - {whole} + {whole} % 60 AS DECIMAL(9,6)) AS VARCHAR)"
    parts = f"'P', {whole} // 86400, 'DT', {whole} // 3600 % 24, 'H', {whole} // 60 % 60, 'M', {rest}, 'S'"
    return f"CASE WHEN {sql} IS NOT NULL THEN concat(CASE WHEN {seconds} < 0 THEN '-' ELSE '' END, {parts}) END"


@dataclass(frozen=True)
class Member:
    """A name and its JSON in SQL; `nullable`: the SQL may be NULL, which is written null; `quotes`: they are to be put round it."""

    name: str
    sql: str
    nullable: bool = True
    quotes: bool = False


def json_object(members: Iterable[Member], before: Iterable[str] = (), end: str = "") -> str:
    """SQL for an object, as one concat() of as few texts as may be.

    Args:
        before: SQL of texts such as `'"@odata.id":"..."'`, written first, without commas.
        end: what stands behind the object.
    """
    parts, between = list[str](), "{"
    for text in before:
        parts += [literal(between), text]
        between = ","
    for member in members:
        quote = '"' if member.quotes else ""
        parts += [literal(f'{between}"{member.name}":{quote}'), _told(member)]
        between = f"{quote},"
    if not parts:
        return literal(f"{{}}{end}")
    return f"concat({', '.join(parts)}, {literal(between.removesuffix(',') + '}' + end)})"


def _told(member: Member) -> str:
    return f"coalesce({member.sql}, 'null')" if member.nullable else member.sql
