"""Edm types: which one a DuckDB type becomes, and which go together."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Type:
    """An Edm type; `sql` is the DuckDB type that holds its values."""

    name: str
    sql: str
    precision: int | None = None
    scale: int | None = None

    @property
    def kind(self) -> str:
        """number, text, truth, date, moment, time, span, guid or binary: what may be compared with what."""
        return _KINDS.get(self.name, "number")


BOOLEAN = Type("Edm.Boolean", "BOOLEAN")
STRING = Type("Edm.String", "VARCHAR")
INT32 = Type("Edm.Int32", "INTEGER")
INT64 = Type("Edm.Int64", "BIGINT")
DOUBLE = Type("Edm.Double", "DOUBLE")
DATE = Type("Edm.Date", "DATE")
MOMENT = Type("Edm.DateTimeOffset", "TIMESTAMP", precision=6)
TIME = Type("Edm.TimeOfDay", "TIME", precision=6)
SPAN = Type("Edm.Duration", "INTERVAL", precision=6)
GUID = Type("Edm.Guid", "UUID")
BINARY = Type("Edm.Binary", "BLOB")

_KINDS = {
    "Edm.Boolean": "truth", "Edm.String": "text", "Edm.Date": "date", "Edm.DateTimeOffset": "moment",
    "Edm.TimeOfDay": "time", "Edm.Duration": "span", "Edm.Guid": "guid", "Edm.Binary": "binary",
}  # fmt: skip
_PLAIN = {
    "BOOLEAN": BOOLEAN, "TINYINT": Type("Edm.SByte", "TINYINT"), "SMALLINT": Type("Edm.Int16", "SMALLINT"),
    "INTEGER": INT32, "BIGINT": INT64, "UTINYINT": Type("Edm.Byte", "UTINYINT"), "USMALLINT": Type("Edm.Int32", "USMALLINT"),
    "UINTEGER": Type("Edm.Int64", "UINTEGER"), "UBIGINT": Type("Edm.Decimal", "UBIGINT", 20, 0),
    "HUGEINT": Type("Edm.Decimal", "HUGEINT", 39, 0), "UHUGEINT": Type("Edm.Decimal", "UHUGEINT", 39, 0),
    "FLOAT": Type("Edm.Single", "FLOAT"), "DOUBLE": DOUBLE, "VARCHAR": STRING, "DATE": DATE, "TIME": TIME,
    "TIMESTAMP": MOMENT, "TIMESTAMP_S": Type("Edm.DateTimeOffset", "TIMESTAMP_S", 0), "INTERVAL": SPAN,
    "TIMESTAMP_MS": Type("Edm.DateTimeOffset", "TIMESTAMP_MS", 3), "UUID": GUID, "BLOB": BINARY,
    "TIMESTAMP_NS": Type("Edm.DateTimeOffset", "TIMESTAMP_NS", 9),
    "TIMESTAMP WITH TIME ZONE": Type("Edm.DateTimeOffset", "TIMESTAMP WITH TIME ZONE", 6),
}  # fmt: skip
_FLOATS = ("Edm.Double", "Edm.Single")
_KEYS = ("number", "text", "truth", "date", "moment", "time", "guid")


def edm_of(kind: str) -> Type:
    """The Edm type of a DuckDB type. Lists, structs, enums and the like are texts: as DuckDB writes them, in JSON."""
    if found := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", kind):
        return Type("Edm.Decimal", kind, int(found[1]), int(found[2]))
    return _PLAIN.get(kind, Type("Edm.String", kind))


def is_float(kind: Type) -> bool:
    """Double or single: the types that have NaN and infinities."""
    return kind.name in _FLOATS


def is_integer(kind: Type) -> bool:
    """Whole numbers of up to 64 bits."""
    return kind.kind == "number" and not is_float(kind) and kind.name != "Edm.Decimal"


def is_plain_text(kind: Type) -> bool:
    """A text in DuckDB too, not a list or a struct shown as one."""
    return kind.sql == "VARCHAR"


def may_be_key(kind: Type) -> bool:
    """Whether OData allows the type in a key."""
    return kind.kind in _KEYS and not is_float(kind) and not (kind.kind == "text" and not is_plain_text(kind))
