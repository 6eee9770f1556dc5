"""Names for people, identifiers that never change, and the quoting of DAX, M and TMDL."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

_SPACE = uuid.UUID("6f1d6a4e-9a0b-5c1e-8f5e-0c6f8f2b7a11")  # the name space of every lineage tag
_UPPER = {
    "id": "ID",
    "kpi": "KPI",
    "kpis": "KPIs",
    "rfm": "RFM",
    "url": "URL",
    "sku": "SKU",
    "utc": "UTC",
    "lbs": "lbs",
}
# names that Windows keeps for devices, whatever the ending
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_PREFIX = re.compile(r"^(dim|fact|mart)_")


def tag(*parts: str) -> str:
    """The lineage tag of an object: a UUID made from its place, so the same model gives the same file."""
    return str(uuid.uuid5(_SPACE, "/".join(parts)))


def short(*parts: str) -> str:
    """Twenty hex digits, as Power BI names pages and visuals."""
    return tag(*parts).replace("-", "")[:20]


def friendly(name: str) -> str:
    """`mart_daily_kpis` -> `Daily KPIs`; `customer_id` -> `Customer ID`."""
    words = _PREFIX.sub("", name).strip("_").split("_")
    return " ".join(_UPPER.get(word, word[:1].upper() + word[1:]) for word in words)


def unique(wanted: list[tuple[str, str]]) -> dict[str, str]:
    """(original, wanted name) pairs -> a name for each original; names that meet, in any case, get a tail.

    The tail is the original's prefix (`Orders (mart)`), or a number where that does not tell them apart.
    """
    taken: set[str] = set()
    result: dict[str, str] = {}
    for original, name in wanted:
        prefix = _PREFIX.match(original)
        choices = [name, *([f"{name} ({prefix[1]})"] if prefix else []), *(f"{name} {n}" for n in range(2, 1000))]
        result[original] = next(choice for choice in choices if choice.lower() not in taken)
        taken.add(result[original].lower())
    return result


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file's name (without ending) for each name: letters that no system refuses, and no two the same in any case."""
    result: dict[str, str] = {}
    for name in names:
        safe = re.sub(r"[^\w \-]", "_", name).strip() or "_"
        safe = f"{safe}_" if safe.lower() in _RESERVED else safe
        taken = {other.lower() for other in result.values()}
        result[name] = safe if safe == name and safe.lower() not in taken else f"{safe} {short(name)[:8]}"
    return result


def tmdl_name(name: str) -> str:
    """A name in TMDL: quoted unless it is one plain word."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "'" + name.replace("'", "''") + "'"


def dax_column(table: str, column: str) -> str:
    """`'Orders'[Order ID]`."""
    return f"{dax_table(table)}[{column.replace(']', ']]')}]"


def dax_table(table: str) -> str:
    """`'Orders'`, always quoted: a table may bear the name of a function."""
    return "'" + table.replace("'", "''") + "'"


def dax_text(text: str) -> str:
    """A string in DAX, and in M: both double the quote."""
    return '"' + text.replace('"', '""') + '"'


def m_name(name: str) -> str:
    """A field or step in M; anything but a plain word is written #"..."."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f'#"{name.replace(chr(34), chr(34) * 2)}"'
