"""The files: the same each time, without a secret, in a zip or in a folder."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import lxml.html
import pytest

from pipeline.errors import UsageError
from pipeline.powerbi.files import project_files, project_zip, write_project
from pipeline.powerbi.names import file_names
from tests.conftest import ROOT, Shop
from tests.powerbi.conftest import Exported
from tests.powerbi.reader import written_model

Make = Callable[[str], Exported]


def test_the_same_version_gives_the_same_bytes(exported: Make) -> None:
    made = exported("shop")
    first, second = (project_zip(made.project, made.manifest) for _ in range(2))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == made.files()
        assert archive.testzip() is None


def test_the_project_of_another_version_differs_only_where_it_says_so(exported: Make) -> None:
    made = exported("shop")
    files, later = made.files(), project_files(made.project, {**made.manifest, "version": "000009"})
    assert [path for path in files if files[path] != later[path]] == ["shop.SemanticModel/definition/model.tmdl"]


@pytest.mark.parametrize("mode", ["import", "directquery"])
def test_no_password_and_no_user_is_in_the_files(exported: Make, mode: str) -> None:
    made = exported("shop")
    text = "\n".join(project_files(made.project, made.manifest, mode, None).values())
    assert not re.search(r"password|passwd|secret|bearer|user name|username|://[^/\s\"]*@", text, re.I)
    assert str(made.project.settings.home) not in text


def test_a_manifest_cut_to_a_role_gives_the_project_of_that_role(exported: Make) -> None:
    made = exported("shop")
    tables = {name: table for name, table in made.manifest["tables"].items() if name != "fact_payments"}
    customers = tables["dim_customers"]
    tables["dim_customers"] = {**customers, "columns": [c for c in customers["columns"] if not c["name"].startswith("email")]}
    text = "\n".join(project_files(made.project, {**made.manifest, "tables": tables}).values())
    assert "fact_payments" not in text and "email" not in text.lower() and "measure Refunds" in text


def test_it_connects_to_the_address_that_was_given(exported: Make) -> None:
    made = exported("shop")
    files = project_files(made.project, made.manifest, "import", "https://feed.example:8443/odata/v4")
    assert '"https://feed.example:8443/odata/v4/"' in files["shop.SemanticModel/definition/expressions.tmdl"]
    connection = json.loads(files["shop.pbids"])["connections"][0]
    assert connection["details"] == {"protocol": "odata", "address": {"url": "https://feed.example:8443/odata/v4/"}}
    files = project_files(made.project, made.manifest, "directquery", "db.example:5433/sales")
    text = files["shop.SemanticModel/definition/expressions.tmdl"]
    assert '"db.example:5433"' in text and '"sales"' in text
    assert json.loads(files["shop.pbids"])["connections"] == [{
        "details": {"protocol": "postgresql", "address": {"server": "db.example:5433", "database": "sales"}}, "options": {}, "mode": "DirectQuery",
    }]  # fmt: skip


def test_the_command_writes_a_folder_and_writes_over_its_own(exported: Make, tmp_path: Path) -> None:
    made = exported("shop")
    folder = tmp_path / "report"
    assert made.shop.cli_json("powerbi", "export", str(folder))["open"] == "shop.pbip"
    assert set(written_model(folder).tables) == set(made.model().tables)
    (folder / "shop.SemanticModel/definition/tables/Gone.tmdl").write_text("table Gone\n")
    page = next((folder / "shop.Report/definition/pages").glob("*/visuals"))
    (page / "gone").mkdir()
    (page / "gone/visual.json").write_text("{}")
    (folder / "shop.SemanticModel/.pbi").mkdir()
    (folder / "shop.SemanticModel/.pbi/localSettings.json").write_text("{}")
    done = made.shop.cli("powerbi", "export", str(folder), "--mode", "directquery", "--url", "localhost:5432/goldfeed")
    assert done.returncode == 0 and "open shop.pbip" in done.stdout
    assert not (folder / "shop.SemanticModel/definition/tables/Gone.tmdl").exists() and not (page / "gone").exists()
    assert (folder / "shop.SemanticModel/.pbi/localSettings.json").exists()
    assert "directQuery" in (folder / "shop.SemanticModel/definition/tables/Orders.tmdl").read_text()


def test_a_folder_with_something_else_and_a_mode_there_is_not_are_refused(exported: Make, tmp_path: Path) -> None:
    made = exported("shop")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        write_project(tmp_path, made.files())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    done = made.shop.cli("powerbi", "export", str(tmp_path / "x"), "--mode", "live")
    assert done.returncode == 2 and "there is no mode 'live'" in done.stderr and not (tmp_path / "x").exists()


def test_names_make_safe_files() -> None:
    made = file_names(["Sales", "sales", "../up", "a/b", "a\\b", "", "Été 2024", "Con", "COM1", "Console"])
    assert made["Con"].lower() not in ("con", "aux") and made["COM1"].lower() != "com1" and made["Console"] == "Console"
    assert made["Sales"] == "Sales" and made["Été 2024"] == "Été 2024"
    assert len({name.lower() for name in made.values()}) == len(made)
    assert not any(set("/\\:.") & set(name) for name in made.values())


def test_without_a_publication_it_says_what_to_do(tmp_path: Path) -> None:
    done = Shop(ROOT, tmp_path / "home").cli("powerbi", "export", str(tmp_path / "x"))
    assert done.returncode == 1 and "goldfeed run" in done.stderr


def formula(text: str) -> tuple[str, str]:
    """Name and M of the query in an .odc file."""
    inner = text.partition("<odc:PowerQueryMashupData>")[2].partition("</odc:PowerQueryMashupData>")[0]
    query = ElementTree.fromstring(html.unescape(inner)).find(".//{*}Query")
    assert query is not None
    return query.attrib["Name"], query.findtext("{*}Formula") or ""


def test_each_table_has_a_file_for_excel_with_its_query(exported: Make, tmp_path: Path) -> None:
    made = exported("shop")
    done = made.shop.cli_json("export", str(tmp_path / "c"), "--format", "odc", "--url", "https://feed.example/odata/v4")
    assert set(done["files"]) == {f"{table}.odc" for table in made.model().tables if table not in ("Last Refresh", "Freshness")}
    name, query = formula((tmp_path / "c" / "Order Items.odc").read_text())
    assert name == "Order Items" and 'OData.Feed("https://feed.example/odata/v4/", null' in query and "RangeStart" not in query
    assert '[Name = "fact_order_items", Signature = "table"]' in query
    document = lxml.html.document_fromstring((tmp_path / "c" / "Order Items.odc").read_text())
    assert "SELECT * FROM [Order Items]" in document.text_content()


def test_a_format_there_is_not_is_refused(exported: Make, tmp_path: Path) -> None:
    made = exported("shop")
    done = made.shop.cli("export", str(tmp_path / "c"), "--format", "tds")
    assert done.returncode == 2 and "there is no format 'tds'" in done.stderr and "OData" in done.stderr and not (tmp_path / "c").exists()
    made.shop.cli("export", str(tmp_path / "c"), "--format", "pbids", check=True)
    assert json.loads((tmp_path / "c" / "shop.pbids").read_text())["connections"][0]["details"]["protocol"] == "odata"
