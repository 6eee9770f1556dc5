"""Measures of a model's header, and roles of goldfeed.yml, in the semantic model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ProjectError
from pipeline.powerbi.catalog import Column, Table, read_catalog
from pipeline.powerbi.files import project_files
from pipeline.powerbi.model import _role
from pipeline.powerbi.roles import _dax, row_filters
from pipeline.powerbi.tmdl import Node, written
from pipeline.powerbi.trust import with_trust
from pipeline.published import current, read_manifest
from tests.conftest import Shop
from tests.powerbi.reader import Model, model_of, read

TOTALS = """/* ---
description: Orders and money by status.
key: [status]
measures:
  {name}:
    expression: |-
      {expression}
    format: "#,0.0"
    description: Money per order
refresh_by: {refresh_by}
--- */
SELECT status, max(updated_at) AS seen_at, count(*) AS orders, sum(amount) AS amount FROM silver.orders GROUP BY status
"""


def model(shop: Shop, name: str, expression: str, refresh_by: str = "seen_at") -> Model:
    shop.write("sql/gold/totals.sql", TOTALS.format(name=name, expression=expression, refresh_by=refresh_by))
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    project = shop.project()
    published = project.settings.published
    return model_of(project_files(project, read_manifest(published, current(published) or "")))


def test_a_measure_of_a_header_is_in_the_model_and_a_column_gives_way_to_its_name(shop: Shop) -> None:
    made = model(shop, "Amount", "DIVIDE(SUM('Totals'[Amount (Totals)]), SUM('Totals'[Orders (Totals)]))")
    measure = next(item for item in made.tables["Totals"].of("measure") if item.name == "Amount")
    assert measure.expression.startswith("DIVIDE(") and measure.properties["formatString"] == "#,0.0"
    assert {"Amount (Totals)", "Orders (Totals)"} <= {name for _, name in made.columns}


@pytest.mark.parametrize(("text", "written_as"), [
    ('#,0 "EUR"', '#,0 "EUR"'), ('"about "0" pieces"', '"""about ""0"" pieces"""'), (" 0", '" 0"'),
])  # fmt: skip
def test_a_format_keeps_its_quotes(text: str, written_as: str) -> None:
    assert written(Node("measure X", [("formatString", text)], (), "", "1")).splitlines()[1] == f"\tformatString: {written_as}"


def test_a_timestamp_can_carry_the_partial_refresh(shop: Shop) -> None:
    source = model(shop, "X", "1").tables["Totals"].of("refreshPolicy")[0].properties["sourceExpression"]
    assert "From = DateTime.AddZone(RangeStart, 0)" in source and "each [seen_at] >= From and [seen_at] < To" in source


@pytest.mark.parametrize(("expression", "missing"), [
    ("SUM('Totals'[Amont])", "'Totals'[Amont]"), ("[Revenu] + 1", "[Revenu]"), ("SUM(Orders[Amount])", "'Orders'[Amount]"),
])  # fmt: skip
def test_a_measure_that_names_what_is_not_there_is_refused(shop: Shop, expression: str, missing: str) -> None:
    with pytest.raises(ProjectError) as caught:
        model(shop, "X", expression)
    assert missing in caught.value.sentence() and "gold.totals" in caught.value.sentence()


def test_a_refresh_by_what_is_no_time_is_refused(shop: Shop) -> None:
    with pytest.raises(ProjectError, match="refresh_by names 'status'"):
        model(shop, "X", "1", "status")


def test_measures_do_not_rebuild_a_table(shop: Shop) -> None:
    model(shop, "X", "1")
    shop.write("sql/gold/totals.sql", TOTALS.format(name="Y", expression="2", refresh_by="seen_at"))
    assert shop.run().status == "nothing_to_do"


CUSTOMERS = Table("dim_customers", "Customers", "", (
    Column("country", "Country", "VARCHAR"), Column("age", "Age", "INTEGER"), Column("since", "Since", "DATE"),
    Column("active", "Active", "BOOLEAN"),
))  # fmt: skip
KNOWN = "NOT ISBLANK('Customers'[Country]) && "


@pytest.mark.parametrize(("condition", "dax"), [
    ("country = 'DE'", f"({KNOWN}'Customers'[Country] = \"DE\")"),
    ("NOT country = 'DE'", f"({KNOWN}'Customers'[Country] <> \"DE\")"),
    ("country IN ('DE', 'a\"b')", f"({KNOWN}'Customers'[Country] IN {{\"DE\", \"a\"\"b\"}})"),
    ("NOT (age > 3 OR country IS NULL)", "((NOT ISBLANK('Customers'[Age]) && 'Customers'[Age] <= 3) && NOT ISBLANK('Customers'[Country]))"),
    ("since >= DATE '2024-01-31'", "(NOT ISBLANK('Customers'[Since]) && 'Customers'[Since] >= DATE(2024, 1, 31))"),
    ("active", "(NOT ISBLANK('Customers'[Active]) && 'Customers'[Active] = TRUE())"),
    ("country = $user", f"({KNOWN}'Customers'[Country] = USERPRINCIPALNAME())"),
    ("NOT country LIKE 'D%'", f"({KNOWN}EXACT(LEFT('Customers'[Country], 1), \"D\") = FALSE())"),
    ("year(since) BETWEEN 2020 AND 2024", "(NOT ISBLANK('Customers'[Since]) && YEAR('Customers'[Since]) >= 2020 && YEAR('Customers'[Since]) <= 2024)"),
], ids=["equal", "not", "in", "or", "date", "flag", "user", "like", "between"])  # fmt: skip
def test_row_rules_mean_in_dax_what_they_mean_in_sql_with_nulls_too(condition: str, dax: str) -> None:
    assert _dax(condition, CUSTOMERS, "sales") == dax


@pytest.mark.parametrize("condition", ["country LIKE '%D'", "country = ", "age + 1 = 2", "(SELECT true)"])
def test_a_row_rule_that_dax_cannot_say_is_refused_never_left_out(condition: str) -> None:
    with pytest.raises(ProjectError, match="cannot be written in DAX"):
        _dax(condition, CUSTOMERS, "sales")


def test_a_rule_over_a_column_that_is_not_there_leaves_no_rows() -> None:
    assert _dax("country = 'DE' AND nobody = 1", CUSTOMERS, "sales") == "FALSE()"


def test_a_role_sees_no_rows_of_tables_it_does_not_name(shop: Shop, tmp_path: Path) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    project = shop.project()
    published = project.settings.published
    catalog = with_trust(read_catalog(project, read_manifest(published, current(published) or "")))
    assert [dax for _, dax in row_filters("r", {"tables": ["other"]}, catalog)] == ["FALSE()"]
    assert row_filters("r", {"tables": ["gold.totals"]}, catalog) == []
    role = read(written(_role("Buyers", {"rows": {"totals": "status = 'paid'"}}, catalog)))[0]
    assert role.properties["modelPermission"] == "read" and role.of("tablePermission")[0].name == "Totals"
