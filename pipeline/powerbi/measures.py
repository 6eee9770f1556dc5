"""Measures of a catalog: the standard ones its columns allow, then those that models declare."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import ProjectError
from pipeline.powerbi.catalog import Catalog, Table
from pipeline.powerbi.names import dax_column, dax_table
from pipeline.powerbi.standard import STANDARD, Standard

_PLACE = re.compile(r"\{([a-z_0-9]+)(?:\.([a-z_0-9]+))?\}")
_STRINGS = re.compile(r'"(?:[^"]|"")*"')
_MEASURE = re.compile(r"(?<!['\w\]])\[([^\]@]+)\]")
_COLUMN = re.compile(r"(?:'((?:[^']|'')+)'|(\b[A-Za-z_]\w*))\[((?:[^\]]|\]\])+)\]")


@dataclass(frozen=True)
class ModelMeasure:
    """A measure as it stands in the model; `table` is the name of gold."""

    name: str
    table: str
    dax: str
    format: str
    folder: str
    description: str


def measures_of(catalog: Catalog) -> list[ModelMeasure]:
    """All measures, in a fixed order. A model's own measure takes the place of a standard one of its name.

    Raises ProjectError where a declared measure names a column or a measure that is not there; in a catalog that is
    cut to a reader it is left out instead.
    """
    own = [
        ModelMeasure(name, table.source, one.expression.strip(), one.format, "Own", one.description)
        for table in catalog.tables
        for name, one in table.measures.items()
    ]
    _check_names(own)
    taken = {measure.name.lower() for measure in own}
    made: list[ModelMeasure] = []
    for standard in STANDARD:
        dax = _filled(standard, catalog) if standard.name.lower() not in taken else None
        if dax is not None and catalog.table(standard.table) and _measures_there(dax, [*made, *own]):
            taken.add(standard.name.lower())
            shown = (standard.format, standard.folder, standard.description)
            made.append(ModelMeasure(standard.name, standard.table, dax, *shown))
    for measure in [] if catalog.cut else own:
        if missing := _missing(measure, [*made, *own], catalog):
            raise ProjectError(
                f"the measure {measure.name!r} names {', '.join(missing)}, which the model does not have",
                where=f"gold.{measure.table}",
                do="use the names that Power BI shows, e.g. 'Orders'[Total Amount]",
            )
    return _resolved([*made, *own], catalog) if catalog.cut else made + own


def _resolved(measures: list[ModelMeasure], catalog: Catalog) -> list[ModelMeasure]:
    """The measures all of whose names are there, round by round: one left out may leave out another."""
    kept = [measure for measure in measures if not _missing(measure, measures, catalog)]
    return kept if len(kept) == len(measures) else _resolved(kept, catalog)


def _check_names(own: list[ModelMeasure]) -> None:
    seen: dict[str, str] = {}
    for measure in own:
        if measure.name.lower() in seen:
            raise ProjectError(
                f"the measure {measure.name!r} is declared in {seen[measure.name.lower()]} too",
                where=f"gold.{measure.table}",
                do="give each measure a name of its own",
            )
        seen[measure.name.lower()] = f"gold.{measure.table}"


def _filled(standard: Standard, catalog: Catalog) -> str | None:
    """The DAX with the model's names in it, or None if the catalog lacks one of them."""
    places = {match[0]: _place(catalog, match[1], match[2]) for match in _PLACE.finditer(standard.dax)}
    if None in places.values():
        return None
    return _PLACE.sub(lambda match: places[match[0]] or "", standard.dax)


def _place(catalog: Catalog, table: str, column: str | None) -> str | None:
    if table == "customer":
        return _customer(catalog)
    if table == "day":
        return dax_column(catalog.date.name, _title(catalog.date, "date")) if catalog.date else None
    found = catalog.table(table)
    if found is None:
        return None
    if column is None:
        return dax_table(found.name)
    return dax_column(found.name, _title(found, column)) if found.has(column) else None


def _title(table: Table, source: str) -> str:
    column = table.column(source)
    return column.name if column else source


def _customer(catalog: Catalog) -> str | None:
    """The column that names a customer, whatever its version: the business key of dim_customers."""
    table = catalog.table("dim_customers")
    names = [name for name in (table.business_key if table else ()) if name.endswith("_id")]
    return dax_column(table.name, _title(table, names[0])) if table and names and table.has(names[0]) else None


def measures_named(dax: str) -> set[str]:
    """The measures a DAX expression names: `[Revenue]`, but neither `'Orders'[Status]` nor `[@First]`."""
    return set(_MEASURE.findall(_STRINGS.sub('""', dax)))


def columns_named(dax: str) -> set[tuple[str, str]]:
    """The (table, column) pairs a DAX expression names."""
    found = _COLUMN.findall(_STRINGS.sub('""', dax))
    return {((first or second).replace("''", "'"), column.replace("]]", "]")) for first, second, column in found}


def _measures_there(dax: str, made: list[ModelMeasure]) -> bool:
    return measures_named(dax) <= {measure.name for measure in made}


def _missing(measure: ModelMeasure, made: list[ModelMeasure], catalog: Catalog) -> list[str]:
    """The columns and measures that a measure names and the model does not have."""
    there = {(table.name, column.name) for table in catalog.tables for column in table.columns}
    here = {column.name for table in catalog.tables if table.source == measure.table for column in table.columns}
    missing = [f"'{table}'[{column}]" for table, column in sorted(columns_named(measure.dax) - there)]
    known = {one.name for one in made} | here
    return missing + [f"[{name}]" for name in sorted(measures_named(measure.dax) - known)]
