"""`describe` and the data catalog: what a table is, without anybody's personal data and without a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ORDERS_YML, Shop

PERSONAL = ORDERS_YML.replace("customer_id: {type: varchar,", "customer_id: {type: varchar, pii: name, description: '<b>who & what</b>',")


@pytest.fixture
def built(shop: Shop) -> Shop:
    shop.write("sql/bronze/orders.yml", PERSONAL)
    shop.drop_orders("orders.csv", "1,sentinel-a,paid,1.50,2024-01-01", "2,sentinel-z,created,2.00,2024-01-02", "3,,paid,,2024-01-03")
    shop.run()
    return shop


def test_describe_tells_what_a_table_is_and_how_its_columns_look(built: Shop) -> None:
    facts = built.cli_json("describe", "silver.orders")
    assert (facts["kind"], facts["key"], facts["rows"], facts["file"]) == ("upsert", ["order_id"], 3, "sql/silver/orders.sql")
    assert (facts["upstream"], facts["downstream"]) == (["bronze.orders"], ["gold.totals"])
    columns: dict[str, Any] = {column["name"]: column for column in facts["columns"]}
    assert columns["amount"]["type"] == "DECIMAL(18,2)"
    assert columns["amount"]["profile"] == {"min": "1.50", "max": "2.00", "distinct_about": 2, "null_percent": pytest.approx(33.33)}
    assert columns["status"]["from"] == [{"column": "bronze.orders.status", "use": "transform"}]
    assert {to["column"] for to in columns["amount"]["to"]} == {"gold.totals.amount"}


def test_s6_personal_data_has_no_values_in_describe_nor_in_the_catalog(built: Shop) -> None:
    column = next(one for one in built.cli_json("describe", "silver.orders")["columns"] if one["name"] == "customer_id")
    assert (column["pii"], column["profile"]["min"], column["profile"]["max"]) == ("name", None, None)
    assert built.cli("docs", "build").returncode == 0
    pages = list((built.home / "published" / "catalog").iterdir())
    assert len(pages) == 6 and not any("sentinel" in page.read_text() for page in pages)


def test_describe_works_before_anything_is_built_and_says_what_it_does_not_know(shop: Shop) -> None:
    facts = shop.cli_json("describe", "totals")
    assert facts["rows"] is None and [column["name"] for column in facts["columns"]] == ["status", "orders", "amount"]
    done = shop.cli("describe", "orders")
    assert done.returncode == 2 and "try bronze.orders, silver.orders" in done.stderr
    assert shop.cli("describe", "gold.nothing").returncode == 2


class _Page(HTMLParser):
    """Tags left open, links and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closed where it is opened."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_catalog_is_whole_escaped_and_asks_no_network(built: Shop) -> None:
    built.cli("docs", "build")
    folder = built.home / "published" / "catalog"
    for path in folder.glob("*.html"):
        text, page = path.read_text(), _Page()
        page.feed(text)
        assert page.open == [] and all((folder / link).exists() for link in page.links)
        assert "<b>who" not in text and not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert "default-src 'none'" in text and "<svg" in text
    assert "&lt;b&gt;who &amp; what&lt;/b&gt;" in (folder / "bronze.orders.html").read_text()


def test_readers_of_published_do_not_see_the_catalog_and_publishing_leaves_it_alone(built: Shop) -> None:
    built.write("goldfeed.yml", "name: tiny\nsettings:\n  keep_versions: 1\n")
    built.cli("docs", "build")
    built.drop_orders("orders_2.csv", "9,c,paid,9.00,2024-01-09")
    built.run()
    assert built.ask("SELECT sum(orders) FROM totals") == [(4,)]
    assert built.cli_json("status")["versions"] == ["000002"]
    folder = built.home / "published" / "catalog"
    before = (folder / "gold.totals.html").read_text()
    assert built.cli("docs", "build").returncode == 0
    assert (folder / "gold.totals.html").read_text() != before and list(folder.parent.glob(".catalog*")) == []


def test_a_name_made_to_break_the_page_stays_text(tmp_path: Path) -> None:
    from pipeline.catalog.drawing import drawing

    drawn = drawing({"bronze.<script>": (), 'gold."x"': ("bronze.<script>",)}, None)
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn and "&quot;x&quot;" in drawn
