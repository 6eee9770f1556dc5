"""What a person writes wrongly is answered with file, line, reason and the nearest right name."""

from __future__ import annotations

import re

import pytest

from pipeline.errors import GoldfeedError, ProjectError, UsageError
from pipeline.project.graph import select
from tests.conftest import GOLD_TOTALS, SILVER_ORDERS, Shop


def says(shop: Shop) -> str:
    """The sentence loading the project fails with."""
    with pytest.raises(GoldfeedError) as caught:
        shop.project()
    return str(caught.value)


def test_dependencies_come_from_the_sql_itself(shop: Shop) -> None:
    graph = shop.project().graph
    assert graph.order == ("bronze.orders", "silver.orders", "gold.totals")
    assert graph.inputs("gold.totals") == ("silver.orders",)


def test_a_cte_is_no_table(shop: Shop) -> None:
    shop.write("sql/gold/days.sql", "/* ---\ndescription: x\n--- */\nWITH o AS (SELECT * FROM silver.orders) SELECT * FROM o\n")
    assert shop.project().graph.inputs("gold.days") == ("silver.orders",)


def test_an_unknown_table_is_named_with_file_line_and_the_nearest_right_name(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("silver.orders", "silver.order"))
    assert re.search(r"totals\.sql:5: gold\.totals reads silver\.order, which .*; did you mean silver\.orders\?", says(shop))


def test_a_circle_is_named_with_file_and_line(shop: Shop) -> None:
    shop.write("sql/gold/one.sql", "/* ---\ndescription: x\n--- */\nSELECT * FROM gold.two\n")
    shop.write("sql/gold/two.sql", "/* ---\ndescription: x\n--- */\nSELECT * FROM gold.one\n")
    assert re.search(r"(one|two)\.sql:4: these tables read each other in a circle: gold\.", says(shop))


def test_two_models_of_one_name_are_refused(shop: Shop) -> None:
    shop.write(
        "sql/gold/totals.py",
        '"""x\n---\ndescription: x\n---\n"""\ndef model(orders):\n    return orders\n',
    )
    assert re.search(r"totals\.sql:1: gold\.totals is already made by .*totals\.py|totals\.py:1: .*totals\.sql", says(shop))


@pytest.mark.parametrize("kind", ["upsert", "scd2", "incremental"])
def test_a_kind_that_needs_a_key_says_so(shop: Shop, kind: str) -> None:
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("key: [status]", f"kind: {kind}"))
    assert f"totals.sql:2: the kind {kind} needs a key" in says(shop)


def test_a_kind_that_gives_no_surrogate_key_says_which_do(shop: Shop) -> None:
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("key: [order_id]", "key: [order_id]\nsurrogate_key: order_key"))
    assert "orders.sql:2: the kind upsert gives no surrogate_key; full, incremental, scd2 do" in says(shop)


def test_a_polars_model_with_a_surrogate_key_is_refused(shop: Shop) -> None:
    header = "description: x\nkey: [status]\nsurrogate_key: status_key"
    shop.write("sql/gold/counts.py", f'"""x\n---\n{header}\n---\n"""\ndef model(totals):\n    return totals\n')
    assert re.search(r"counts\.py:2: a Polars model gives no surrogate_key; leave it out", says(shop))


def test_a_wrong_key_in_a_header_is_named_with_its_line(shop: Shop) -> None:
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.replace("rules:", "ruels:"))
    assert re.search(r"orders\.sql:5: there is no key 'ruels' here; did you mean 'rules'\?", says(shop))


def test_a_wrong_key_in_a_source_is_named_with_its_line(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", "files: x.csv\ncolums:\n  a: {type: varchar}\n")
    text = says(shop)
    assert "orders.yml" in text and ("'columns' is missing" in text or "did you mean 'columns'?" in text)


def test_a_wrong_type_is_named_with_its_line(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", "files: x.csv\ncolumns:\n  a: {type: varchr}\n")
    assert re.search(r"orders\.yml:3: columns\.a\.type: 'varchr' is not a type", says(shop))


def test_a_key_that_is_no_column_is_refused(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", "files: x.csv\nkey: [id]\ncolumns:\n  a: {type: varchar}\n")
    assert "key names 'id', which is not one of the columns" in says(shop)


def test_yaml_that_is_none_is_named_with_its_line(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", "files: x.csv\ncolumns: {a: [\n")
    assert re.search(r"orders\.yml:\d+: this is not YAML", says(shop))


def test_a_key_given_twice_is_refused(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", "files: x.csv\nfiles: y.csv\ncolumns:\n  a: {type: varchar}\n")
    assert re.search(r"orders\.yml:2: .*'files' is given twice", says(shop))


def test_sql_that_cannot_be_read_is_named_with_its_line(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: x\n--- */\nSELECT (1\nFROM silver.orders\n")
    assert re.search(r"totals\.sql:\d+: the SQL cannot be read", says(shop))


def test_a_model_without_a_header_is_refused(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", "SELECT 1\n")
    assert "totals.sql:1: a model begins with a header" in says(shop)


def test_a_model_is_one_select_and_nothing_else(shop: Shop) -> None:
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: x\n--- */\nDROP TABLE silver.orders\n")
    assert "a model is one SELECT" in says(shop)
    shop.write("sql/gold/totals.sql", "/* ---\ndescription: x\n--- */\nSELECT 1; SELECT 2\n")
    assert "a model is one SELECT" in says(shop)


def test_silver_cannot_read_gold(shop: Shop) -> None:
    shop.write("sql/silver/odd.sql", "/* ---\ndescription: x\n--- */\nSELECT * FROM gold.totals\n")
    assert "silver.odd reads gold.totals, which is made later" in says(shop)


@pytest.mark.parametrize(
    ("tail", "word"),
    [(" WHERE amount > 0", "WHERE"), (" GROUP BY ALL", "GROUP BY"), (" LIMIT 3", "LIMIT"), (" JOIN bronze.orders b ON true", "one table")],
)
def test_an_upsert_that_could_lose_rows_is_refused(shop: Shop, tail: str, word: str) -> None:
    shop.write("sql/silver/orders.sql", SILVER_ORDERS.rstrip() + tail + "\n")
    shop.drop_orders("orders.csv", "1,c,paid,1,2024-01-01")
    result = shop.run()
    failed = next(task for task in result.tasks if task.table == "silver.orders")
    assert failed.status == "failed" and word in (failed.error or "")


def test_a_folder_without_a_project_says_what_to_do(shop: Shop) -> None:
    (shop.folder / "goldfeed.yml").unlink()
    assert "there is no goldfeed.yml here; go to the project's folder or give --project DIR" in says(shop)


def test_an_unknown_setting_is_refused_with_the_nearest_right_name(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nsettings:\n  memory_limt: 1GB\n")
    assert "there is no setting 'memory_limt'; did you mean memory_limit?" in says(shop)


@pytest.mark.parametrize(("name", "value"), [("MEMORY_LIMIT", "lots"), ("THREADS", "0"), ("SETTLE_SECONDS", "-1"), ("KEEP_VERSIONS", "x")])
def test_a_setting_that_cannot_be_read_says_what_it_must_be(shop: Shop, name: str, value: str) -> None:
    shop.environ[f"GOLDFEED_{name}"] = value
    assert f"GOLDFEED_{name}: {name.lower()} is '{value}' but must be" in says(shop) or "could not convert" in says(shop)


def test_selection_takes_names_layers_and_what_is_above_and_below(shop: Shop) -> None:
    graph = shop.project().graph
    assert select(graph, ["silver.orders+"]) == {"silver.orders", "gold.totals"}
    assert select(graph, ["+silver.orders"]) == {"silver.orders", "bronze.orders"}
    assert select(graph, ["gold.*", "bronze"]) == {"gold.totals", "bronze.orders"}
    with pytest.raises(UsageError, match=r"--select gold.total means no table; did you mean gold.totals\?"):
        select(graph, ["gold.total"])


def test_descriptions_and_comments_do_not_change_a_fingerprint_but_sql_does(shop: Shop) -> None:
    def fingerprint() -> str:
        return shop.project().graph.models["gold.totals"].fingerprint

    first = fingerprint()
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("Orders and money", "Money").replace("SELECT", "SELECT -- here\n "))
    assert fingerprint() == first
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("count(*)", "count(order_id)"))
    assert fingerprint() != first


def test_a_missing_project_error_is_permanent() -> None:
    assert ProjectError("x").exit_code == 1


def test_contracts_are_found_beside_the_tables_they_are_about(shop: Shop) -> None:
    shop.write("sql/bronze/orders.contract.yml", "dataset: x\n")
    shop.write("sql/gold/totals.contract.yml", "dataset: x\n")
    assert sorted(shop.project().contracts) == ["bronze.orders", "gold.totals"]
    assert [source.name for source in shop.project().graph.sources.values()] == ["orders"]
