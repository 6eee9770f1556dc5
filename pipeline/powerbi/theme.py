"""The report's theme: colours that differ for colour-blind readers too, and quiet text."""

from __future__ import annotations

from typing import Any

THEME_FILE = "goldfeed.json"
_INK, _QUIET, _LINE, _PAPER = "#1F2933", "#52606D", "#D9E2EC", "#F5F7FA"

THEME: dict[str, Any] = {
    "name": THEME_FILE,
    "dataColors": ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#52606D"],
    "background": "#FFFFFF",
    "foreground": _INK,
    "tableAccent": "#B8860B",
    "good": "#009E73",
    "neutral": "#E69F00",
    "bad": "#D55E00",
    "textClasses": {
        "title": {"fontFace": "Segoe UI Semibold", "fontSize": 12, "color": _INK},
        "label": {"fontFace": "Segoe UI", "fontSize": 10, "color": _QUIET},
        "callout": {"fontFace": "Segoe UI Semibold", "fontSize": 24, "color": _INK},
    },
    "visualStyles": {
        "*": {"*": {"border": [{"show": True, "color": {"solid": {"color": _LINE}}, "radius": 6}]}},
        "textbox": {"*": {"border": [{"show": False}], "background": [{"show": False}]}},
        "page": {"*": {"background": [{"color": {"solid": {"color": _PAPER}}, "transparency": 0}]}},
    },
}
