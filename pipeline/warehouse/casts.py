"""Text to typed value, in SQL: nothing is rounded, shifted or guessed without a word.

Each traps what a bare TRY_CAST lets through on DuckDB 2.0.0: '12.6' as an
integer is 13, '12.345' as decimal(18,2) is 12.35, '0x1F' and '1_000' are
numbers, 'infinity' is a date, and '... +02' as a timestamp loses its zone.
"""

from __future__ import annotations

import re

from pipeline.project.source import Column
from pipeline.sql import literal

ISO_FORMATS = {"%Y-%m-%d %H:%M:%S": "____-__-__ __:__:__", "%Y-%m-%d": "____-__-__"}
_DATE = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_CURRENCY = r"( ?([A-Za-z]{3}|[€$£¥]))?"


def given(raw: str) -> str:
    """The text without outer blanks; NULL when nothing is left."""
    return f"nullif(trim({raw}), '')"


def blank(raw: str) -> str:
    """A condition: nothing is left of the text. Only what begins with a blank, or with no ASCII letter, is trimmed for it."""
    return f"({raw} IS NULL OR (({raw} < '!' OR {raw} > '~') AND {given(raw)} IS NULL))"


def value(raw: str, column: Column) -> str:
    """An expression that gives the typed value of `raw` (a quoted column of text), or NULL if it does not fit.

    A text that is written as the engine writes the value is known by that; any other is read by `strictly`, which gives
    the same and costs several times as much (a third of the CPU in which order lines are read, 2026-11-28).
    """
    if column.is_text:
        return raw
    strict = strictly(given(raw), column)
    if column.type in ("date", "timestamp"):
        return _or_moment(raw, column, strict)
    clear = column.is_number and column.type not in ("double", "real") and not _may_be_thousands(column)
    return _if_its_own_writing(raw, column, strict) if clear else strict


def strictly(text: str, column: Column) -> str:
    """The typed value of a text without outer blanks, or NULL if it does not fit."""
    if column.type.startswith("decimal"):
        return _decimal(text, column)
    if column.type in ("double", "real"):
        return _float(text, column)
    if column.is_number:
        return _integer(text, column)
    if column.type in ("date", "timestamp"):
        return _moment(text, column)
    if column.type == "time" and column.format:
        return f"CAST({_by_formats(text, column)} AS TIME)"
    return f"TRY_CAST({text} AS {column.type.upper()})"


def _if_its_own_writing(raw: str, column: Column, strict: str, only: str = "true") -> str:
    """A text that is, letter by letter, how the engine writes its value; `only` if a condition holds as well."""
    cast = f"TRY_CAST({raw} AS {column.type.upper()})"
    return f"CASE WHEN {only} AND CAST({cast} AS VARCHAR) = {raw} THEN {cast} ELSE {strict} END"


def _may_be_thousands(column: Column) -> bool:
    """Whether the engine's own writing of a number may mean another one: 1.234 with three decimals, or a thousand."""
    return "decimal_comma" in column.format and column.type.startswith("decimal") and _scale(column) > 2


def _scale(column: Column) -> int:
    return int(re.findall(r"\d+", column.type)[1])


def _or_moment(raw: str, column: Column, strict: str) -> str:
    """A date or timestamp as ISO 8601 writes it, where no other format comes first."""
    if not column.format and column.type == "date":
        return _if_its_own_writing(raw, column, strict, f"strlen({raw}) = 10")  # not infinity
    style = column.format[0] if column.format else "%Y-%m-%d %H:%M:%S"
    if style not in ISO_FORMATS:
        return strict
    return f"coalesce(CASE WHEN NOT suffix({raw}, ' ') THEN {_iso(raw, style, column.type.upper())} END, {strict})"


def _iso(text: str, style: str, kind: str) -> str:
    return f"CASE WHEN {text} LIKE {literal(ISO_FORMATS[style])} AND {text} >= '0001' THEN TRY_CAST({text} AS {kind}) END"


def _matched(text: str, pattern: str, result: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {result} END"


def _integer(text: str, column: Column) -> str:
    result = f"TRY_CAST({text} AS {column.type.upper()})"
    return _in_its_styles(text, column, result, r"[+-]?[0-9]+(\.0*)?", r"[+-]?[0-9]+(\.0{0,2})?", 0)


def _decimal(text: str, column: Column) -> str:
    scale = _scale(column)
    plain = rf"[+-]?([0-9]+(\.[0-9]{{0,{scale}}}0*)?|\.[0-9]{{1,{max(scale, 1)}}}0*)"
    clear = rf"[+-]?[0-9]+(\.[0-9]{{0,{min(scale, 2)}}})?"
    return _in_its_styles(text, column, f"TRY_CAST({text} AS {column.type.upper()})", plain, clear, scale)


def _in_its_styles(text: str, column: Column, result: str, plain: str, clear: str, scale: int) -> str:
    """A number as its formats write it; where both marks may be meant, only what cannot be read in two ways.

    Args:
        plain: the pattern of a number without marks of thousands.
        clear: those of them that mean the same in both styles, found quickly; the others are looked at twice.
    """
    if not column.format:
        return _matched(text, plain, result)
    several = len(set(column.format)) > 1
    bare = _matched(text, clear if several else plain, result)
    styles = [_written(text, style, scale, column.type.upper(), several) for style in column.format]
    return _first([bare, *styles] if several or column.format[0] == "decimal_point" else [*styles, bare])


_AMBIGUOUS = r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}"  # 1.234: a thousand and more, or one and a bit


def _written(text: str, style: str, scale: int, kind: str, several: bool) -> str:
    """A number with thousands marks, a decimal mark and a currency; with both styles allowed, only if unmistakable."""
    group, mark = (r"\.", ",") if style == "decimal_comma" else (",", r"\.")
    tail = rf"({mark}[0-9]{{1,{scale}}}0*)?" if scale else rf"({mark}0+)?"
    number = rf"[+-]?([1-9][0-9]{{0,2}}({group}[0-9]{{3}})+|[0-9]*){tail}"
    bare = f"regexp_replace({text}, {literal(_CURRENCY + '$')}, '')"
    comma = style == "decimal_comma"
    bare = f"replace(replace({bare}, '.', ''), ',', '.')" if comma else f"replace({bare}, ',', '')"
    read = _matched(text, number + _CURRENCY, f"TRY_CAST({bare} AS {kind})")
    return f"CASE WHEN NOT regexp_full_match({text}, {literal(_AMBIGUOUS + _CURRENCY)}) THEN {read} END" if several else read


def _float(text: str, column: Column) -> str:
    cast = f"TRY_CAST({text} AS {column.type.upper()})"
    power = r"([eE][+-]?[0-9]{1,3})?"
    plain, clear = rf"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+){power}", rf"[+-]?[0-9]+(\.([0-9]{{0,2}}|[0-9]{{4,}}))?{power}"
    return _in_its_styles(text, column, f"CASE WHEN isfinite({cast}) THEN {cast} END", plain, clear, 15)


def _moment(text: str, column: Column) -> str:
    kind = column.type.upper()
    if column.format:
        return _by_formats(text, column)
    if kind == "DATE":
        return _matched(text, rf"{_DATE}([ T]0{{1,2}}:00(:00(\.0+)?)?)?", f"TRY_CAST({text} AS DATE)")
    zoned = f"make_timestamp(epoch_us(TRY_CAST({text} AS TIMESTAMPTZ)))"
    return (
        f"CASE WHEN {text} LIKE '____-__-__ __:__:__' AND {text} >= '0001' THEN TRY_CAST({text} AS TIMESTAMP) "
        f"WHEN regexp_full_match({text}, {literal(f'{_DATE}([ T]{_CLOCK})?')}) THEN TRY_CAST({text} AS TIMESTAMP) "
        f"WHEN regexp_full_match({text}, {literal(rf'{_DATE}[ T]{_CLOCK} ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)')}) THEN {zoned} END"
    )


def _by_formats(text: str, column: Column) -> str:
    """The formats in their order; the ISO ones by cast, which is quicker and as strict."""
    kind = "TIMESTAMP" if column.type == "time" else column.type.upper()
    tries = []
    for style in column.format:
        if style in ISO_FORMATS:
            tries.append(_iso(text, style, kind))
        else:
            tries.append(f"CAST(try_strptime({text}, {literal(style)}) AS {kind})")
    return _first(tries)


def _first(tries: list[str]) -> str:
    return tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"
