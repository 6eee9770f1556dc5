"""The semantic model: the files of its folder `definition/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.powerbi.catalog import Catalog, Column, Reference, Table
from pipeline.powerbi.measures import ModelMeasure, measures_of
from pipeline.powerbi.names import file_names, tag, tmdl_name
from pipeline.powerbi.queries import Parameter, parameters, partition
from pipeline.powerbi.roles import row_filters
from pipeline.powerbi.shapes import category_of, folder_of, format_of, is_hidden, sorted_by, summary_of
from pipeline.powerbi.tmdl import Node, written

_YEARS = "30"  # kept by the refresh policy: more than any shop has, so that none is dropped
_MONTHS = "3"  # read anew at each refresh


def model_files(
    catalog: Catalog, mode: str, url: str | None, roles: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Path -> text. `groups`: perspectives by name, each with its tables of gold."""
    measures = measures_of(catalog)
    files = {
        "database.tmdl": written(Node("database", [("compatibilityLevel", "1600")])),
        "model.tmdl": _model(catalog, roles, groups),
        "expressions.tmdl": written(*(_parameter(one, catalog) for one in parameters(mode, url))),
        "relationships.tmdl": written(*(_relationship(one, catalog) for one in catalog.references)),
    }
    titles = file_names(table.name for table in catalog.tables)
    for table in catalog.tables:
        own = [measure for measure in measures if measure.table == table.source]
        files[f"tables/{titles[table.name]}.tmdl"] = written(_table(table, own, mode, catalog))
    for name, file in file_names(roles).items():
        files[f"roles/{file}.tmdl"] = written(_role(name, roles[name], catalog))
    for name, file in file_names(groups).items():
        files[f"perspectives/{file}.tmdl"] = written(_perspective(name, groups[name], catalog, measures))
    return files


def _model(catalog: Catalog, roles: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> str:
    head = Node(
        "model Model",
        [("culture", "en-US"), ("defaultPowerBIDataSourceVersion", "powerBI_V3"), ("sourceQueryCulture", "en-US")],
        [
            Node("dataAccessOptions", [("legacyRedirects", True), ("returnErrorValuesAsNull", True)]),
            Node("annotation __PBI_TimeIntelligenceEnabled", expression="0"),
            Node("annotation goldfeed_version", expression=catalog.version),
        ],
    )
    lines = [f"ref table {tmdl_name(table.name)}" for table in catalog.tables]
    lines += [f"ref perspective {tmdl_name(name)}" for name in groups]
    lines += [f"ref role {tmdl_name(name)}" for name in roles]
    return written(head) + "\n" + "\n".join(lines) + "\n"


def _parameter(one: Parameter, catalog: Catalog) -> Node:
    needed = "false" if one.name == "FeedVersion" else "true"
    meta = f'meta [IsParameterQuery=true, Type="{one.type}", IsParameterQueryRequired={needed}]'
    return Node(
        f"expression {one.name}",
        [("lineageTag", tag(catalog.project, "expression", one.name))],
        [Node("annotation PBI_ResultType", expression=one.type)],
        one.description,
        f"{one.value} {meta}",
    )


def _relationship(one: Reference, catalog: Catalog) -> Node:
    name = tag(catalog.project, "relationship", one.table, one.column, one.to_table, one.to_column)
    return Node(
        f"relationship {name}",
        [
            ("isActive", None if one.active else "false"),
            ("fromColumn", _place(catalog, one.table, one.column)),
            ("toColumn", _place(catalog, one.to_table, one.to_column)),
        ],
    )


def _place(catalog: Catalog, table: str, column: str) -> str:
    found = catalog.table(table)
    title = found.column(column) if found else None
    assert found is not None and title is not None, "the catalog keeps only references whose ends are there"
    return f"{tmdl_name(found.name)}.{tmdl_name(title.name)}"


def _table(table: Table, measures: list[ModelMeasure], mode: str, catalog: Catalog) -> Node:
    children = [_measure(measure, catalog) for measure in measures]
    children += [_column(column, table, catalog) for column in table.columns]
    if table.is_date:
        children += _calendar(table, catalog)
    if table.refresh_by and mode == "import":
        children.append(_policy(table))
    children.append(_partition(table, mode))
    return Node(
        f"table {tmdl_name(table.name)}",
        [("lineageTag", tag(catalog.project, table.source)), ("dataCategory", "Time" if table.is_date else None)],
        children,
        table.description,
    )


def _measure(measure: ModelMeasure, catalog: Catalog) -> Node:
    return Node(
        f"measure {tmdl_name(measure.name)}",
        [
            ("formatString", measure.format),
            ("displayFolder", measure.folder),
            ("lineageTag", tag(catalog.project, "measure", measure.name)),
        ],
        (),
        measure.description,
        measure.dax,
    )


def _column(column: Column, table: Table, catalog: Catalog) -> Node:
    by = sorted_by(column, table)
    return Node(
        f"column {tmdl_name(column.name)}",
        [
            ("dataType", column.kind),
            ("isHidden", is_hidden(column, table, catalog)),
            ("isKey", table.is_date and column.source == "date"),
            ("formatString", format_of(column)),
            ("displayFolder", folder_of(column)),
            ("lineageTag", tag(catalog.project, table.source, column.source)),
            ("dataCategory", category_of(column)),
            ("summarizeBy", summary_of(column, table, catalog)),
            ("sourceColumn", column.source),
            ("sortByColumn", tmdl_name(by.name) if by else None),
        ],
        _annotations(column),
        column.description,
    )


def _annotations(column: Column) -> list[Node]:
    """What Desktop notes itself: without it, it would take a day for a moment with a time, and format it anew."""
    notes = {"SummarizationSetBy": "User"}
    if column.kind == "dateTime":
        notes |= {"PBI_FormatHint": '{"isDateTimeCustom":true}'}
        notes |= {} if column.has_time else {"UnderlyingDateTimeDataType": "Date" if column.type == "DATE" else "Time"}
    return [Node(f"annotation {name}", expression=text) for name, text in notes.items()]


def _calendar(table: Table, catalog: Catalog) -> list[Node]:
    levels = [table.column(name) for name in ("year", "quarter", "month_name", "date")]
    nodes = [
        Node(
            f"level {tmdl_name(column.name)}",
            [
                ("lineageTag", tag(catalog.project, table.source, "Calendar", column.source)),
                ("column", tmdl_name(column.name)),
            ],
        )
        for column in levels
        if column is not None
    ]
    lineage = ("lineageTag", tag(catalog.project, table.source, "Calendar"))
    return [Node("hierarchy Calendar", [lineage], nodes, "Years, quarters, months and days")]


def _policy(table: Table) -> Node:
    return Node(
        "refreshPolicy",
        [
            ("policyType", "basic"),
            ("rollingWindowGranularity", "year"),
            ("rollingWindowPeriods", _YEARS),
            ("incrementalGranularity", "month"),
            ("incrementalPeriods", _MONTHS),
            ("sourceExpression =", partition(table, "import")),
        ],
    )


def _partition(table: Table, mode: str) -> Node:
    shown = "directQuery" if mode == "directquery" else "import"
    return Node(f"partition {tmdl_name(table.name)} = m", [("mode", shown), ("source =", partition(table, mode))])


def _role(name: str, role: Mapping[str, Any], catalog: Catalog) -> Node:
    permissions = [
        Node(f"tablePermission {tmdl_name(table.name)}", expression=dax)
        for table, dax in row_filters(name, role, catalog)
    ]
    return Node(f"role {tmdl_name(name)}", [("modelPermission", "read")], permissions)


def _perspective(name: str, tables: Sequence[str], catalog: Catalog, measures: list[ModelMeasure]) -> Node:
    shown = [table for table in catalog.tables if table.source in tables]
    return Node(f"perspective {tmdl_name(name)}", (), [_seen(table, measures) for table in shown])


def _seen(table: Table, measures: list[ModelMeasure]) -> Node:
    parts = [Node(f"perspectiveColumn {tmdl_name(column.name)}") for column in table.columns]
    parts += [Node(f"perspectiveMeasure {tmdl_name(one.name)}") for one in measures if one.table == table.source]
    parts += [Node("perspectiveHierarchy Calendar")] if table.is_date else []
    return Node(f"perspectiveTable {tmdl_name(table.name)}", (), parts)
