"""The M of each partition: it parses, it asks for what it should, and two windows side by side give all rows."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pipeline.powerbi.catalog import Column, Table, read_catalog
from pipeline.powerbi.queries import parameters, partition, request, standalone
from pipeline.powerbi.trust import with_trust
from tests.powerbi.conftest import SHOPS, Exported

Make = Callable[[str], Exported]
EACH = pytest.mark.parametrize("name", SHOPS)
URL = "http://localhost:8080/odata/v4/"
PARSE = """
const PQP = require("@microsoft/powerquery-parser");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {
  const found = [];
  for (const text of texts) {
    const task = await PQP.TaskUtils.tryLexParse(PQP.DefaultSettings, text);
    found.push(PQP.TaskUtils.isParseStageOk(task) ? "" : String(task.error && task.error.message));
  }
  console.log(JSON.stringify(found));
})();
"""


def all_m(made: Exported) -> list[str]:
    """Every M text of both exports: partitions, policies, parameters."""
    found: list[str] = []
    for mode in ("import", "directquery"):
        model = made.model(mode)
        found += [expression.expression for expression in model.expressions.values()]
        for table in model.tables.values():
            found += [part.properties["source"] for part in table.of("partition")]
            found += [policy.properties["sourceExpression"] for policy in table.of("refreshPolicy")]
    catalog = read_catalog(made.project, made.manifest)
    return found + [standalone(table, None) for table in catalog.tables]


@pytest.fixture(scope="session")
def parse(npm: Callable[..., Path]) -> Callable[[list[str]], list[str]]:
    """What the language's own parser says against each text; empty where nothing."""
    folder = npm("@microsoft/powerquery-parser@2.0.0")

    def said(texts: list[str]) -> list[str]:
        done = subprocess.run(["node", "-e", PARSE], cwd=folder, input=json.dumps(texts), text=True, capture_output=True, check=True)
        found: list[str] = json.loads(done.stdout)
        return found

    return said


@pytest.mark.slow
@EACH
def test_every_m_parses_and_a_broken_one_does_not(exported: Make, parse: Callable[[list[str]], list[str]], name: str) -> None:
    texts = all_m(exported(name))
    assert len(texts) > 20 and set(parse(texts)) == {""}
    broken = [text.replace("in\n", "", 1).replace(" meta", "", 1) for text in texts]
    assert all(parse(broken))


@EACH
def test_the_m_asks_for_what_the_request_says(exported: Make, name: str) -> None:
    made = exported(name)
    catalog = with_trust(read_catalog(made.project, made.manifest))
    for table in catalog.tables:
        text = partition(table, "import")
        address, options = request(table, URL, "", (datetime(2024, 1, 1), datetime(2024, 2, 1)))
        assert f'Source{{[Name = "{address.removeprefix(URL)}", Signature = "table"]}}[Data]' in text
        selected = re.search(r"Table.SelectColumns\(Entities, \{(.*?)\}\)", text)
        assert selected and selected[1].replace('"', "").replace(" ", "") == options["$select"]
        filtered = re.search(r"each \[(\w+)\] >= From and \[(\w+)\] < To", text)
        assert bool(filtered) == ("$filter" in options) == (table.refresh_by is not None)
        if filtered:
            assert options["$filter"].split()[0] == filtered[1] == filtered[2] == table.refresh_by
        assert text.index("Table.SelectColumns") < text.find("Table.TransformColumns") or "Table.TransformColumns" not in text


def test_dates_and_times_are_asked_for_each_in_its_form() -> None:
    window = (datetime(2024, 1, 1), datetime(2024, 2, 1, 12))
    day = Table("fact_a", "A", "", (Column("day", "Day", "DATE"),), refresh_by="day")
    moment = Table("fact_b", "B", "", (Column("at", "At", "TIMESTAMP"), Column("n", "N", "BIGINT")), refresh_by="at")
    assert request(day, URL, "", window) == (f"{URL}fact_a", {"$select": "day", "$filter": "day ge 2024-01-01 and day lt 2024-02-01"})
    assert request(moment, URL, "@000003/", window) == (
        f"{URL}@000003/fact_b", {"$select": "at,n", "$filter": "at ge 2024-01-01T00:00:00Z and at lt 2024-02-01T12:00:00Z"},
    )
    assert request(moment, URL)[1] == {"$select": "at,n"}


def test_money_long_whole_numbers_and_spans_get_the_type_that_the_model_says() -> None:
    columns = [("money", "DECIMAL(18,2)"), ("fine", "DECIMAL(18,6)"), ("sum", "HUGEINT"), ("n", "BIGINT"), ("span", "INTERVAL"), ("clock", "TIME"), ("at", "TIMESTAMP_NS")]
    table = Table("fact_c", "C", "", tuple(Column(name, name, type_) for name, type_ in columns))
    assert [column.kind for column in table.columns] == ["decimal", "double", "int64", "int64", "double", "dateTime", "dateTime"]
    last = partition(table, "import").partition("    Types = ")[2].splitlines()[0]
    assert last == 'Table.TransformColumnTypes(Times, {{"money", Currency.Type}, {"sum", Int64.Type}, {"span", type number}})'
    assert "Types" not in partition(table, "directquery")


def test_two_windows_side_by_side_give_each_row_once(exported: Make) -> None:
    made = exported("shop")
    catalog = read_catalog(made.project, made.manifest)
    for table in (table for table in catalog.tables if table.refresh_by):
        column = table.refresh_by
        parts = []
        for window in ((datetime(1900, 1, 1), datetime(2024, 2, 1)), (datetime(2024, 2, 1), datetime(2200, 1, 1))):
            first, last = re.findall(r"\d{4}-\d\d-\d\d", request(table, URL, "", window)[1]["$filter"])
            parts.append(made.ask(f"SELECT count(*) FROM {table.source} WHERE {column} >= DATE '{first}' AND {column} < DATE '{last}'")[0][0])
        assert all(parts) and sum(parts) == made.manifest["tables"][table.source]["rows"]


def test_the_parameters_are_what_a_person_is_asked_for() -> None:
    assert [(one.name, one.value) for one in parameters("import", None)] == [
        ("FeedUrl", '"http://localhost:8080/odata/v4/"'), ("FeedVersion", '""'),
        ("RangeStart", "#datetime(1900, 1, 1, 0, 0, 0)"), ("RangeEnd", "#datetime(2200, 1, 1, 0, 0, 0)"),
    ]  # fmt: skip
    assert [one.name for one in parameters("directquery", None)] == ["PostgresServer", "PostgresDatabase"]


@EACH
def test_addresses_stay_under_power_querys_limit(exported: Make, name: str) -> None:
    made = exported(name)
    window = (datetime(2024, 1, 1), datetime(2024, 2, 1))
    for table in with_trust(read_catalog(made.project, made.manifest)).tables:
        address, options = request(table, "https://a-rather-long-name.example.com:8443/odata/v4/", "@000003/", window)
        assert len(f"{address}?{urlencode(options)}") < 2048
