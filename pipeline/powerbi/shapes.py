"""How a column shows: hidden or not, its format, folder, order, category, and whether it is summed by itself."""

from __future__ import annotations

import re

from pipeline.powerbi.catalog import Catalog, Column, Table

_PLACES = {
    "country": "Country", "state": "StateOrProvince", "city": "City", "town": "City", "zip_code": "PostalCode",
    "zip_code_prefix": "PostalCode", "postal_code": "PostalCode", "latitude": "Latitude", "longitude": "Longitude",
    "address": "Address", "continent": "Continent", "county": "County",
}  # fmt: skip
_ORDERS = {"month_name": "month_number", "day_name": "day_of_week"}
_VERSIONS = ("valid_from", "valid_to", "is_current")
_NOT_SUMMED = re.compile(
    r"(^|_)(average|avg|rate|share|score|price|number|key|id|age|year|month|quarter|day|since)(_|$)"
)
_SHARE = re.compile(r"(^|_)(rate|share)$")


def is_hidden(column: Column, table: Table, catalog: Catalog) -> bool:
    """Surrogate keys, tokens for joins, and the end of a reference that its other end shows better."""
    if column.source.endswith(("_key", "_token")):
        return True
    return any(one.table == table.source and one.column == column.source for one in catalog.references)


def format_of(column: Column) -> str | None:
    """The format string; None for text and flags."""
    if column.has_time:
        return "yyyy-mm-dd hh:nn:ss"
    if column.type == "TIME":
        return "hh:nn:ss"
    if column.type == "DATE":
        return "mmm yyyy" if column.source.endswith("month") else "yyyy-mm-dd"
    if not column.is_number:
        return None
    if _SHARE.search(column.source):
        return "0.0%"
    if column.kind == "int64":
        return "0" if _NOT_SUMMED.search(column.source) else "#,0"
    return "#,0.00"


def folder_of(column: Column) -> str | None:
    """Versions, places and figures in folders; what names a row stands on top."""
    if column.source in _VERSIONS:
        return "Version"
    if category_of(column):
        return "Places"
    if column.kind == "dateTime":
        return "Times" if column.has_time else None
    return "Figures" if column.is_number and not _NOT_SUMMED.search(column.source) else None


def category_of(column: Column) -> str | None:
    """What a map takes it for."""
    return _PLACES.get(column.source)


def sorted_by(column: Column, table: Table) -> Column | None:
    """The column that orders this one: the month's number orders its name."""
    by = _ORDERS.get(column.source)
    return table.column(by) if by else None


def summary_of(column: Column, table: Table, catalog: Catalog) -> str:
    """`sum` for what adds up: figures of facts and marts that are no price, rate, score or key."""
    adds = column.is_number and not table.source.startswith(("dim_", "_")) and column.source not in table.key
    related = any(one.table == table.source and one.column == column.source for one in catalog.references)
    return "sum" if adds and not related and not _NOT_SUMMED.search(column.source) else "none"
