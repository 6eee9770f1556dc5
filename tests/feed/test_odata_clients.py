"""The feed as its readers ask: Power Query's requests, and clients that others wrote, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
from odata import ODataService

from pipeline.feed.work import Limits
from tests.feed.published import Published, served

# What Power Query's OData.Feed sends
POWER_QUERY = {
    "Accept": "application/json;odata.metadata=minimal;q=1.0,application/json;odata=minimalmetadata;q=0.9,application/atomsvc+xml;q=0.8,"
    "application/atom+xml;q=0.8,application/xml;q=0.7,text/plain;q=0.7",
    "OData-MaxVersion": "4.0", "MaxDataServiceVersion": "3.0", "OData-Version": "4.0", "User-Agent": "Microsoft.Data.Mashup",
    "Accept-Encoding": "gzip, deflate", "Prefer": "odata.include-annotations=*",
}  # fmt: skip
JANUARY = "order_date%20ge%202024-01-01T00:00:00Z%20and%20order_date%20lt%202024-02-01T00:00:00Z"


@pytest.fixture(scope="module")
def root(shop_feed: Published) -> Iterator[str]:
    with served(shop_feed.app()) as address:
        yield f"{address}/odata/v4/"


@pytest.fixture
def power_query(root: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=root, headers=POWER_QUERY) as client:
        yield client


def test_power_query_finds_the_tables_and_their_types(power_query: httpx.Client) -> None:
    service = power_query.get("")
    assert service.headers["odata-version"] == "4.0"
    assert "fact_orders" in [item["name"] for item in service.json()["value"]]
    metadata = power_query.get("$metadata", headers={"Accept": "application/xml"})
    assert metadata.headers["content-type"].startswith("application/xml")
    assert power_query.get("$metadata").headers["content-type"].startswith("application/xml")


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (f"$filter={JANUARY}&$select=order_id,total", 124),
        ("$top=1000", 200),
        ("$filter=status%20eq%20'paid'&$orderby=total%20desc,order_id&$top=10", 10),
        ("$filter=status%20eq%20null", 50),
        ("$filter=status%20ne%20null%20and%20not%20(status%20eq%20'paid')", 100),
        ("$filter=startswith(order_id,'O01')&$select=order_id", 100),
        ("$filter=contains(tolower(status),'a')%20or%20quantity%20eq%201", 111),
        ("$filter=(quantity%20eq%202%20or%20quantity%20eq%203)%20and%20total%20ge%205M", None),
        ("$apply=groupby((status),aggregate(total%20with%20sum%20as%20money))", 4),
        ("$expand=dim_customers($select=country)&$select=order_id&$top=5", 5),
        ("$skip=195&$top=1000", 5),
    ],
    ids=["month", "preview", "sorted", "null", "not-null", "text-from-start", "text", "decimal-suffix", "group", "expand", "skip"],
)
def test_power_query_folds(power_query: httpx.Client, query: str, rows: int | None) -> None:
    answer = power_query.get(f"fact_orders?{query}")
    if rows is None:
        assert answer.status_code == 400  # the suffix M is of OData 3: Power Query then asks without it
        return
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["value"]) == rows


def test_power_query_counts(power_query: httpx.Client) -> None:
    assert power_query.get("fact_orders/$count").text == "200"
    assert power_query.get(f"fact_orders/$count?$filter={JANUARY}").text == "124"
    assert power_query.get("fact_orders?$count=true&$top=0").json() == {
        "@odata.context": f"{power_query.base_url}$metadata#fact_orders", "@odata.count": 200, "value": [],
    }  # fmt: skip


def test_power_query_is_told_with_501_what_it_must_do_itself(power_query: httpx.Client) -> None:
    for query in ("$filter=matchesPattern(status,'x')", "$apply=concat(identity,identity)"):
        answer = power_query.get(f"fact_orders?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotImplemented")


def test_python_odata_reads_metadata_filters_orders_and_pages(root: str) -> None:
    service = ODataService(root, reflect_entities=True, quiet_progress=True)
    orders = service.entities["fact_orders"]
    query = service.query(orders).filter(orders.quantity > 3).filter(orders.status == "paid").order_by(orders.total.desc())
    found = list(query.limit(5))
    assert [row.order_id for row in found] == ["O0053", "O0161", "O0025", "O0133", "O0105"]
    assert (str(found[0].total), found[0].ordered_at.isoformat()) == ("9.61", "2024-01-02T03:23:00.500000+00:00")
    with requests.Session() as session:
        session.headers["Prefer"] = "odata.maxpagesize=30"
        paged = ODataService(root, reflect_entities=True, quiet_progress=True, session=session)
        assert len(list(paged.query(paged.entities["fact_orders"]).all())) == 200


@pytest.mark.slow
def test_a_client_from_npm_filters_orders_counts_and_pages(root: str, tmp_path: Path) -> None:
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "@odata/client@2.21.10"], cwd=tmp_path, check=True, timeout=300)
    script = Path(__file__).with_name("client.mjs")
    done = subprocess.run(["node", str(script), root], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"found": ["O0053", "O0161", "O0025", "O0133", "O0105"], "one": 0.37, "count": 33, "rows": 200}


def test_a_reader_that_goes_away_gives_its_turn_back(tmp_path: Path) -> None:
    made = Published(tmp_path)
    made.publish({"large": {"key": ["k"], "sql": "SELECT i AS k, repeat('x', 200) AS text FROM range(300000) t(i)"}})
    with served(made.app(limits=Limits(at_once=1, patience=10))) as address:
        with httpx.Client(base_url=address) as client, client.stream("GET", "/odata/v4/large", headers={"Prefer": "odata.maxpagesize=300000"}) as answer:
            assert next(answer.iter_raw())
        for _ in range(3):
            assert httpx.get(f"{address}/odata/v4/large/$count", timeout=20).text == "300000"


@pytest.mark.parametrize("publications", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_f1_readers_during_publications_see_one_version_each(tmp_path: Path, publications: int) -> None:
    made = Published(tmp_path)
    tables = {"t": {"key": ["k"], "sql": "SELECT i AS k, {} AS version FROM range(3000) t(i)"}}

    def publish(number: int) -> None:
        made.publish({"t": {**tables["t"], "sql": tables["t"]["sql"].format(number)}})

    publish(1)
    seen: list[set[int]] = []
    over = threading.Event()
    with served(made.app()) as address:

        def read() -> None:
            with httpx.Client(headers={"Prefer": "odata.maxpagesize=500"}, timeout=30) as client:
                while not over.is_set():
                    where, found, rows = f"{address}/odata/v4/t", set[int](), 0
                    while where:
                        answer = client.get(where)
                        assert answer.status_code == 200, answer.text
                        body = answer.json()
                        found |= {row["version"] for row in body["value"]} | {int(answer.headers["goldfeed-version"])}
                        rows, where = rows + len(body["value"]), body.get("@odata.nextLink", "")
                    assert rows == 3000
                    seen.append(found)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(2, 2 + publications):
            publish(number)
        over.set()
        for reader in readers:
            reader.join()
    assert seen and all(len(found) == 1 for found in seen)
