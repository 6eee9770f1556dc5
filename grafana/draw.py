"""Pictures of the dashboards, drawn from the results of their own queries by matplotlib. Not Grafana: the look is ours.

    python -m grafana.draw http://localhost:9090 docs/pictures
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.patches import FancyBboxPatch

from grafana.generate import FOLDER

mpl.use("Agg")
BACK, CARD, INK, FAINT = "#111217", "#181b1f", "#d8d9da", "#8e8e93"
COLOURS = {"green": "#56a64b", "orange": "#e0752d", "red": "#c4162a", "blue": "#3274d9"}
LINES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffee52", "#c0d8ff", "#96d98d"]
MINUTES = 10
Series = tuple[dict[str, str], list[tuple[float, float]]]


class Source:
    """Prometheus, asked as Grafana asks it."""

    def __init__(self, url: str) -> None:
        self._url, self._end = url, time.time()

    def ask(self, expr: str, at_once: bool) -> list[Series]:
        expr = re.sub(r"\$\w+", ".*", expr.replace("$__rate_interval", "2m"))
        values: dict[str, Any] = {"query": expr, "time": self._end}
        if not at_once:
            values = {"query": expr, "start": self._end - MINUTES * 60, "end": self._end, "step": 15}
        path = "query" if at_once else "query_range"
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(values)}", timeout=20) as answer:
            found = json.load(answer)["data"]["result"]
        return [(one["metric"], [(float(at), float(value)) for at, value in one.get("values", [one.get("value")])]) for one in found]


def said(value: float, defaults: dict[str, Any]) -> str:
    """A value in the unit of its panel, about as Grafana says it."""
    for mapping in defaults["mappings"]:
        for key, result in mapping["options"].items():
            if float(key) == value:
                return str(result["text"])
    unit = defaults["unit"]
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "dateTimeAsIso":
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if unit in ("bytes", "Bps"):
        return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB")) + ("/s" if unit == "Bps" else "")
    if unit == "s":
        return _span(value)
    end = {"reqps": " req/s", "rowsps": " rows/s"}.get(unit, "")
    return (_scaled(value, 1000, ("", "K", "M", "G")) if unit == "short" else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}") + end


def _scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    place = 0
    while abs(value) >= base and place < len(names) - 1:
        value, place = value / base, place + 1
    return f"{value:.3g} {names[place]}".strip()


def _span(value: float) -> str:
    for size, name in ((86400, "day"), (3600, "h"), (60, "min")):
        if abs(value) >= size:
            return f"{value / size:.1f} {name}"
    return f"{value:.2g} s" if abs(value) >= 1 else f"{value * 1000:.3g} ms"


def legend(form: str, labels: dict[str, str]) -> str:
    """A legend with its labels filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form)


def colour(value: float, defaults: dict[str, Any]) -> str:
    """The colour of a value, by its words and thresholds."""
    for mapping in defaults["mappings"]:
        for key, result in mapping["options"].items():
            if float(key) == value:
                return COLOURS[result["color"]]
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    return COLOURS[steps[-1]["color"]]


def draw(board: dict[str, Any], source: Source, path: Path) -> None:
    """One dashboard, panel by panel, on its grid."""
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = plt.figure(figsize=(18, high * 0.42 + 0.9), facecolor=BACK)
    tall = figure.get_figheight()
    figure.text(0.012, 1 - 0.35 / tall, board["title"], color=INK, fontsize=17, weight="bold", va="center")
    figure.text(0.988, 1 - 0.35 / tall, "drawn by matplotlib from the queries' results", color=FAINT, fontsize=10, ha="right", va="center")
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        bottom, height = 1 - (0.7 + (place["y"] + place["h"]) * 0.42) / tall, place["h"] * 0.42 / tall
        card = FancyBboxPatch((left + 0.003, bottom + 0.05 / tall), width - 0.006, height - 0.1 / tall, boxstyle="square,pad=0", transform=figure.transFigure, facecolor=CARD, edgecolor="#2c3235", zorder=-2)
        figure.add_artist(card)
        figure.text(left + 0.008, bottom + height - 0.22 / tall, panel["title"], color=INK, fontsize=10, va="center")
        _PANELS[panel["type"]](figure, panel, source, (left, bottom, width, height), tall)
    figure.savefig(path, dpi=60, facecolor=BACK)
    plt.close(figure)


def _results(panel: dict[str, Any], source: Source, at_once: bool = True) -> list[tuple[str, dict[str, str], list[tuple[float, float]]]]:
    return [(legend(target["legendFormat"], labels), labels, values) for target in panel["targets"] for labels, values in source.ask(target["expr"], at_once)]


def _stat(figure: Any, panel: dict[str, Any], source: Source, box: tuple[float, ...], tall: float) -> None:
    left, bottom, width, height = box
    found, defaults = _results(panel, source), panel["fieldConfig"]["defaults"]
    value = found[0][2][-1][1] if found else None
    shade = colour(value, defaults) if value is not None else "#2c3235"
    figure.add_artist(FancyBboxPatch((left + 0.006, bottom + 0.12 / tall), width - 0.012, height - 0.52 / tall, boxstyle="square,pad=0", transform=figure.transFigure, facecolor=shade, edgecolor="none", zorder=-1))
    text = said(value, defaults) if value is not None else "none"
    figure.text(left + width / 2, bottom + height / 2 - 0.1 / tall, text, color="white", fontsize=20, ha="center", va="center", weight="bold")


def _axes(figure: Any, box: tuple[float, ...], tall: float, *, margins: tuple[float, float, float, float]) -> Any:
    left, bottom, width, height = box
    x0, y0, x1, y1 = margins
    axes = figure.add_axes((left + x0 / 18, bottom + y0 / tall, width - (x0 + x1) / 18, height - (y0 + y1) / tall), facecolor=CARD)
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def _timeseries(figure: Any, panel: dict[str, Any], source: Source, box: tuple[float, ...], tall: float) -> None:
    defaults, axes = panel["fieldConfig"]["defaults"], _axes(figure, box, tall, margins=(0.85, 0.75, 0.25, 0.45))
    found = [(name, values) for name, _, values in _results(panel, source, at_once=False)]
    fixed = {one["matcher"]["options"]: COLOURS[one["properties"][0]["value"]["fixedColor"]] for one in panel["fieldConfig"]["overrides"]}
    for place, (name, values) in enumerate(sorted(found)):
        times = [datetime.fromtimestamp(at, UTC) for at, _ in values]
        axes.plot(times, [value for _, value in values], label=name if place < 10 else "_", color=fixed.get(name, LINES[place % len(LINES)]), linewidth=1.4, marker="o" if len(values) == 1 else None)
    for step in defaults["thresholds"]["steps"][1:]:
        axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=1)
    axes.grid(color="#2c3235", linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda value, _: said(value, defaults))
    if not found:
        axes.text(0.5, 0.5, "none", color=FAINT, ha="center", transform=axes.transAxes)
        axes.set_xticks([])
        return
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    locator = AutoDateLocator(minticks=2, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=5, fontsize=7.5, frameon=False, labelcolor=INK, columnspacing=1.0)


def _bars(figure: Any, panel: dict[str, Any], source: Source, box: tuple[float, ...], tall: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    most = max(3, int(box[3] * tall / 0.2) - 3)
    found = [(name[:52], values[-1][1]) for name, _, values in _results(panel, source) if values[-1][1] == values[-1][1]][:most]
    long = max((len(name) for name, _ in found), default=10)
    axes = _axes(figure, box, tall, margins=(0.3 + long * 0.075, 0.15, 0.9, 0.45))
    for place, (_, value) in enumerate(reversed(found)):
        axes.barh(place, value, color=colour(value, defaults), height=0.7)
        axes.text(value, place, f" {said(value, defaults)}", color=INK, fontsize=8, va="center")
    axes.set_yticks(range(len(found)), [name for name, _ in reversed(found)])
    axes.set_xticks([])
    if defaults.get("max"):
        axes.set_xlim(0, defaults["max"])


def _waterfall(figure: Any, panel: dict[str, Any], source: Source, box: tuple[float, ...], tall: float) -> None:
    begins, takes = ({labels["task"]: values[-1][1] for labels, values in source.ask(target["expr"], True)} for target in panel["targets"])
    tasks = sorted(begins, key=lambda task: begins[task], reverse=True)
    axes = _axes(figure, box, tall, margins=(2.9, 0.4, 0.4, 0.45))
    axes.barh(range(len(tasks)), [takes.get(task, 0) for task in tasks], left=[begins[task] for task in tasks], color=LINES[0], height=0.75)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.xaxis.set_major_formatter(lambda value, _: _span(value))
    axes.grid(color="#2c3235", linewidth=0.6, axis="x")


def _table(figure: Any, panel: dict[str, Any], source: Source, box: tuple[float, ...], tall: float) -> None:
    left, bottom, width, height = box
    defaults, hidden = panel["fieldConfig"]["defaults"], {"__name__", "instance", "job", "alertstate", "le"}
    named = panel["transformations"][1]["options"]["renameByName"]
    found = _results(panel, source)
    columns = list(dict.fromkeys(label for _, labels, _ in found for label in labels if label not in hidden))
    rows = [[labels.get(label, "") for label in columns] + [said(values[-1][1], defaults)] for _, labels, values in found]
    head = [named.get(label, label) for label in columns] + [named.get("Value", "value")]
    most = int((height * tall - 0.6) / 0.24) - 1
    lines = [head, *rows[:most]] if rows else [["none"]]
    for number, line in enumerate(lines):
        for place, cell in enumerate(line):
            x = left + 0.01 + place * (width - 0.015) / len(line)
            figure.text(x, bottom + height - (0.55 + number * 0.24) / tall, cell[:40], fontsize=8.5, color=FAINT if number == 0 and rows else INK, va="center")


_PANELS = {"stat": _stat, "timeseries": _timeseries, "bargauge": _bars, "barchart": _waterfall, "table": _table}


def main(url: str, folder: str) -> None:
    """Draw all of them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    source = Source(url)
    for path in sorted(FOLDER.glob("*.json")):
        draw(json.loads(path.read_text()), source, Path(folder) / f"{path.stem}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
