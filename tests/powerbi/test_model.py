"""The semantic model keeps the laws that no one checks when it is opened, only when it is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.powerbi.catalog import Column, Reference, Table, _related
from pipeline.powerbi.measures import columns_named, measures_named
from pipeline.powerbi.names import unique
from tests.powerbi.conftest import SHOPS, Exported
from tests.powerbi.reader import ends

Make = Callable[[str], Exported]
BOTH = pytest.mark.parametrize("mode", ["import", "directquery"])
EACH = pytest.mark.parametrize("name", SHOPS)
KINDS = {"int64": "BIGINT", "decimal": "DECIMAL", "string": "VARCHAR", "boolean": "BOOLEAN", "double": "DOUBLE", "dateTime": "TIMESTAMP"}


@EACH
@BOTH
def test_names_are_unique_and_no_measure_bears_a_columns_name(exported: Make, name: str, mode: str) -> None:
    model = exported(name).model(mode)
    assert len({table.lower() for table in model.tables}) == len(model.tables)
    for table in model.tables.values():
        names = [child.name.lower() for child in table.of("column")]
        assert len(set(names)) == len(names)
    measures = [child.name.lower() for table in model.tables.values() for child in table.of("measure")]
    assert len(set(measures)) == len(measures) and measures
    assert set(measures).isdisjoint(column.lower() for _, column in model.columns)


@EACH
def test_every_reference_in_dax_exists(exported: Make, name: str) -> None:
    model = exported(name).model()
    for measure, dax in model.measures.items():
        assert columns_named(dax) <= model.columns, measure
        assert measures_named(dax) <= set(model.measures), measure
        assert set(re.findall(r"'((?:[^']|'')+)'", dax)) <= set(model.tables), measure
        assert dax.count("(") == dax.count(")"), measure


@EACH
def test_no_measure_goes_round_in_a_circle(exported: Make, name: str) -> None:
    measures = exported(name).model().measures
    left = {measure: measures_named(dax) for measure, dax in measures.items()}
    while left:
        done = {measure for measure, needs in left.items() if not needs & set(left)}
        assert done, left
        left = {measure: needs for measure, needs in left.items() if measure not in done}


@EACH
@BOTH
def test_every_column_is_in_gold_with_a_type_that_fits(exported: Make, name: str, mode: str) -> None:
    made = exported(name)
    for table in made.model(mode).tables.values():
        source = re.search(r'(?:Name|Item) = "(\w+)"', table.of("partition")[0].properties["source"])
        assert source
        if source[1].startswith("_"):
            continue
        types = {column["name"]: column["type"] for column in made.manifest["tables"][source[1]]["columns"]}
        assert {column.properties["sourceColumn"] for column in table.of("column")} == set(types)
        for column in table.of("column"):
            kind, type_ = KINDS[column.properties["dataType"]], types[column.properties["sourceColumn"]]
            assert type_.startswith(kind) or (kind, type_) in {("BIGINT", "INTEGER"), ("TIMESTAMP", "DATE")}, column.name


@EACH
def test_related_columns_have_one_type_and_the_one_side_is_unique_in_the_data(exported: Make, name: str) -> None:
    made = exported(name)
    model = made.model()
    assert model.relationships
    for relationship in model.relationships:
        (many, many_column), (one, one_column) = ends(relationship)
        kinds, places = [], []
        for table, column in ((many, many_column), (one, one_column)):
            found = next(item for item in model.tables[table].of("column") if item.name == column)
            kinds.append(found.properties["dataType"])
            places.append((_source(model.tables[table]), found.properties["sourceColumn"]))
        assert kinds[0] == kinds[1]
        table, column = places[1]
        assert made.ask(f"SELECT count(*) - count(DISTINCT {column}) FROM {table}") == [(0,)]


def _source(table: Any) -> str:
    found = re.search(r'(?:Name|Item) = "(\w+)"', table.of("partition")[0].properties["source"])
    assert found
    return found[1]


@EACH
@BOTH
def test_every_table_has_one_partition_and_every_ref_resolves(exported: Make, name: str, mode: str) -> None:
    model = exported(name).model(mode)
    for table in model.tables.values():
        assert len(table.of("partition")) == 1
        assert table.of("partition")[0].properties["mode"] == ("import" if mode == "import" else "directQuery")
    refs = {ref.name for ref in model.refs}
    assert {f"table {table}" if re.fullmatch(r"\w+", table) else f"table '{table}'" for table in model.tables} <= refs
    others = {f"{item.kind} {item.name}" for path, items in model.items.items() for item in items if path.startswith(("roles/", "perspectives/"))}
    assert refs - {ref for ref in refs if ref.startswith("table ")} == others
    assert sum(ref.startswith("table ") for ref in refs) == len(model.tables)


@EACH
def test_filters_reach_a_table_along_one_way_only(exported: Make, name: str) -> None:
    model = exported(name).model()
    pairs = [[place[0] for place in ends(one)] for one in model.relationships if one.properties.get("isActive") != "false"]
    assert _one_way([(many, one) for many, one in pairs])


def _one_way(edges: list[tuple[str, str]]) -> bool:
    def ways(start: str, seen: tuple[str, ...]) -> list[str]:
        nexts = [one for many, one in edges if many == start]
        return [start] + [end for one in nexts for end in (ways(one, (*seen, one)) if one not in seen else [one, one])]

    return all(len(found) == len(set(found)) for found in (ways(many, (many,)) for many, _ in edges))


def test_orders_are_filtered_by_day_and_customer_and_the_second_date_waits(exported: Make) -> None:
    model = exported("shop").model()
    active = {tuple(ends(one)): one.properties.get("isActive") != "false" for one in model.relationships}
    assert active[("Orders", "Order Date"), ("Date", "Date")] and active[("Orders", "Customer Key"), ("Customers", "Customer Key")]
    assert active[("Order Items", "Order ID"), ("Orders", "Order ID")]
    assert not active[("Payments", "Paid Date"), ("Date", "Date")]
    assert "USERELATIONSHIP('Payments'[Paid Date], 'Date'[Date])" in model.measures["Refunds"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_whatever_refers_to_whatever_filters_have_one_way(pairs: list[tuple[int, int]]) -> None:
    tables = [
        Table(
            f"t{number}", f"T{number}", "", (Column("id", "ID", "INTEGER"),),
            references=tuple(Reference(f"t{a}", "id", f"t{b}", "id") for a, b in pairs if a == number),
        )
        for number in range(6)
    ]
    made = [one for table in _related(tables) for one in table.references]
    assert _one_way([(one.table, one.to_table) for one in made if one.active])
    assert len(made) == sum(a != b for a, b in pairs)


@given(st.lists(st.sampled_from(["dim_a", "fact_a", "mart_a", "a", "A", "fact_b", "b"]), unique=True))
def test_names_for_people_never_meet(names: list[str]) -> None:
    made = unique([(name, name.partition("_")[2].upper() or name) for name in names])
    assert len({name.lower() for name in made.values()}) == len(names)


def test_the_date_table_is_marked_and_has_a_calendar(exported: Make) -> None:
    date = exported("shop").model().tables["Date"]
    assert date.properties["dataCategory"] == "Time"
    assert [column.name for column in date.of("column") if "isKey" in column.properties] == ["Date"]
    assert [level.name for level in date.of("hierarchy")[0].of("level")] == ["Year", "Quarter", "Month Name", "Date"]
    assert next(c for c in date.of("column") if c.name == "Month Name").properties["sortByColumn"] == "'Month Number'"


def test_columns_are_shown_as_what_they_are(exported: Make) -> None:
    tables = exported("shop").model().tables
    orders = {column.name: column.properties for column in tables["Orders"].of("column")}
    assert "isHidden" in orders["Customer Key"] and "isHidden" not in orders["Order ID"]
    assert orders["Total Amount"]["summarizeBy"] == "sum" and orders["Total Amount"]["formatString"] == "#,0.00"
    assert orders["Total Amount"]["displayFolder"] == "Figures"
    customers = {column.name: column.properties for column in tables["Customers"].of("column")}
    assert customers["Country"]["dataCategory"] == "Country" and customers["City"]["dataCategory"] == "City"
    prices = {column.name: column.properties for column in tables["Order Items"].of("column")}
    assert prices["Unit Price"]["summarizeBy"] == "none"


def test_descriptions_come_from_the_headers(exported: Make) -> None:
    text = exported("shop").files()["shop.SemanticModel/definition/tables/Orders.tmdl"]
    assert text.startswith("/// Orders with their money\ntable Orders\n")
    assert "\t/// Items plus freight\n\tcolumn 'Total Amount'\n" in text


def test_large_facts_are_refreshed_in_part_by_a_column_that_is_never_null(exported: Make) -> None:
    made = exported("shop")
    policies = {table.name: table.of("refreshPolicy")[0].properties for table in made.model().tables.values() if table.of("refreshPolicy")}
    assert set(policies) == {"Orders", "Order Items", "Payments"}
    assert all(policy["policyType"] == "basic" and "RangeStart" in policy["sourceExpression"] for policy in policies.values())
    assert made.ask("SELECT count(*) FROM fact_orders WHERE order_date IS NULL") == [(0,)]
    assert not any(table.of("refreshPolicy") for table in made.model("directquery").tables.values())


def test_flows_are_perspectives(exported: Make) -> None:
    model = exported("shop").model()
    shown = {table.name for item in model.items["perspectives/employees.tmdl"] for table in item.of("perspectiveTable")}
    assert shown == {"Employees", "Last Refresh", "Freshness"}
    for path, items in model.items.items():
        if path.startswith("perspectives/"):
            for table in items[0].of("perspectiveTable"):
                assert {column.name for column in table.of("perspectiveColumn")} <= {name for owner, name in model.columns if owner == table.name}
                assert {measure.name for measure in table.of("perspectiveMeasure")} <= set(model.measures)
