"""The report: the files of its folder, as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.powerbi.catalog import Catalog
from pipeline.powerbi.names import short
from pipeline.powerbi.pages import Page, pages_of, tooltip_of
from pipeline.powerbi.theme import THEME, THEME_FILE
from pipeline.powerbi.visuals import Box, Visual, visual_file

_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric/item/report/definition"
_WIDTH, _HEIGHT, _GAP = 1280, 720, 16
_TITLE, _SLICERS, _CARDS = 48, 80, 96
_TOOLTIP = "Tooltip"
_VERSIONS = {"visual": "2.2.0", "page": "2.0.0", "report": "3.0.0"}


def report_files(catalog: Catalog) -> dict[str, Any]:
    """Path in the report's folder -> content."""
    pages = [page for page in pages_of(catalog) if page.charts]
    names = {page.name: short(catalog.project, "page", page.name) for page in pages}
    tooltip = short(catalog.project, "page", _TOOLTIP)
    files: dict[str, Any] = {
        "definition/version.json": {"$schema": f"{_SCHEMAS}/versionMetadata/1.0.0/schema.json", "version": "2.0.0"},
        "definition/report.json": _report(),
        "definition/pages/pages.json": _order([*names.values(), tooltip]),
        f"StaticResources/RegisteredResources/{THEME_FILE}": THEME,
    }
    for page in pages:
        files |= _page_files(names[page.name], page.name, _placed(page), tooltip)
    files |= _page_files(tooltip, _TOOLTIP, _stacked(tooltip_of(catalog)), tooltip)
    files[f"definition/pages/{tooltip}/page.json"] |= {
        "type": "Tooltip", "visibility": "HiddenInViewMode", "width": 320, "height": 240, "displayOption": "ActualSize",
        "pageBinding": {"name": short(catalog.project, "binding", _TOOLTIP), "type": "Tooltip"},
    }  # fmt: skip
    return files


def _report() -> dict[str, Any]:
    base = {"name": "CY24SU10", "reportVersionAtImport": _VERSIONS, "type": "SharedResources"}
    own = {"name": THEME_FILE, "reportVersionAtImport": _VERSIONS, "type": "RegisteredResources"}
    item = {"name": THEME_FILE, "path": THEME_FILE, "type": "CustomTheme"}
    return {
        "$schema": f"{_SCHEMAS}/report/3.0.0/schema.json",
        "themeCollection": {"baseTheme": base, "customTheme": own},
        "resourcePackages": [{"name": "RegisteredResources", "type": "RegisteredResources", "items": [item]}],
        "settings": {"useEnhancedTooltips": True, "useStylableVisualContainerHeader": True},
    }


def _order(names: list[str]) -> dict[str, Any]:
    schema = f"{_SCHEMAS}/pagesMetadata/1.0.0/schema.json"
    return {"$schema": schema, "pageOrder": names, "activePageName": names[0]}


def _page_files(name: str, title: str, placed: Iterator[tuple[Visual, Box]], tooltip: str) -> dict[str, Any]:
    page = {
        "$schema": f"{_SCHEMAS}/page/2.0.0/schema.json",
        "name": name,
        "displayName": title,
        "displayOption": "FitToPage",
        "height": _HEIGHT,
        "width": _WIDTH,
    }
    files: dict[str, Any] = {f"definition/pages/{name}/page.json": page}
    for number, (visual, box) in enumerate(placed):
        content = visual_file(name, number, visual, box, tooltip)
        files[f"definition/pages/{name}/visuals/{content['name']}/visual.json"] = content
    return files


def _placed(page: Page) -> Iterator[tuple[Visual, Box]]:
    """Title, slicers, cards, then charts two by two; each row fills the width."""
    top = _GAP
    yield (
        Visual("textbox", page.name, alt=f"Title of the page: {page.name}"),
        Box(_GAP, top, _WIDTH - 2 * _GAP, _TITLE),
    )
    top += _TITLE + _GAP // 2
    for row, height in ((page.slicers, _SLICERS), (page.cards, _CARDS)):
        if row:
            yield from _row(row, top, height)
            top += height + _GAP
    odd = len(page.charts) % 2  # then the first has a row to itself
    rows = [page.charts[:odd], *(page.charts[at : at + 2] for at in range(odd, len(page.charts), 2))][1 - odd :]
    height = (_HEIGHT - top - _GAP * len(rows)) // max(len(rows), 1)
    for row in rows:
        yield from _row(row, top, height)
        top += height + _GAP


def _row(visuals: Sequence[Visual], top: int, height: int) -> Iterator[tuple[Visual, Box]]:
    width = (_WIDTH - _GAP * (len(visuals) + 1)) // len(visuals)
    for number, visual in enumerate(visuals):
        yield visual, Box(_GAP + number * (width + _GAP), top, width, height)


def _stacked(visuals: Sequence[Visual]) -> Iterator[tuple[Visual, Box]]:
    for number, visual in enumerate(visuals):
        yield visual, Box(8, 8 + number * 76, 304, 72)
