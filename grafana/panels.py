"""Panels as Grafana writes them, so that every dashboard has the same colours, legends and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "goldfeed"}
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"
Steps = Sequence[tuple[float, str]]
Query = tuple[str, str]  # PromQL and legend


@dataclass(frozen=True)
class Panel:
    """One panel. `width` of 24, `height` in rows of Grafana's grid; `empty`: why its queries may find nothing."""

    title: str
    description: str
    kind: str
    unit: str
    queries: Sequence[Query]
    steps: Steps = ((0, GREEN),)
    width: int = 8
    height: int = 7
    words: Sequence[tuple[str, str, str]] = ()
    decimals: int | None = None
    names: Sequence[tuple[str, str]] = ()
    empty: str = ""
    top: float | None = None

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at its place."""
        made: dict[str, Any] = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [self._target(place, *query) for place, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": _OPTIONS[self.kind],
        }
        if self.kind in ("table", "barchart"):
            made["transformations"] = _together(self.names)
        return made

    def _target(self, place: int, expr: str, legend: str) -> dict[str, Any]:
        at_once = self.kind != "timeseries"
        return {
            "refId": "ABCDEFGH"[place],
            "datasource": SOURCE,
            "expr": expr,
            "legendFormat": legend,
            "editorMode": "code",
            "instant": at_once,
            "range": not at_once,
            "format": "table" if self.kind in ("table", "barchart") else "time_series",
        }

    def _defaults(self) -> dict[str, Any]:
        steps = [{"color": color, "value": None if place == 0 else value} for place, (value, color) in enumerate(self.steps)]
        coloured = len(self.steps) > 1 and self.kind != "timeseries"
        made: dict[str, Any] = {
            "unit": self.unit,
            "color": {"mode": "thresholds" if coloured or self.kind == "stat" else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": [{"type": "value", "options": {value: {"text": text, "color": color}}} for value, text, color in self.words],
            "noValue": "none",
            "custom": _custom(self),
        }
        if self.decimals is not None:
            made["decimals"] = self.decimals
        if self.top is not None:
            made |= {"min": 0, "max": self.top}
        return made

    def _overrides(self) -> list[dict[str, Any]]:
        """Colours that mean the same everywhere: good is green, bad is red; what only moves a bar is not seen."""
        if self.kind == "barchart":
            return [_override("begins", [{"id": "color", "value": {"mode": "fixed", "fixedColor": "transparent"}}])]
        if self.kind != "timeseries":
            return []
        colours = {"succeeded": GREEN, "passed": GREEN, "failed": RED, "withheld": RED, "limit": RED, "unchanged": BLUE}
        legends = {legend for _, legend in self.queries}
        if "{{status}}" in legends or "{{outcome}}" in legends or "limit" in legends:
            return [
                _override(name, [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}])
                for name, colour in colours.items()
            ]
        return []


def _override(name: str, properties: list[dict[str, Any]]) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        shaded = "dashed" if len(panel.steps) > 1 else "off"
        return {"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": 120_000, "thresholdsStyle": {"mode": shaded}}
    if panel.kind == "barchart":
        return {"lineWidth": 0, "fillOpacity": 90}
    if panel.kind == "table":
        return {"align": "auto", "cellOptions": {"type": "color-text" if len(panel.steps) > 1 else "auto"}}
    return {}


def _together(names: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One table of the queries' results: joined, named, without what nobody reads."""
    hidden = ["Time", "__name__", "instance", "job", "alertstate", "le"]
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": dict.fromkeys(hidden, True), "renameByName": dict(names), "indexByName": {}},
        },
    ]


_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_TOOLTIP = {"mode": "multi", "sort": "desc"}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "reduceOptions": _REDUCE,
        "orientation": "auto",
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    "timeseries": {"legend": _LEGEND, "tooltip": _TOOLTIP},
    "bargauge": {
        "reduceOptions": _REDUCE,
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "namePlacement": "auto",
        "sizing": "auto",
        "showUnfilled": True,
        "minVizHeight": 12,
        "minVizWidth": 8,
        "maxVizHeight": 300,
        "legend": {**_LEGEND, "showLegend": False},
    },
    "barchart": {
        "orientation": "horizontal",
        "stacking": "normal",
        "showValue": "never",
        "xTickLabelRotation": 0,
        "xTickLabelSpacing": 0,
        "barWidth": 0.9,
        "barRadius": 0,
        "groupWidth": 0.7,
        "fullHighlight": False,
        "xField": "task",
        "legend": {**_LEGEND, "showLegend": False},
        "tooltip": _TOOLTIP,
    },
    "table": {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
}
