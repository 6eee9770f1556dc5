"""Real shops through the pipeline: what gold says is what the files, and others, say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from pipeline.demo import write_shop
from pipeline.runner import Order
from tests.conftest import ROOT, SAMPLE_DATA, Shop, needs_sample_data, token
from tests.examples import examples

KPIS = (
    "order_date", "orders", "items", "revenue", "average_order_value", "new_customers", "returning_customers",
    "cancellation_rate", "refunds",
)
MODELS = sorted([*ROOT.glob("sql/*/*.sql"), *ROOT.glob("examples/*/sql/*/*.sql")])


def deliver(shop: Shop, *files: Path) -> None:
    for file in files:
        shop.drop(file.name, file.read_bytes())


def plain(value: Any) -> Any:
    return None if value is None else Decimal(str(value)) if not hasattr(value, "isoformat") else value.isoformat()


def assert_gold_is_the_truth(shop: Shop, truth: dict[str, Any]) -> None:
    """Gold equals truth.json, per day and overall, to the last digit."""
    rows = shop.ask(f"SELECT {', '.join(KPIS)} FROM mart_daily_kpis ORDER BY order_date")
    days = [tuple(day[name] if name == "order_date" else plain(day[name]) for name in KPIS) for day in truth["daily"]]
    assert [tuple(plain(value) for value in row) for row in rows] == days
    overall = truth["overall"]
    counts = shop.ask(
        "SELECT (SELECT count(*) FROM fact_orders), (SELECT count(*) FROM fact_order_items), (SELECT count(*) FROM fact_payments), "
        "(SELECT count(DISTINCT customer_id) FROM dim_customers), (SELECT count(DISTINCT product_id) FROM dim_products), "
        "(SELECT count(*) FROM dim_employees), (SELECT coalesce(sum(amount), 0) FROM fact_payments)"
    )[0]
    names = ("orders", "order_items", "payments", "customers", "products", "employees")
    assert counts[:6] == tuple(overall[name] for name in names)
    assert counts[6] == Decimal(overall["payments_amount"])
    assert dict(shop.ask("SELECT status, count(*) FROM fact_orders GROUP BY ALL")) == {
        status: count for status, count in overall["status"].items() if count
    }


def assert_quarantine_is_the_truth(shop: Shop, truth: dict[str, Any]) -> None:
    found = dict(
        shop.warehouse(
            "SELECT regexp_replace(regexp_replace(source, '^.*\\.', ''), '_versions$', 's'), count(*) FROM ledger.quarantine GROUP BY 1"
        )
    )
    assert found == {source: count for source, count in truth["quarantined"].items() if count}


@examples(2)
@given(
    seed=st.integers(0, 10_000), dirty=st.sampled_from([0.0, 0.02, 0.2]), times=st.sampled_from([1, 3]),
    parts=st.integers(1, 3), shuffle=st.randoms(use_true_random=False),
)
def test_gold_is_the_truth_of_the_demo_shop_in_any_order_and_however_often_delivered(
    tmp_path_factory: pytest.TempPathFactory, seed: int, dirty: float, times: int, parts: int, shuffle: Any
) -> None:
    made = tmp_path_factory.mktemp("drops")
    write_shop(made, orders=120, days=9, seed=seed, dirty=dirty)
    shop = Shop(ROOT, tmp_path_factory.mktemp("home"))
    files = [
        (path, f"{copy}/{path.name}" if copy else str(path.relative_to(made)))
        for path in sorted(made.rglob("*.csv*")) for copy in range(times)
    ]
    shuffle.shuffle(files)
    for part in range(parts):
        for path, name in files[part::parts]:
            shop.drop(name, path.read_bytes())
        assert shop.run().status == "succeeded"
    truth = json.loads((made / "truth.json").read_text())
    assert_gold_is_the_truth(shop, truth)
    assert_quarantine_is_the_truth(shop, truth)
    assert shop.run().status == "nothing_to_do"


@needs_sample_data
def test_olist_shows_the_figures_of_its_files(real_shop: Callable[[Path], Shop]) -> None:
    shop = real_shop(ROOT / "examples/olist")
    deliver(shop, *(SAMPLE_DATA / "olist").glob("*.csv"))
    result = shop.run()
    assert result.status == "succeeded" and shop.quarantine() == []
    assert shop.ask("SELECT count(*), sum(total_amount) FROM fact_orders") == [(8135, Decimal("1265552.74"))]
    assert shop.ask("SELECT count(*), count(DISTINCT customer_unique_id) FROM dim_customers") == [(8016, 8016)]
    assert shop.ask("SELECT sum(amount) FROM fact_payments") == [(Decimal("1428602.81"),)]
    assert shop.ask("SELECT status, count(*) FROM fact_orders GROUP BY 1 ORDER BY 2 DESC") == [
        ("delivered", 5172), ("shipped", 1107), ("canceled", 625), ("unavailable", 609), ("invoiced", 314),
        ("processing", 301), ("created", 5), ("approved", 2),
    ]
    assert shop.ask("SELECT count(*) FROM fact_orders WHERE item_count = 0 AND total_amount = 0") == [(775,)]
    assert shop.warehouse("SELECT count(*) FROM ledger.files WHERE lines <> header_lines + blank_lines + bronze_rows + quarantined_rows") == [(0,)]


@needs_sample_data
def test_olist_reviews_keep_their_line_breaks(real_shop: Callable[[Path], Shop]) -> None:
    import csv

    shop = real_shop(ROOT / "examples/olist")
    file = SAMPLE_DATA / "olist/olist_order_reviews_dataset.csv"
    deliver(shop, file)
    shop.run()
    with open(file, encoding="utf-8", newline="") as text:
        expected = sorted((row["review_id"], row["order_id"], row["review_comment_message"]) for row in csv.DictReader(text))
    found = sorted(shop.ask("SELECT review_id, order_id, coalesce(message, '') FROM fact_reviews"))
    assert len(found) == 8225 and found == expected


@needs_sample_data
@pytest.mark.parametrize("order", [("mlb_players.csv", "mlb_players_padded.csv"), ("mlb_players_padded.csv", "mlb_players.csv")])
def test_both_lists_of_employees_in_either_order_are_the_same_people(real_shop: Callable[[Path], Shop], order: tuple[str, str]) -> None:
    shop = real_shop(ROOT)
    for name in order:
        deliver(shop, SAMPLE_DATA / "employees" / name)
        shop.run()
    assert shop.warehouse("SELECT count(*) FROM bronze.employees") == [(2068,)]
    assert shop.quarantine() == []
    assert shop.ask("SELECT count(*), count(DISTINCT employee_key) FROM dim_employees") == [(1034, 1034)]
    assert shop.ask("SELECT last_name, name_token FROM dim_employees WHERE weight_lbs IS NULL") == [("S***", token("Kirk Saarloos"))]
    for name in ("Chris Young", "Tony Pe?a"):  # two people each, told apart by age
        assert shop.ask(f"SELECT count(DISTINCT age) FROM dim_employees WHERE name_token = '{token(name)}'") == [(2,)]


def figures() -> list[tuple[str, str, str]]:
    text = (ROOT / "examples/online_retail/published_figures.sql").read_text()
    return re.findall(r"-- name: ([^\n]*)\n-- expected: ([^\n]*)\n(.*?);\n", text, re.S)


def gold(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """Every gold table, whole."""
    names = [name for (name,) in shop.warehouse("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'gold'")]
    return {name: shop.ask(f'SELECT * FROM "{name}" ORDER BY ALL') for name in names}


@needs_sample_data
@pytest.mark.slow
def test_online_retail_at_once_or_a_file_a_day_over_305_runs_shows_the_figures_that_others_published(tmp_path: Path) -> None:
    at_once, daily = (Shop(ROOT / "examples/online_retail", tmp_path / name) for name in ("at_once", "daily"))
    files = sorted((SAMPLE_DATA / "online_retail").glob("*.csv.gz"))
    deliver(at_once, *files)
    at_once.run()
    for file in files:
        deliver(daily, file)
        assert daily.run().status == "succeeded"
    assert len(files) == 305
    assert gold(daily) == gold(at_once)
    assert len(figures()) == 24
    assert {name: str(daily.ask(sql)[0][0]) for name, _, sql in figures()} == {name: expected for name, expected, _ in figures()}


def test_the_slice_that_ships_runs_and_a_lost_warehouse_comes_back_from_the_archive(real_shop: Callable[[Path], Shop]) -> None:
    shop = real_shop(ROOT / "examples/online_retail")
    files = sorted((ROOT / "examples/online_retail/slice").glob("*.csv.gz"))
    for part in (files[:5], files[5:]):
        deliver(shop, *part)
        shop.run()
    before = gold(shop)
    assert len(files) == 14 and before["mart_daily_kpis"][0][:2] == (before["mart_daily_kpis"][0][0], 143)
    for path in shop.home.glob("warehouse.duckdb*"):
        path.unlink()
    assert shop.run(Order(from_archive=True)).status == "succeeded"
    assert gold(shop) == before


@pytest.mark.parametrize("path", MODELS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_model_reads_as_spark_sql_too(path: Path) -> None:
    body = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), count=1, flags=re.S)
    assert sqlglot.transpile(body, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)


@pytest.mark.parametrize("folder", [ROOT, ROOT / "examples/olist", ROOT / "examples/online_retail"], ids=lambda path: path.name)
def test_every_table_and_every_column_is_described(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path / "home")
    shop.project()
    first = next(iter(shop.project().graph.sources.values()))
    names = {"lines": "2010-12-01.csv", "category_names": "product_category_name_translation.csv"}
    shop.drop(names.get(first.name, f"{first.name}.csv"), ",".join(first.columns) + "\n")
    assert shop.run().status == "succeeded"
    manifest = json.loads((shop.home / "published/current/manifest.json").read_text())
    missing = [
        f"{name}.{column['name']}" for name, table in manifest["tables"].items() for column in table["columns"]
        if not column["description"] and column["name"] not in ("_file_id", "_line", "_batch")
    ]
    assert missing == []
    described = {name: model.header for name, model in shop.project().graph.models.items()}
    assert all(header.description and header.columns for header in described.values())


@pytest.mark.slow
def test_readme_commands_run_as_they_are_written(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line.strip().partition("  #")[0] for line in readme.splitlines() if line.startswith("    goldfeed ")]
    lines = [line for line in lines if line.split()[1] not in ("serve", "retry")]  # test_service.py runs these
    assert len(lines) >= 10
    shop = Shop(tmp_path / "project", tmp_path / "project" / "data")
    shutil.copytree(ROOT / "sql", tmp_path / "project" / "sql")
    shutil.copy(ROOT / "goldfeed.yml", tmp_path / "project" / "goldfeed.yml")
    for line in lines:
        words = re.findall(r'"[^"]*"|\S+', line)[1:]
        if words[0] in ("rollback", "diff"):  # these two need a second version
            customer = f"customer_id,updated_at\nC99999{len(words[0])},2025-01-01 00:00:00\n"
            shop.drop(f"more/customers_2025{words[0]}.csv", customer)
            assert shop.cli("run").returncode == 0
        words = [str(tmp_path / "project" / word) if word in ("data/landing", "report") else word.strip('"') for word in words]
        words = ["500" if word == "20000" else word for word in words]
        done = shop.cli(*words)
        assert done.returncode == 0, (line, done.stderr)
