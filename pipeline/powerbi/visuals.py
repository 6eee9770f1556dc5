"""Visuals of a report page in PBIR: what they show, where they stand, how a screen reader tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.powerbi.names import short

_SCHEMA = "https://developer.microsoft.com/json-schemas/fabric/item/report/definition/visualContainer/2.2.0/schema.json"
_CHARTS = ("lineChart", "clusteredColumnChart", "clusteredBarChart")
_CARD, _MOMENT = 20, 14  # points: a sum of nine digits, a day with its time fit a sixth of the page


@dataclass(frozen=True)
class Field:
    """A measure or column of the model, in the model's names."""

    table: str
    name: str
    is_measure: bool = False


@dataclass(frozen=True)
class Box:
    """Place on the page, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Visual:
    """A visual: Power BI's type, the fields of each of its wells, its title and its alternative text."""

    type: str
    title: str
    wells: dict[str, Sequence[Field]] = field(default_factory=dict)
    alt: str = ""
    mode: str | None = None  # of a slicer: Dropdown or Between; of a matrix: Plain, without totals; of a card: Moment
    tooltip: bool = False  # shows the report's tooltip page


def visual_file(page: str, number: int, visual: Visual, box: Box, tooltip_page: str) -> dict[str, Any]:
    """The content of visual.json; `number` is its place in the tab order."""
    body: dict[str, Any] = {"visualType": visual.type}
    if visual.wells:
        body["query"] = {"queryState": {well: _projected(fields, well) for well, fields in visual.wells.items()}}
        body["query"] |= _sorted(visual)
    if visual.type == "slicer":  # what is chosen on one page stays chosen on the others
        body["syncGroup"] = {"groupName": visual.title, "fieldChanges": True, "filterChanges": True}
    if objects := _objects(visual):
        body["objects"] = objects
    body["visualContainerObjects"] = _container(visual, tooltip_page)
    body["drillFilterOtherVisuals"] = True
    place = {"x": box.x, "y": box.y, "z": number, "width": box.width, "height": box.height, "tabOrder": number}
    return {"$schema": _SCHEMA, "name": short(page, str(number), visual.title), "position": place, "visual": body}


def expression(one: Field) -> dict[str, Any]:
    """The field as a query names it."""
    kind = "Measure" if one.is_measure else "Column"
    return {kind: {"Expression": {"SourceRef": {"Entity": one.table}}, "Property": one.name}}


def _projected(fields: Sequence[Field], well: str) -> dict[str, Any]:
    shown = []
    for one in fields:
        entry = {"field": expression(one), "queryRef": f"{one.table}.{one.name}", "nativeQueryRef": one.name}
        shown.append({**entry, "active": True} if well in ("Category", "Rows", "Columns") else entry)
    return {"projections": shown}


def _sorted(visual: Visual) -> dict[str, Any]:
    """Bars by what they show, the longest on top; lines, columns and tables by what they run along."""
    if visual.type not in (*_CHARTS, "tableEx"):
        return {}
    largest_first = visual.type == "clusteredBarChart"
    by = visual.wells["Y" if largest_first else "Category" if visual.type in _CHARTS else "Values"][0]
    sort = {"field": expression(by), "direction": "Descending" if largest_first else "Ascending"}
    return {"sortDefinition": {"sort": [sort], "isDefaultSort": True}}


def literal(value: str | bool | float) -> dict[str, Any]:
    """A value of a property: texts in quotes, numbers with a D."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else f"{value}D"
    return {"expr": {"Literal": {"Value": text}}}


def _properties(**values: str | bool | float) -> list[dict[str, Any]]:
    return [{"properties": {name: literal(value) for name, value in values.items()}}]


def _objects(visual: Visual) -> dict[str, Any]:
    if visual.type == "slicer":
        shown = {"data": _properties(mode=visual.mode or "Dropdown"), "header": _properties(show=False)}
        return {**shown, "slider": _properties(show=False)} if visual.mode == "Between" else shown
    if visual.type == "textbox":
        run = {"value": visual.title, "textStyle": {"fontWeight": "bold", "fontSize": "20pt"}}
        return {"general": [{"properties": {"paragraphs": [{"textRuns": [run]}]}}]}
    if visual.type == "cardVisual":
        whole = {"selector": {"id": "default"}}
        return {
            "label": [{**_properties(show=False)[0], **whole}],
            "value": [{**_properties(fontSize=_MOMENT if visual.mode == "Moment" else _CARD)[0], **whole}],
        }
    if visual.type == "pivotTable" and visual.mode == "Plain":
        return {"subTotals": _properties(rowSubtotals=False, columnSubtotals=False)}
    return _chart(visual) if visual.type in _CHARTS else {}


def _chart(visual: Visual) -> dict[str, Any]:
    lines = [*visual.wells["Y"], *visual.wells.get("Y2", ())]
    objects = {"legend": _properties(show=len(lines) > 1, position="Top")}
    if visual.type == "clusteredBarChart":
        objects["labels"] = _properties(show=True)
    if visual.type == "clusteredColumnChart":  # a month is a column, not a point on an axis of days
        objects["categoryAxis"] = _properties(axisType="Categorical")
    return objects


def _container(visual: Visual, tooltip_page: str) -> dict[str, Any]:
    shown = {"general": _properties(altText=visual.alt or visual.title)}
    if visual.type == "textbox":
        return {**shown, "title": _properties(show=False)}
    shown["title"] = _properties(show=True, text=visual.title)
    if visual.tooltip:
        shown["visualTooltip"] = _properties(show=True, type="Canvas", section=tooltip_page)
    return shown
