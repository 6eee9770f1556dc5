"""Writes grafana/dashboards/*.json from boards.py: `python -m grafana.generate`. The JSON is committed; a test compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana.boards import BOARDS
from grafana.panels import SOURCE, Panel

FOLDER = Path(__file__).resolve().parent / "dashboards"
VARIABLES = {
    "flow": "label_values(goldfeed_sla_limit_seconds, flow)",
    "layer": "label_values(goldfeed_table_rows, layer)",
    "table": 'label_values(goldfeed_table_rows{layer=~"$layer"}, table)',
    "route": "label_values(goldfeed_feed_requests_total, route)",
}
RUNBOOK = "/public/goldfeed/runbook.md"


def board(name: str) -> dict[str, Any]:
    """One dashboard, as Grafana reads it."""
    title, description, variables, panels = BOARDS[name]
    return {
        "uid": f"goldfeed-{name}",
        "title": title,
        "description": description,
        "tags": ["goldfeed"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_others(), _runbook()],
        "annotations": {"list": [_annotation("Runs", "blue", "goldfeed_last_run_timestamp_seconds * 1000", "{{flow}}: a run ended"),
                                 _annotation("Publications", "green", "goldfeed_publication_timestamp_seconds * 1000", "published")]},
        "templating": {"list": [_variable(name, VARIABLES[name]) for name in variables]},
        "panels": _placed(panels),
    }


def _placed(panels: list[Panel]) -> list[dict[str, Any]]:
    """From left to right, in rows as high as their highest panel."""
    made: list[dict[str, Any]] = []
    x = y = high = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, high = 0, y + high, 0
        made.append(panel.json(number, x, y))
        x, high = x + panel.width, max(high, panel.height)
    return made


def _link(title: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "type": kind, "icon": "external link", "tooltip": title, "asDropdown": False,
            "includeVars": False, "keepTime": True, "targetBlank": False, "tags": [], **more}


def _others() -> dict[str, Any]:
    return _link("goldfeed", "dashboards", tags=["goldfeed"])


def _runbook() -> dict[str, Any]:
    return _link("Runbook: what to do", "link", url=RUNBOOK, icon="doc", targetBlank=True, keepTime=False)


def _annotation(name: str, colour: str, expr: str, title: str) -> dict[str, Any]:
    return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour, "expr": expr,
            "titleFormat": title, "useValueForTime": True, "step": "60s"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {"name": name, "label": name, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name},
            "refresh": 2, "sort": 1, "includeAll": True, "multi": True, "allValue": ".*", "regex": "", "options": [],
            "current": {"text": ["All"], "value": ["$__all"]}}


def texts() -> dict[str, str]:
    """File name -> content."""
    return {f"{name}.json": json.dumps(board(name), indent=1) + "\n" for name in BOARDS}


def may_be_empty() -> dict[tuple[str, str], str]:
    """(dashboard, panel) -> why its queries may find nothing."""
    return {(f"goldfeed-{name}", panel.title): panel.empty for name, (_, _, _, panels) in BOARDS.items() for panel in panels if panel.empty}


if __name__ == "__main__":
    for file, text in texts().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER / file}\n")
