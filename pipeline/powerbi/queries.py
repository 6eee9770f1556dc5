"""Partitions in M. What each asks of the feed is also given as a URL, so that it can be replayed without Power BI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

from pipeline.powerbi.catalog import Column, Table
from pipeline.powerbi.names import dax_text, m_name

MODES = ("import", "directquery")
FEED_URL = "http://localhost:8080/odata/v4/"
SCHEMA = "gold"  # where PostgreSQL has the tables
_START, _END = "RangeStart", "RangeEnd"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the model: its M value and type."""

    name: str
    value: str
    type: str
    description: str


def parameters(mode: str, url: str | None) -> list[Parameter]:
    """The parameters of a mode. `url`: the feed's address, or host:port/database of PostgreSQL."""
    if mode == "directquery":
        server, database = postgres_place(url)
        return [
            Parameter("PostgresServer", dax_text(server), "Text", "Host and port of PostgreSQL"),
            Parameter("PostgresDatabase", dax_text(database), "Text", "Name of the database"),
        ]
    address = (url or FEED_URL).rstrip("/") + "/"
    return [
        Parameter("FeedUrl", dax_text(address), "Text", "Address of the feed, with the / at its end"),
        Parameter("FeedVersion", '""', "Text", 'Empty: the latest version. To pin one write e.g. "@000003/"'),
        Parameter(_START, "#datetime(1900, 1, 1, 0, 0, 0)", "DateTime", "First moment that is loaded"),
        Parameter(_END, "#datetime(2200, 1, 1, 0, 0, 0)", "DateTime", "First moment that is no longer loaded"),
    ]


def postgres_place(url: str | None) -> tuple[str, str]:
    """Server and database of host:port/database; where nothing is said, those of the compose file."""
    server, _, database = (url or "localhost:5432/goldfeed").partition("/")
    return server, database or "goldfeed"


def partition(table: Table, mode: str) -> str:
    """The M of a table's one partition, in the form that folds into one request."""
    steps = _from_postgres(table) if mode == "directquery" else _from_feed(table)
    return _let(steps)


def standalone(table: Table, url: str | None) -> str:
    """The M of a table for a file of its own: all rows, the address in it."""
    address = (url or FEED_URL).rstrip("/") + "/"
    return _let(_from_feed(replace(table, refresh_by=None), dax_text(address)))


def _let(steps: list[tuple[str, str]]) -> str:
    lines = ",\n".join(f"    {name} = {value}" for name, value in steps)
    return f"let\n{lines}\nin\n    {steps[-1][0]}"


def _from_feed(table: Table, address: str = "FeedUrl & FeedVersion") -> list[tuple[str, str]]:
    names = ", ".join(dax_text(column.source) for column in table.columns)
    steps = [
        ("Source", f'OData.Feed({address}, null, [Implementation = "2.0"])'),
        ("Entities", f'Source{{[Name = {dax_text(table.source)}, Signature = "table"]}}[Data]'),
        ("Columns", f"Table.SelectColumns(Entities, {{{names}}})"),
        *_window(table),
    ]
    return _typed(table, steps)


def _typed(table: Table, steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Types that the feed's own do not give: else Desktop would make doubles of money at its first refresh.

    These steps come last, for none of them folds.
    """
    steps = list(steps)
    times = [column.source for column in table.columns if column.has_time]
    if times:
        change = "each DateTimeZone.RemoveZone(DateTimeZone.ToUtc(DateTimeZone.From(_))), type nullable datetime"
        changes = ", ".join(f"{{{dax_text(name)}, {change}}}" for name in times)
        steps.append(("Times", f"Table.TransformColumns({steps[-1][0]}, {{{changes}}})"))
    types = [(column.source, type_) for column in table.columns if (type_ := _m_type(column))]
    if types:
        changes = ", ".join(f"{{{dax_text(name)}, {type_}}}" for name, type_ in types)
        steps.append(("Types", f"Table.TransformColumnTypes({steps[-1][0]}, {{{changes}}})"))
    return steps


def _m_type(column: Column) -> str | None:
    """The M type of a number that comes as Edm.Decimal or as a duration; None for what comes as what it is."""
    if column.kind == "decimal":
        return "Currency.Type"
    if column.type in ("HUGEINT", "UHUGEINT", "UBIGINT"):
        return "Int64.Type"
    return "type number" if column.type == "INTERVAL" else None


def _window(table: Table) -> list[tuple[str, str]]:
    """The rows between RangeStart and RangeEnd: the borders are values before the filter, so that it folds."""
    column = table.column(table.refresh_by) if table.refresh_by else None
    if column is None:
        return []
    convert = "DateTime.AddZone({}, 0)" if column.has_time else "Date.From({})"
    field = f"[{m_name(column.source)}]"
    return [
        ("From", convert.format(_START)),
        ("To", convert.format(_END)),
        ("Rows", f"Table.SelectRows(Columns, each {field} >= From and {field} < To)"),
    ]


def _from_postgres(table: Table) -> list[tuple[str, str]]:
    names = ", ".join(dax_text(column.source) for column in table.columns)
    return [
        ("Source", "PostgreSQL.Database(PostgresServer, PostgresDatabase)"),
        ("Relation", f"Source{{[Schema = {dax_text(SCHEMA)}, Item = {dax_text(table.source)}]}}[Data]"),
        ("Columns", f"Table.SelectColumns(Relation, {{{names}}})"),
    ]


def request(
    table: Table, url: str, version: str = "", window: tuple[datetime, datetime] | None = None
) -> tuple[str, dict[str, str]]:
    """The address and query options the feed is asked for a table, as Power Query folds the partition above.

    `version` is the parameter FeedVersion; without a window there is no filter.
    """
    options = {"$select": ",".join(column.source for column in table.columns)}
    column = table.column(table.refresh_by) if table.refresh_by else None
    if column is not None and window is not None:
        start, end = (_odata(moment, column.has_time) for moment in window)
        options["$filter"] = f"{column.source} ge {start} and {column.source} lt {end}"
    return f"{url.rstrip('/')}/{version}{quote(table.source)}", options


def _odata(moment: datetime, has_time: bool) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if has_time else moment.strftime("%Y-%m-%d")
