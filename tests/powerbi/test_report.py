"""The report: valid files, fields that exist, four pages that fit the shop, readable without a mouse."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from pipeline.powerbi.files import write_project
from tests.conftest import SAMPLE_DATA, needs_sample_data
from tests.powerbi.conftest import SHOPS, Exported

Make = Callable[[str], Exported]
EACH = pytest.mark.parametrize("name", SHOPS)
PREFIX = "https://developer.microsoft.com/json-schemas/fabric/"
PAGES = ["Executive overview", "Sales", "Customers and retention", "Data trust"]


@pytest.fixture(scope="session")
def schemas() -> Registry[Any]:
    folder = SAMPLE_DATA / "schemas/fabric"
    found = [(PREFIX + str(path.relative_to(folder)), Resource.from_contents(json.loads(path.read_text()))) for path in folder.rglob("*.json")]
    return Registry().with_resources(found)


def contents(files: dict[str, str]) -> dict[str, Any]:
    """The JSON files of a project, by path."""
    ends = (".json", ".pbip", ".pbir", ".pbism", ".platform")
    return {path: json.loads(text) for path, text in files.items() if path.endswith(ends)}


def wrong(content: dict[str, Any], schemas: Registry[Any]) -> list[str]:
    """What its own schema says against a file."""
    return [error.message for error in Draft7Validator({"$ref": content["$schema"]}, registry=schemas).iter_errors(content)]


def visuals(files: dict[str, str]) -> Iterator[dict[str, Any]]:
    return (content for path, content in contents(files).items() if path.endswith("visual.json"))


def fields(content: Any) -> Iterator[tuple[str, str, str]]:
    """(kind, table, name) of every field that a file names."""
    if isinstance(content, dict):
        for kind in ("Column", "Measure"):
            if kind in content:
                yield kind, content[kind]["Expression"]["SourceRef"]["Entity"], content[kind]["Property"]
        for value in content.values():
            yield from fields(value)
    elif isinstance(content, list):
        for value in content:
            yield from fields(value)


@needs_sample_data
@EACH
def test_every_file_is_valid_against_its_published_schema(exported: Make, schemas: Registry[Any], name: str) -> None:
    files = contents(exported(name).files())
    themes = [path for path in files if "StaticResources" in path]
    assert len(themes) == 1 and len(files) > 40
    for path, content in files.items():
        if path not in themes:
            assert wrong(content, schemas) == [], path


@needs_sample_data
def test_a_broken_copy_is_refused(exported: Make, schemas: Registry[Any]) -> None:
    for path, content in contents(exported("shop").files()).items():
        if "$schema" not in content:
            continue
        name = next(iter(set(content) - {"$schema"}))
        broken = copy.deepcopy(content)
        broken[name] = 7 if not isinstance(content[name], (int, float)) else "seven"
        assert wrong(broken, schemas), path


@pytest.fixture(scope="session")
def complaints(npm: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, str]], list[str]]:
    """What Microsoft's checker of reports says against a project: properties, roles and words that no schema lists.

    It fetches the schemas where it can; where it cannot the test above has them.
    """
    tool = npm("@microsoft/powerbi-report-authoring-cli@0.1.4", "@microsoft/powerbi-core-visual-schema@0.1.1") / "node_modules/.bin/powerbi-report-author"

    def asked(files: dict[str, str]) -> list[str]:
        folder = tmp_path_factory.mktemp("report")
        write_project(folder, files)
        done = subprocess.run([str(tool), "validate", str(next(folder.glob("*.Report")))], capture_output=True, text=True)
        found = json.loads(done.stdout)["data"]
        return [item["message"] for kind, said in found["diagnostics"].items() if kind != "PBIR_SCHEMA_UNREACHABLE" for item in said["items"]]

    return asked


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("mode", ["import", "directquery"])
def test_the_makers_own_checker_finds_nothing_wrong(
    exported: Make, complaints: Callable[[dict[str, str]], list[str]], name: str, mode: str
) -> None:
    assert complaints(exported(name).files(mode)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), [("'Canvas'", "'ReportPage'"), ('"Category"', '"Categories"'), ("'Between'", "'Betwixt'")])
def test_the_makers_own_checker_refuses_what_power_bi_would_pass_over(
    exported: Make, complaints: Callable[[dict[str, str]], list[str]], right: str, wrong: str
) -> None:
    files = exported("shop").files()
    assert any(right in text for text in files.values())
    assert complaints({path: text.replace(right, wrong) if path.endswith("visual.json") else text for path, text in files.items()})


@EACH
def test_every_field_of_a_visual_is_in_the_model(exported: Make, name: str) -> None:
    made = exported(name)
    model = made.model()
    homes = {(table, item.name) for table, found in model.tables.items() for item in found.of("measure")}
    seen = set()
    for visual in visuals(made.files()):
        for kind, table, field in fields(visual):
            assert (table, field) in (homes if kind == "Measure" else model.columns)
            seen.add(visual["visual"]["visualType"])
    assert {"slicer", "cardVisual", "lineChart", "clusteredBarChart", "pivotTable", "tableEx"} <= seen


@EACH
def test_there_are_four_pages_and_a_tooltip_and_each_has_its_order(exported: Make, name: str) -> None:
    files = contents(exported(name).files())
    order = next(content for path, content in files.items() if path.endswith("pages.json"))["pageOrder"]
    pages = {content["name"]: content for path, content in files.items() if path.endswith("page.json")}
    assert [pages[page]["displayName"] for page in order] == [*PAGES, "Tooltip"]
    assert pages[order[-1]]["type"] == "Tooltip" and pages[order[-1]]["visibility"] == "HiddenInViewMode"
    for page in order:
        inside = [content for path, content in files.items() if f"/{page}/visuals/" in path]
        tabs = sorted(visual["position"]["tabOrder"] for visual in inside)
        assert tabs == list(range(len(inside)))
        for visual in inside:
            assert alt_text(visual).strip()
            place = visual["position"]
            assert place["x"] + place["width"] <= pages[page]["width"] and place["y"] + place["height"] <= pages[page]["height"]
            assert place["width"] > 100 and place["height"] > 40


def alt_text(visual: dict[str, Any]) -> str:
    value = visual["visual"]["visualContainerObjects"]["general"][0]["properties"]["altText"]["expr"]["Literal"]["Value"]
    return str(value).strip("'")


@EACH
def test_visuals_do_not_lie_on_each_other(exported: Make, name: str) -> None:
    pages: dict[str, list[dict[str, Any]]] = {}
    for path, content in contents(exported(name).files()).items():
        if path.endswith("visual.json"):
            pages.setdefault(path.split("/visuals/")[0], []).append(content["position"])
    for places in pages.values():
        for number, one in enumerate(places):
            for other in places[number + 1 :]:
                apart = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                below = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
                assert apart or below


def test_charts_show_the_tooltip_page_and_names_are_unique(exported: Make) -> None:
    files = exported("shop").files()
    found = list(visuals(files))
    assert len({visual["name"] for visual in found}) == len(found)
    pages = {content["name"] for path, content in contents(files).items() if path.endswith("page.json")}
    sections = [one["visual"]["visualContainerObjects"]["visualTooltip"][0]["properties"]["section"]["expr"]["Literal"]["Value"].strip("'")
                for one in found if "visualTooltip" in one["visual"]["visualContainerObjects"]]
    assert len(sections) >= 10 and set(sections) <= pages


def test_charts_are_in_order_and_slicers_go_along_from_page_to_page(exported: Make) -> None:
    groups: dict[str, set[str]] = {}
    for visual in (content["visual"] for content in visuals(exported("shop").files())):
        if visual["visualType"] == "slicer":
            groups.setdefault(visual["syncGroup"]["groupName"], set()).add(str(visual["query"]))
        if visual["visualType"] in ("lineChart", "clusteredColumnChart", "clusteredBarChart"):
            (sort,) = visual["query"]["sortDefinition"]["sort"]
            bars = visual["visualType"] == "clusteredBarChart"
            assert sort["direction"] == ("Descending" if bars else "Ascending")
            assert sort["field"] == visual["query"]["queryState"]["Y" if bars else "Category"]["projections"][0]["field"]
    assert {"Days", "Place", "Status"} <= set(groups) and all(len(fields) == 1 for fields in groups.values())


def test_the_data_trust_page_says_what_can_be_trusted(exported: Make) -> None:
    shown = {name for visual in visuals(exported("shop").files()) for _, _, name in fields(visual)}
    assert {"Published At", "Checks Failed", "Rows Quarantined", "Data Through", "Last Good Run"} <= shown


def test_a_shop_without_orders_still_gets_a_report(tmp_path: Any, shop: Any) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    done = shop.cli("powerbi", "export", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    files = {str(path): path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {content["displayName"] for path, content in contents(files).items() if path.endswith("page.json")} == {"Data trust", "Tooltip"}


@pytest.mark.slow
def test_the_report_can_be_drawn_from_its_files(exported: Make, tmp_path: Path) -> None:
    from tests.powerbi.draw import Report, draw

    report = Report(exported("shop"))
    for number, (page, inside) in enumerate(report.pages()[:-1]):
        draw(report, page, inside, tmp_path / f"{number}.png")
    assert [path.stat().st_size > 20_000 for path in sorted(tmp_path.glob("*.png"))] == [True] * 4
