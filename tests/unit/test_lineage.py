"""What every column is made of, from the SQL alone; and what shows personal data in gold is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from pipeline.errors import ProjectError
from pipeline.project.lineage import lineage_of
from pipeline.project.made_of import Uses
from pipeline.project.project import load_project
from pipeline.project.uses import uses_of
from tests.conftest import ROOT, Shop

PEOPLE = {"bronze.people": ("id", "name", "email", "born"), "bronze.orders": ("id", "person", "amount")}

CUSTOMERS_YML = """
description: Customers
files: "customers*.csv"
key: [id]
columns:
  id:     {type: varchar}
  email:  {type: varchar, pii: email}
  phone:  {type: varchar, pii: phone}
  city:   {type: varchar}
"""
SILVER = """/* ---
description: Customers
kind: upsert
key: [id]
--- */
SELECT id, lower(trim(email)) AS contact, phone, city
FROM bronze.customers
"""


def uses(sql: str) -> dict[str, Uses]:
    query = sqlglot.parse_one(sql, read="duckdb")
    return uses_of(query, PEOPLE).columns


def of(sql: str, column: str = "x") -> dict[str, str]:
    """Source column -> how much of it shows in a column of the SELECT; `people` where nothing else is said."""
    return {
        name if table == "bronze.people" else f"{table}.{name}": use for (table, name), use in uses(sql)[column].items()
    }


@pytest.mark.parametrize(
    ("expression", "made_of"),
    [
        ("email", {"email": "copy"}),
        ("(email)", {"email": "copy"}),
        ("lower(trim(email))", {"email": "transform"}),
        ("name || ' <' || email || '>'", {"name": "transform", "email": "transform"}),
        ("sha256(email)", {"email": "transform"}),
        ("mask_email(lower(email))", {"email": "masked"}),
        ("MASK_EMAIL(email)", {"email": "masked"}),
        ("pii_token(name) || mask_name(name)", {"name": "masked"}),
        ("mask_email(email) || email", {"email": "transform"}),
        ("main.mask_email(email)", {"email": "transform"}),
        ("count(*)", {}),
        ("count(DISTINCT email)", {"email": "aggregate"}),
        ("count(*) FILTER (WHERE email IS NOT NULL)", {"email": "condition"}),
        ("max(email)", {"email": "transform"}),
        ("string_agg(email, ',' ORDER BY born)", {"email": "transform", "born": "condition"}),
        ("list(email)", {"email": "transform"}),
        ("max_by(name, born)", {"name": "transform", "born": "condition"}),
        ("email IS NULL", {"email": "condition"}),
        ("CASE WHEN email LIKE '%@x.de' THEN name ELSE city END", {"email": "condition", "name": "transform"}),
        ("CASE name WHEN 'Ada' THEN 1 END", {"name": "condition"}),
        ("row_number() OVER (PARTITION BY email ORDER BY born)", {"email": "condition", "born": "condition"}),
        ("lag(email) OVER (ORDER BY born)", {"email": "transform", "born": "condition"}),
        ("CAST(born AS VARCHAR)", {"born": "transform"}),
        ("[email, name]", {"email": "transform", "name": "transform"}),
        ("{'mail': email}", {"email": "transform"}),
        ("p", {"id": "transform", "name": "transform", "email": "transform", "born": "transform"}),
        ("to_json(p)", {"id": "transform", "name": "transform", "email": "transform", "born": "transform"}),
        ("(SELECT max(o.amount) FROM bronze.orders AS o WHERE o.person = p.email)", {"bronze.orders.amount": "transform"}),
        ("(SELECT max(p.email) FROM bronze.orders AS o)", {"email": "transform"}),
        ("EXISTS (SELECT 1 FROM bronze.orders AS o WHERE o.person = p.id)", {}),
        ("p.id IN (SELECT o.person FROM bronze.orders AS o)", {"id": "condition", "bronze.orders.person": "condition"}),
    ],
)
def test_each_use_of_a_column_says_how_much_of_it_shows(expression: str, made_of: dict[str, str]) -> None:
    found = of(f"SELECT {expression} AS x FROM bronze.people AS p")
    found.pop("city", None)
    assert found == made_of


@pytest.mark.parametrize(
    "sql",
    [
        "WITH c AS (SELECT email AS e FROM bronze.people), d AS (SELECT lower(e) AS f FROM c) SELECT f AS x FROM d",
        "WITH c(e) AS (SELECT email FROM bronze.people) SELECT upper(e) AS x FROM c",
        "SELECT s.e || '' AS x FROM (SELECT email AS e FROM bronze.people) AS s",
        "SELECT trim(s.email) AS x FROM (SELECT * FROM bronze.people) AS s",
        "SELECT coalesce(p.email, '') AS x FROM bronze.orders AS o LEFT JOIN bronze.people AS p ON p.id = o.person",
        "SELECT 'a' AS x UNION ALL SELECT trim(email) FROM bronze.people",
        "SELECT name AS n, lower(email) AS y, y || '' AS x FROM bronze.people",
        "WITH RECURSIVE r AS (SELECT lower(email) AS e, 1 AS n FROM bronze.people UNION ALL SELECT e, n + 1 FROM r WHERE n < 3) SELECT e AS x FROM r",
        "SELECT u.x FROM (SELECT unnest(string_split(email, '@')) AS x FROM bronze.people) AS u",
        "SELECT upper(l.e) AS x FROM bronze.people AS p, LATERAL (SELECT p.email AS e) AS l",
        "SELECT upper(email) AS x FROM bronze.people JOIN bronze.orders USING (id)",
        "FROM (SELECT lower(email) AS x FROM bronze.people)",
    ],
)
def test_a_column_is_followed_through_every_kind_of_query(sql: str) -> None:
    assert of(sql).get("email") == "transform"


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM bronze.people", "FROM bronze.people", "SELECT p.* FROM bronze.people AS p", "SELECT COLUMNS('em.*') FROM bronze.people",
     "SELECT * LIKE 'em%' FROM bronze.people", "SELECT #3 AS x FROM bronze.people", "SELECT x FROM bronze.people AS p(a, b, x, d)",
     "SELECT p.email.y AS x FROM bronze.people AS p", "SELECT unnest(p) FROM bronze.people AS p", "SELECT * REPLACE (email AS id) FROM bronze.people",
     "PIVOT bronze.people ON name USING max(email)", "SELECT x FROM (UNPIVOT bronze.people ON email INTO NAME n VALUE x)",
     "SELECT x FROM (VALUES (1)) AS v(x), bronze.people AS p WHERE false UNION BY NAME SELECT email AS x FROM bronze.people"],
)
def test_a_star_hides_nothing(sql: str) -> None:
    assert ("bronze.people", "email") in {place for made_of in uses(sql).values() for place in made_of}


def test_sql_that_is_not_understood_counts_as_made_of_everything() -> None:
    found = uses("SELECT x FROM (PIVOT bronze.people ON name USING max(email))")
    assert ("bronze.people", "email") in found["x"]


def test_columns_that_only_choose_the_rows_are_told_apart() -> None:
    query = sqlglot.parse_one(
        "SELECT o.amount AS x FROM bronze.orders AS o JOIN bronze.people AS p ON p.id = o.person WHERE p.email LIKE 'a%' ORDER BY p.name"
    )
    assert isinstance(query, exp.Query)
    found = uses_of(query, PEOPLE)
    assert set(found.columns["x"]) == {("bronze.orders", "amount")}
    assert set(found.conditions) == {("bronze.people", name) for name in ("id", "email", "name")} | {("bronze.orders", "person")}


# ---------------------------------------------------------------- a whole project
@pytest.fixture
def people(tmp_path: Path) -> Shop:
    """One source with personal data, and its silver table with an e-mail address in the clear."""
    made = Shop(tmp_path / "people")
    made.write("goldfeed.yml", "name: people\n")
    made.write("sql/bronze/customers.yml", CUSTOMERS_YML)
    made.write("sql/silver/customers.sql", SILVER)
    return made


def gold(shop: Shop, select: str, header: str = "") -> None:
    shop.write("sql/gold/dim.sql", f"/* ---\ndescription: x\n{header}--- */\n{select}\n")


def refusal(shop: Shop) -> str:
    with pytest.raises(ProjectError) as caught:
        shop.project()
    return str(caught.value)


def test_s4_personal_data_in_the_clear_is_refused_with_file_line_and_the_way_it_took(people: Shop) -> None:
    gold(people, "SELECT\n    id,\n    contact\nFROM silver.customers")
    assert re.search(
        r"gold/dim\.sql:6: contact of gold\.dim shows personal data \(email\) in the clear: "
        r"bronze\.customers\.email -> silver\.customers\.contact -> gold\.dim\.contact; mask it with mask_email",
        refusal(people),
    )


@pytest.mark.parametrize(
    "select",
    [
        "SELECT * FROM silver.customers",
        "SELECT id, 'x' || contact AS y FROM silver.customers",
        "SELECT max(contact) AS y FROM silver.customers",
        "SELECT md5(contact) AS y FROM silver.customers",
        "WITH a AS (SELECT contact AS y FROM silver.customers) SELECT y FROM a",
        "SELECT c AS y FROM silver.customers AS c",
        "SELECT phone FROM bronze.customers",
    ],
)
def test_s4_there_is_no_way_around_the_rule(people: Shop, select: str) -> None:
    gold(people, select)
    assert "shows personal data" in refusal(people)


@pytest.mark.parametrize(
    "select",
    [
        "SELECT id, mask_email(contact) AS contact FROM silver.customers",
        "SELECT pii_token(contact) AS person, count(*) AS many FROM silver.customers GROUP BY pii_token(contact)",
        "SELECT city, count(DISTINCT contact) AS people FROM silver.customers GROUP BY city",
        "SELECT id, contact IS NOT NULL AS has_mail FROM silver.customers WHERE contact LIKE '%.de'",
    ],
)
def test_s4_what_is_masked_counted_or_only_asked_about_may_be_published(people: Shop, select: str) -> None:
    gold(people, select)
    people.project()


def test_s4_clear_is_said_in_the_header_and_marked(people: Shop) -> None:
    gold(people, "SELECT id, contact, mask_phone(phone) AS phone FROM silver.customers", "pii: {contact: clear}\n")
    held = people.project().personal["gold.dim"]
    assert {name: (column.pii, column.masked) for name, column in held.items()} == {
        "contact": ("email", False),
        "phone": ("phone", True),
    }


def test_a_word_in_the_header_about_no_column_is_refused_with_the_nearest_name(people: Shop) -> None:
    gold(people, "SELECT id, contact FROM silver.customers", "pii: {contct: clear}\n")
    assert "pii names 'contct', which is no column of gold.dim; did you mean 'contact'?" in refusal(people)
    gold(people, "SELECT id, contact FROM silver.customers", "pii: {contact: masked}\n")
    assert "in SQL a masking function shows that" in refusal(people)


def polars(shop: Shop, header: str) -> None:
    text = f'"""x\n\n---\ndescription: x\n{header}---\n"""\nimport polars as pl\n\ndef model(customers: pl.LazyFrame) -> pl.LazyFrame:\n    return customers.select("id", "city")\n'
    shop.write("sql/gold/places.py", text)


def test_s4_a_polars_model_counts_as_made_of_everything_unless_its_header_says_more(people: Shop) -> None:
    polars(people, "")
    assert "any column of gold.places shows personal data" in refusal(people)
    polars(people, "columns: {id: Number, city: Town}\n")
    assert "id of gold.places shows personal data" in refusal(people)
    polars(people, "lineage: {id: [customers.id], city: silver.customers.city}\n")
    assert people.project().personal["gold.places"].keys() == {"*"}
    polars(people, "columns: {id: Number, city: Town}\nlineage: {id: customers.id}\npii: {city: masked}\n")
    assert people.project().personal["gold.places"]["city"].masked


def test_lineage_of_says_every_way_to_a_column() -> None:
    lineage = lineage_of(load_project(ROOT, home=None, environ={}))
    (way,) = lineage.ways("gold.dim_customers", "email")
    assert way.steps == ("bronze.customers.email", "silver.customer_versions.email", "gold.dim_customers.email")
    assert way.use == "masked" and lineage.columns["gold.dim_customers"]["email"].masked
    ways = lineage.ways("gold.fact_orders", "total_amount")
    assert {way.steps[0].partition(".")[2] for way in ways} == {f"order_items.{name}" for name in ("quantity", "unit_price", "freight_amount")}
    assert {column.name for column, _ in lineage.readers("silver.first_orders", "first_date")} == {"new_customers", "returning_customers"}


@pytest.mark.parametrize("folder", ["", "examples/olist", "examples/online_retail"])
def test_every_column_of_gold_leads_back_to_a_source(folder: str) -> None:
    project = load_project(ROOT / folder, home=None, environ={})
    lineage = lineage_of(project)
    for name in project.graph.layer("gold"):
        for column in lineage.columns[name]:
            for way in lineage.ways(name, column):
                assert way.steps[0].startswith("bronze.") or len(way.steps) == 1 or not lineage.get(*way.steps[0].rsplit(".", 1)).edges
