"""The protocol's functions: what they take, what they give, and DuckDB's words for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.feed.odata.types import BOOLEAN, DATE, INT32, INT64, MOMENT, STRING, TIME, Type

SPACES = "chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(32) || chr(160)"
SECONDS = Type("Edm.Decimal", "DECIMAL(20,6)", 20, 6)


@dataclass(frozen=True)
class Function:
    """`takes`: for each argument the kinds allowed. `gives` is None where it gives the type of the first argument."""

    takes: tuple[tuple[str, ...], ...]
    gives: Type | None
    sql: str


def _of(*takes: str, gives: Type | None, sql: str) -> Function:
    return Function(tuple(tuple(kinds.split("|")) for kinds in takes), gives, sql)


FUNCTIONS: dict[tuple[str, int], Function] = {
    ("contains", 2): _of("text", "text", gives=BOOLEAN, sql="contains({0}, {1})"),
    ("startswith", 2): _of("text", "text", gives=BOOLEAN, sql="starts_with({0}, {1})"),
    ("endswith", 2): _of("text", "text", gives=BOOLEAN, sql="ends_with({0}, {1})"),
    ("length", 1): _of("text", gives=INT32, sql="CAST(length({0}) AS INTEGER)"),
    ("indexof", 2): _of(
        "text", "text", gives=INT32, sql="CAST(CASE WHEN {1} = '' THEN 0 ELSE strpos({0}, {1}) - 1 END AS INTEGER)"
    ),
    ("substring", 2): _of("text", "number", gives=STRING, sql="substring({0}, greatest(CAST({1} AS BIGINT), 0) + 1)"),
    ("substring", 3): _of(
        "text", "number", "number", gives=STRING,
        sql="substring({0}, greatest(CAST({1} AS BIGINT), 0) + 1, greatest(CAST({2} AS BIGINT), 0))",
    ),
    ("tolower", 1): _of("text", gives=STRING, sql="lower({0})"),
    ("toupper", 1): _of("text", gives=STRING, sql="upper({0})"),
    ("trim", 1): _of("text", gives=STRING, sql="trim({0}, " + SPACES + ")"),
    ("concat", 2): _of("text", "text", gives=STRING, sql="({0} || {1})"),
    ("year", 1): _of("date|moment", gives=INT32, sql="CAST(year({0}) AS INTEGER)"),
    ("month", 1): _of("date|moment", gives=INT32, sql="CAST(month({0}) AS INTEGER)"),
    ("day", 1): _of("date|moment", gives=INT32, sql="CAST(day({0}) AS INTEGER)"),
    ("hour", 1): _of("time|moment", gives=INT32, sql="CAST(hour({0}) AS INTEGER)"),
    ("minute", 1): _of("time|moment", gives=INT32, sql="CAST(minute({0}) AS INTEGER)"),
    ("second", 1): _of("time|moment", gives=INT32, sql="CAST(second({0}) AS INTEGER)"),
    ("fractionalseconds", 1): _of(
        "time|moment", gives=Type("Edm.Decimal", "DECIMAL(7,6)", 7, 6),
        sql="CAST((microsecond({0}) % 1000000) * 0.000001 AS DECIMAL(7,6))",
    ),
    ("date", 1): _of("moment", gives=DATE, sql="CAST({0} AS DATE)"),
    ("time", 1): _of("moment", gives=TIME, sql="CAST({0} AS TIME)"),
    ("totaloffsetminutes", 1): _of("moment", gives=INT32, sql="CASE WHEN {0} IS NOT NULL THEN 0 END"),
    ("totalseconds", 1): _of("span", gives=SECONDS, sql="CAST(epoch({0}) AS DECIMAL(20,6))"),
    ("mindatetime", 0): _of(gives=MOMENT, sql="TIMESTAMP '0001-01-01 00:00:00'"),
    ("maxdatetime", 0): _of(gives=MOMENT, sql="TIMESTAMP '9999-12-31 23:59:59.999999'"),
    ("round", 1): _of("number", gives=None, sql="round({0})"),
    ("floor", 1): _of("number", gives=None, sql="floor({0})"),
    ("ceiling", 1): _of("number", gives=None, sql="ceil({0})"),
}  # fmt: skip
NAMES = {name for name, _ in FUNCTIONS} | {"now", "cast", "isof"}
KNOWN_ELSEWHERE = {
    "matchesPattern", "hassubset", "hassubsequence", "case", "geo.distance", "geo.intersects", "geo.length",
    "substringof", "replace",
}  # fmt: skip

# cast: from a kind to an Edm type; what cannot be cast gives null
_TEXTS = {
    "Edm.Int16": r"[-+]?\d{1,5}", "Edm.Int32": r"[-+]?\d{1,10}", "Edm.Int64": r"[-+]?\d{1,19}", "Edm.Byte": r"\d{1,3}",
    "Edm.SByte": r"[-+]?\d{1,3}", "Edm.Decimal": r"[-+]?\d+(\.\d+)?", "Edm.Double": r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?",
    "Edm.Single": r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", "Edm.Date": r"\d{4}-\d\d-\d\d",
    "Edm.Boolean": "true|false", "Edm.TimeOfDay": r"\d\d:\d\d(:\d\d(\.\d+)?)?",
    "Edm.Guid": r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
}  # fmt: skip
TARGETS = {
    "Edm.Boolean": BOOLEAN, "Edm.String": STRING, "Edm.Int32": INT32, "Edm.Int64": INT64, "Edm.Date": DATE,
    "Edm.Int16": Type("Edm.Int16", "SMALLINT"), "Edm.Byte": Type("Edm.Byte", "UTINYINT"),
    "Edm.SByte": Type("Edm.SByte", "TINYINT"), "Edm.Decimal": Type("Edm.Decimal", "DECIMAL(38,10)", 38, 10),
    "Edm.Double": Type("Edm.Double", "DOUBLE"), "Edm.Single": Type("Edm.Single", "FLOAT"),
    "Edm.DateTimeOffset": MOMENT, "Edm.TimeOfDay": TIME, "Edm.Guid": Type("Edm.Guid", "UUID"),
}  # fmt: skip


def cast_sql(sql: str, source: Type, target: Type, bind: Callable[[str], str]) -> str | None:
    """SQL for the cast, or None where it is not offered. Texts must be literals of the type, as a whole."""
    if source.name == target.name:
        return sql
    if source.kind == "text" and target.name in _TEXTS:
        pattern = bind(_TEXTS[target.name])
        return f"CASE WHEN regexp_full_match({sql}, {pattern}) THEN TRY_CAST({sql} AS {target.sql}) END"
    if target.kind == "text" and source.kind in ("number", "truth", "date", "guid"):
        return f"CAST({sql} AS VARCHAR)"
    pair = (source.kind, target.kind)
    if pair in (("number", "number"), ("moment", "date"), ("moment", "time"), ("date", "moment")):
        return f"TRY_CAST({sql} AS {target.sql})"
    return None
