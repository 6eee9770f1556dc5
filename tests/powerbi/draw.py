"""Pictures of the report, drawn by matplotlib from its own files, with the numbers that its DAX gives. Not Power BI: the look is ours.

    python -m tests.powerbi.draw . data docs/pictures
"""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.patches import FancyBboxPatch

from pipeline.feed.snapshot import open_snapshot
from pipeline.powerbi.theme import THEME
from tests.conftest import Shop
from tests.powerbi.conftest import Exported
from tests.powerbi.dax import Context, Place
from tests.powerbi.test_measures import dax_of
from tests.powerbi.test_report import contents

mpl.use("Agg")
INK, QUIET, COLOURS = THEME["foreground"], THEME["textClasses"]["label"]["color"], THEME["dataColors"]
PAPER = THEME["visualStyles"]["page"]["*"]["background"][0]["color"]["solid"]["color"]
ROWS = 9  # of a table or a chart's bars; Power BI scrolls


class Report:
    """The files of a report, and the numbers for them."""

    def __init__(self, made: Exported) -> None:
        self.files, self.dax = contents(made.files()), dax_of(made)
        model = made.model()
        self.formats = {item.name: item.properties.get("formatString", "") for table in model.tables.values() for kind in ("measure", "column") for item in table.of(kind)}

    def pages(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Pages in their order, each with its visuals in theirs."""
        order = next(content for path, content in self.files.items() if path.endswith("pages.json"))["pageOrder"]
        found = []
        for name in order:
            page = next(content for path, content in self.files.items() if path.endswith(f"/{name}/page.json"))
            inside = [content for path, content in self.files.items() if f"/{name}/visuals/" in path]
            found.append((page, sorted(inside, key=lambda visual: int(visual["position"]["tabOrder"]))))
        return found

    def value(self, name: str, filters: dict[Place, Any]) -> Any:
        """A measure where columns have these values."""
        if name == "Hours Since Publication":
            return 1
        columns = {place: frozenset([value]) for place, value in filters.items()}
        return self.dax.value(self.dax.trees[name], Context(columns))

    def members(self, place: Place) -> list[Any]:
        """The values of a column."""
        return sorted({row[place[1]] for row in self.dax.data.tables[place[0]] if row[place[1]] is not None})

    def said(self, name: str, value: Any) -> str:
        """A value in its format, about as Power BI says it."""
        form = self.formats.get(name, "")
        if value is None:
            return ""
        if isinstance(value, (date, datetime)) or "yyyy" in form:
            return _day(value, form)
        if "%" in form:
            return f"{float(value):.1%}"
        if isinstance(value, str) or not form:
            return str(value)
        return f"{float(value):,.2f}" if form.endswith(".00") else f"{float(value):,.0f}"


def _day(value: Any, form: str) -> str:
    moment = datetime.fromisoformat(str(value).removesuffix("Z"))
    return moment.strftime("%b %Y" if form == "mmm yyyy" else "%Y-%m-%d" if "hh" not in form else "%Y-%m-%d %H:%M")


def fields(visual: dict[str, Any], well: str) -> list[Place]:
    """The table and name of what is in a well."""
    shown = visual["visual"]["query"]["queryState"].get(well, {"projections": []})["projections"]
    found = [next(iter(one["field"].values())) for one in shown]
    return [(one["Expression"]["SourceRef"]["Entity"], one["Property"]) for one in found]


def title_of(visual: dict[str, Any]) -> str:
    return str(visual["visual"]["visualContainerObjects"]["title"][0]["properties"]["text"]["expr"]["Literal"]["Value"])[1:-1].replace("''", "'")


def draw(report: Report, page: dict[str, Any], visuals: list[dict[str, Any]], path: Path) -> None:
    """One page as a picture."""
    width, height = page["width"], page["height"]
    figure = plt.figure(figsize=(width / 100, height / 100), facecolor=PAPER)
    for visual in visuals:
        spot = visual["position"]
        box = (spot["x"] / width, 1 - (spot["y"] + spot["height"]) / height, spot["width"] / width, spot["height"] / height)
        if visual["visual"]["visualType"] == "textbox":
            figure.text(box[0], box[1] + box[3] / 2, page["displayName"], size=20, weight="bold", color=INK, va="center")
            continue
        edge = THEME["visualStyles"]["*"]["*"]["border"][0]["color"]["solid"]["color"]
        figure.add_artist(FancyBboxPatch(box[:2], box[2], box[3], boxstyle="round,pad=0,rounding_size=0.005", facecolor="white", edgecolor=edge, mutation_aspect=width / height, zorder=-1))
        figure.text(box[0] + 0.008, box[1] + box[3] - 0.012, title_of(visual), size=10, weight="bold", color=INK, va="top")
        KINDS[visual["visual"]["visualType"]](report, figure, visual, box)
    figure.savefig(path, dpi=100, facecolor=PAPER)
    plt.close(figure)


def _card(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    ((_, name),) = fields(visual, "Data")
    figure.text(box[0] + box[2] / 2, box[1] + box[3] * 0.38, report.said(name, report.value(name, {})), size=_size(visual), color=INK, ha="center", va="center")


def _size(visual: dict[str, Any]) -> float:
    """Of a card's number, as its file says."""
    value = visual["visual"]["objects"]["value"][0]["properties"]["fontSize"]["expr"]["Literal"]["Value"]
    return 0.9 * float(value.strip("D"))  # the face here is wider


def _slicer(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    (place,) = fields(visual, "Values")
    members = report.members(place)
    mode = visual["visual"]["objects"]["data"][0]["properties"]["mode"]["expr"]["Literal"]["Value"]
    text = f"{members[0]}   to   {members[-1]}" if "Between" in mode else "All" + " " * 40 + "▾"
    figure.text(box[0] + 0.012, box[1] + box[3] * 0.28, text, size=10, color=QUIET, va="center")


def _axes(figure: Any, box: Any, left: float = 0.045) -> Any:
    axes = figure.add_axes((box[0] + left, box[1] + 0.05, box[2] - left - 0.045, box[3] - 0.13))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=QUIET)
    return axes


def _lines(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    (place,) = fields(visual, "Category")
    members, axes = report.members(place), _axes(figure, box)
    shown = [(name, axes) for _, name in fields(visual, "Y")]
    if second := fields(visual, "Y2"):
        twin = axes.twinx()
        twin.tick_params(labelsize=8, colors=QUIET)
        shown += [(name, twin) for _, name in second]
    drawn: list[Any] = []
    for number, (name, where) in enumerate(shown):
        values = [report.value(name, {place: member}) for member in members]
        drawn += where.plot(members, [float("nan") if value is None else float(value) for value in values], color=COLOURS[number], label=name, linewidth=1.6, marker="o" if len(members) < 20 else "")
        where.yaxis.set_major_formatter(lambda value, _, name=name: report.said(name, value).replace(".00", ""))
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator(), show_offset=False))
    if len(shown) > 1:
        figure.legend(drawn, [name for name, _ in shown], loc="upper right", bbox_to_anchor=(box[0] + box[2], box[1] + box[3]), fontsize=8, frameon=False, ncols=2)


def _bars(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    (place,), ((_, name),) = fields(visual, "Category"), fields(visual, "Y")
    found = [(float(report.value(name, {place: member}) or 0), str(member)) for member in report.members(place)]
    top = sorted(found, reverse=True)[:ROWS]
    axes = _axes(figure, box, 0.13)
    bars = axes.barh([label[:24] for _, label in top], [value for value, _ in top], color=COLOURS[0])
    axes.bar_label(bars, [report.said(name, value) for value, _ in top], size=8, color=QUIET, padding=3)
    axes.invert_yaxis()
    axes.get_xaxis().set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _columns(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    (place,), names = fields(visual, "Category"), [name for _, name in fields(visual, "Y")]
    members, axes = report.members(place), _axes(figure, box)
    wide = 0.8 / len(names)
    for number, name in enumerate(names):
        values = [float(report.value(name, {place: member}) or 0) for member in members]
        axes.bar([at + number * wide for at in range(len(members))], values, wide * 0.95, color=COLOURS[number], label=name)
    axes.set_xticks([at + (len(names) - 1) * wide / 2 for at in range(len(members))], [report.said(place[1], member) for member in members])
    if len(names) > 1:
        axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1, 1.3))


def _matrix(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    (row,), values = fields(visual, "Rows"), [name for _, name in fields(visual, "Values")]
    across = next(iter(fields(visual, "Columns")), None)
    heads: list[Any] = report.members(across)[: 5 // len(values)] if across else [None]
    texts = [[row[1], *(report.said(across[1], head) if across else name for head in heads for name in values)]]
    if len(values) > 1 and across:
        texts.append(["", *(name for _ in heads for name in values)])
    for member in report.members(row)[:ROWS]:
        filters = [{row: member, **({across: head} if across else {})} for head in heads]
        texts.append([report.said(row[1], member), *(report.said(name, report.value(name, one)) for one in filters for name in values)])
    _cells(figure, box, texts)


def _table(report: Report, figure: Any, visual: dict[str, Any], box: Any) -> None:
    places = fields(visual, "Values")
    rows = sorted(report.dax.data.tables[places[0][0]], key=lambda one: str(one[places[0][1]]))
    _cells(figure, box, [[name for _, name in places], *([report.said(name, one[name]) for _, name in places] for one in rows)])


def _cells(figure: Any, box: Any, texts: list[list[str]]) -> None:
    wide = (box[2] - 0.02) / len(texts[0])
    step = min(0.034, (box[3] - 0.06) / len(texts))
    for number, line in enumerate(texts):
        for at, text in enumerate(line):
            right = at > 0
            figure.text(box[0] + 0.008 + wide * (at + right) - 0.004 * right, box[1] + box[3] - 0.055 - number * step, text[:24], size=7.5, color=INK if number else QUIET, weight="normal" if number else "bold", ha="right" if right else "left", va="top")


KINDS = {
    "cardVisual": _card, "slicer": _slicer, "lineChart": _lines, "clusteredBarChart": _bars, "clusteredColumnChart": _columns,
    "pivotTable": _matrix, "tableEx": _table,
}  # fmt: skip


def main() -> None:
    """Draw each page of a published shop's report."""
    folder, home, out = (Path(word) for word in sys.argv[1:4])
    shop = Shop(folder.resolve(), home.resolve())
    report = Report(Exported(shop, shop.project(), open_snapshot(shop.project().settings)))
    for page, visuals in report.pages():
        if page.get("type") != "Tooltip":
            draw(report, page, visuals, out / f"report-{page['displayName'].split()[0].lower()}.png")


if __name__ == "__main__":
    main()
