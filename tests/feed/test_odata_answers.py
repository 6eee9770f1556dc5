"""What else the feed answers: keys, grouping, formats, packing, pins, batches."""

from __future__ import annotations

import gzip
import json
from datetime import date
from typing import Any

import pytest
import zstandard
from starlette.testclient import TestClient

from pipeline.published import write_state
from tests.feed.conftest import Asker
from tests.feed.published import SHOP, Published


# ---------------------------------------------------------------- addresses
def test_one_row_by_its_key(odata: Asker) -> None:
    body = odata.get("fact_orders('O0001')").json()
    assert body["@odata.context"] == "http://feed/odata/v4/$metadata#fact_orders/$entity"
    assert body["order_id"] == "O0001"
    for address in ("fact_orders(order_id='O0001')", "fact_orders(@k)?@k='O0001'", "fact_orders(%27O0001%27)"):
        assert odata.get(address).json()["order_id"] == "O0001"
    assert odata.get("fact_lines(order_id='O0001',line=2)?$select=product").json()["product"] == "P4"
    assert odata.get("fact_lines(line=2,order_id='O0001')/product/$value").text == "P4"


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("fact_orders('nobody')", 404), ("nothing", 404), ("fact_orders/nothing", 404), ("fact_orders('O0001')/nothing", 404), ("fact_orders(1)", 400),
        ("fact_orders()", 400), ("fact_orders('a','b')", 400), ("fact_lines('O0001')", 400), ("fact_lines(order_id='O0001')", 400),
        ("fact_orders(total=1)", 400), ("fact_orders('O0001')?$filter=true", 400), ("fact_orders/$count?$top=1", 400), ("$metadata?$top=1", 400),
        ("fact_orders('x')/dim_customers", 404), ("dim_customers(99)/fact_orders", 404), ("dim_customers(99)/fact_orders/$count", 404),
        ("fact_orders('O0001')/dim_customers(1)", 400), ("@000001x/fact_orders", 404), ("@999999/fact_orders", 410), ("fact_orders('O0001')/total/$count", 404),
        ("fact_orders?$skiptoken=x", 400), ("fact_orders(null)", 400), ("fact_orders('O%ff')", 400), ("fact_orders('%00')", 400),
    ],
    ids=lambda value: str(value).replace("/", "|").replace("%", "~"),
)  # fmt: skip
def test_addresses_that_lead_nowhere(odata: Asker, address: str, status: int) -> None:
    assert odata.refused(address)[0] == status


def test_along_navigation_properties(odata: Asker) -> None:
    assert odata.get("fact_orders('O0001')/dim_customers/country/$value").text == "GB"
    assert odata.get("fact_orders('O0001')/dim_customers").json()["customer_key"] == 7
    rows = odata.rows("dim_customers(7)/fact_orders?$filter=quantity eq 2&$orderby=total desc&$select=order_id,customer_key")
    assert rows and all(row["customer_key"] == 7 for row in rows)
    assert odata.get("dim_customers(7)/fact_orders('O0001')/fact_lines/$count").text == "3"
    assert odata.refused("dim_customers(8)/fact_orders('O0001')")[0] == 404


# ---------------------------------------------------------------- $apply and $compute
def test_grouping_and_aggregates(odata: Asker) -> None:
    rows = odata.rows(
        "fact_orders?$apply=filter(quantity gt 1)/groupby((status),aggregate($count as orders,total with sum as money,quantity with max as most,"
        "score with average as mean,customer_key with countdistinct as customers,order_date with min as first))&$orderby=status"
    )
    whole = [row for row in odata.rows("fact_orders") if row["quantity"] > 1]
    for row in rows:
        mine = [order for order in whole if order["status"] == row["status"]]
        scores = [order["score"] for order in mine if order["score"] is not None]
        assert row["orders"] == len(mine)
        assert row["money"] == pytest.approx(sum(order["total"] for order in mine))
        assert row["most"] == max(order["quantity"] for order in mine)
        assert row["mean"] == pytest.approx(sum(scores) / len(scores))
        assert row["customers"] == len({order["customer_key"] for order in mine})
        assert row["first"] == min(order["order_date"] for order in mine)
    assert [row["status"] for row in rows] == [None, "created", "paid", "shipped"]


def test_groups_along_navigation_then_filter_order_and_pages(odata: Asker) -> None:
    address = (
        "fact_orders?$apply=groupby((dim_customers/country,status),aggregate(total mul 2 with sum as double))"
        "&$filter=double gt 0&$orderby=double desc&$select=dim_customers,double"
    )
    body = odata.get(address.replace("&$select=dim_customers,double", ""), prefer="odata.maxpagesize=3").json()
    assert body["@odata.context"].endswith("#fact_orders(dim_customers/country,status,double)")
    rows = body["value"]
    while "@odata.nextLink" in body:
        body = odata.client.get(body["@odata.nextLink"], headers={"prefer": "odata.maxpagesize=3"}).json()
        rows += body["value"]
    assert [row["double"] for row in rows] == sorted((row["double"] for row in rows), reverse=True)
    assert {row["dim_customers"]["country"] for row in rows} == {"DE", "FR", "GB", "IT", None}
    assert sum(row["double"] for row in rows) == pytest.approx(2 * sum(row["total"] for row in odata.rows("fact_orders")))


def test_aggregate_of_all_and_groups_of_groups(odata: Asker) -> None:
    assert odata.rows("fact_orders?$apply=aggregate($count as n,quantity with sum as pieces)") == [{"n": 200, "pieces": 993}]
    twice = "groupby((status,quantity),aggregate($count as n))/groupby((status),aggregate(n with max as most))/compute(most add 1 as more)"
    assert odata.rows(f"fact_orders?$apply={twice}&$orderby=status&$top=1") == [{"status": None, "most": 6, "more": 7}]
    assert odata.get("fact_orders/$count?$apply=groupby((status))").text == "4"
    assert odata.get("fact_orders?$apply=groupby((status))&$count=true").json()["@odata.count"] == 4


def test_apply_is_refused_where_it_would_guess(odata: Asker) -> None:
    for text, status in (("groupby((nothing))", 400), ("aggregate(status with sum as x)", 400), ("groupby((status,status))", 400),
                         ("aggregate(total with median as x)", 501), ("groupby((rollup($all,status)))", 501), ("nothing(x)", 400),
                         ("filter(total gt 1", 400), ("aggregate(total with sum as x,total with max as x)", 400), ("concat(identity,identity)", 501)):  # fmt: skip
        assert odata.refused(f"fact_orders?$apply={text}")[0] == status, text


def test_compute(odata: Asker) -> None:
    rows = odata.rows("fact_orders?$compute=total mul quantity as money,year(order_date) as y&$filter=money gt 80&$orderby=money desc&$select=money,y")
    assert rows == sorted(rows, key=lambda row: -row["money"])
    assert rows and all(row["money"] > 80 and row["y"] == 2024 for row in rows)
    assert odata.get("fact_orders('O0001')?$compute=quantity add 1 as more&$select=more").json()["more"] == 3
    assert odata.refused("fact_orders?$compute=quantity add 1 as total")[0] == 400


# ---------------------------------------------------------------- formats
def test_metadata_none_minimal_full(odata: Asker) -> None:
    assert odata.get("fact_orders('O0001')?$format=application/json;odata.metadata=none").json().keys() == set(odata.rows("fact_orders")[0])
    row = odata.get("fact_lines?$top=1", accept="application/json;odata.metadata=full").json()["value"][0]
    assert row["@odata.type"] == "#goldfeed.fact_lines"
    assert row["@odata.id"] == "fact_lines(order_id='O0000',line=1)"
    assert row["fact_orders@odata.navigationLink"] == "fact_lines(order_id='O0000',line=1)/fact_orders"
    assert (row["price@odata.type"], row["line@odata.type"]) == ("#Decimal", "#Int16")
    assert odata.get(row["@odata.id"]).json()["price"] == row["price"]


def test_ieee754compatible_writes_exact_numbers_as_texts(odata: Asker) -> None:
    answer = odata.get("fact_orders('O0001')", accept="application/json;IEEE754Compatible=true")
    assert "IEEE754Compatible=true" in answer.headers["content-type"]
    assert (answer.json()["total"], answer.json()["quantity"]) == ("0.37", 2)


def test_f6_values_come_as_they_are(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish({"t": {"key": ["k"], "sql": """
        SELECT * FROM (VALUES (1, 'NaN'::DOUBLE, 12345678901234567890.12::DECIMAL(38,2), TIMESTAMP '1969-12-31 23:59:59.000001', DATE '0001-01-01', 'a"\\
b	' || chr(1) || chr(8232)), (2, '-inf', -0.01, TIMESTAMP '9999-12-31 23:59:59.999999', DATE '9999-12-31', ''), (3, 1e300, NULL, NULL, 'infinity', NULL))
        t(k, d, m, "at", day, s)"""}})  # fmt: skip
    with TestClient(made.app()) as client:
        text = client.get("/odata/v4/t").text
        one, two, three = json.loads(text)["value"]
        assert one == {"k": 1, "d": "NaN", "m": 12345678901234567890.12, "at": "1969-12-31T23:59:59.000001Z", "day": "0001-01-01", "s": 'a"\\\nb\t\x01\u2028'}
        assert '"m":12345678901234567890.12' in text
        assert (two["d"], two["m"], two["at"], two["s"]) == ("-INF", -0.01, "9999-12-31T23:59:59.999999Z", "")
        assert three == {"k": 3, "d": 1e300, "m": None, "at": None, "day": None, "s": None}


def test_f6_what_one_version_has_no_null_in_the_next_may_have(tmp_path: Any) -> None:
    made, columns = Published(tmp_path), "1 AS k, {} AS n, CAST({} AS VARCHAR) AS s, CAST({} AS DATE) AS day, CAST({} AS TIMESTAMP) AS \"at\""
    for values in (("7", "'a'", "'2024-01-31'", "'2024-01-31 10:00:00'"), ("NULL::INTEGER", "NULL", "NULL", "NULL"), ("7", "'a'", "'-infinity'", "'infinity'")):
        made.publish({"t": {"key": ["k"], "sql": f"SELECT {columns.format(*values)}"}})
    with TestClient(made.app()) as client:
        rows = [client.get(f"/odata/v4/@00000{version}/t").json()["value"] for version in (1, 2, 3)]
        types = {client.get(f"/odata/v4/@00000{version}/$metadata").text for version in (1, 2, 3)}
    assert rows[0] == [{"k": 1, "n": 7, "s": "a", "day": "2024-01-31", "at": "2024-01-31T10:00:00Z"}]
    assert rows[1] == [{"k": 1, "n": None, "s": None, "day": None, "at": None}]
    assert rows[2] == [{"k": 1, "n": 7, "s": "a", "day": None, "at": None}]
    assert len(types) == 1  # what a version happens to hold is no matter of its types


def test_a_page_of_many_batches_is_whole_and_in_order(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish({"t": {"key": ["k"], "sql": "SELECT i AS k FROM range(60000) t(i)"}})
    with TestClient(made.app()) as client:
        first = client.get("/odata/v4/t").json()
        second = client.get(first["@odata.nextLink"]).json()
    assert [row["k"] for row in first["value"] + second["value"]] == [*range(60_000)]
    assert len(first["value"]) == 50_000 and "@odata.nextLink" not in second


def test_gzip_and_zstd(odata: Asker) -> None:
    plain = odata.get("fact_orders").content
    with odata.client.stream("GET", "/odata/v4/fact_orders", headers={"accept-encoding": "gzip"}) as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain
        assert answer.headers["content-encoding"] == "gzip"
    with odata.client.stream("GET", "/odata/v4/fact_orders", headers={"accept-encoding": "br, zstd, gzip;q=0.5"}) as answer:
        assert zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(answer.iter_raw())) == plain
    assert "content-encoding" not in odata.get("fact_orders").headers


def test_etag_and_304_by_version_and_address(odata: Asker) -> None:
    first = odata.get("fact_orders?$top=1")
    again = odata.get("fact_orders?$top=1", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["goldfeed-version"] == "000001"
    assert odata.get("fact_orders?$top=2", if_none_match=first.headers["etag"]).status_code == 200
    assert "etag" not in odata.get("fact_orders?$filter=ordered_at lt now()").headers


def test_head_is_get_without_the_body(odata: Asker) -> None:
    for address in ("", "$metadata", "fact_orders?$top=1", "fact_orders('O0001')", "fact_orders/$count"):
        head, get = odata.client.head(f"/odata/v4/{address}"), odata.client.get(f"/odata/v4/{address}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers.get("content-length") == get.headers.get("content-length"), address
    assert odata.client.head("/odata/v4/fact_orders?$filter=x eq 1").status_code == 400


def test_prefer_maxpagesize_is_applied_and_told(odata: Asker) -> None:
    answer = odata.get("fact_orders", prefer='respond-async, odata.maxpagesize="7"')
    assert answer.headers["preference-applied"] == "odata.maxpagesize=7"
    assert len(answer.json()["value"]) == 7
    assert "preference-applied" not in odata.get("fact_orders", prefer="odata.maxpagesize=x").headers


# ---------------------------------------------------------------- versions
def newer(shop: dict[str, Any]) -> dict[str, Any]:
    return shop | {"fact_orders": shop["fact_orders"] | {"sql": shop["fact_orders"]["sql"].replace("range(200)", "range(150)")}}


def test_f1_pages_stay_on_their_version_and_pins_agree(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish(SHOP)
    with TestClient(made.app()) as client:
        page = client.get("/odata/v4/fact_orders", headers={"prefer": "odata.maxpagesize=90"}).json()
        made.publish(newer(SHOP))
        ids = [row["order_id"] for row in page["value"]]
        while "@odata.nextLink" in page:
            answer = client.get(page["@odata.nextLink"], headers={"prefer": "odata.maxpagesize=90"})
            assert answer.headers["goldfeed-version"] == "000001"
            page = answer.json()
            ids += [row["order_id"] for row in page["value"]]
        assert len(ids) == 200
        assert client.get("/odata/v4/fact_orders/$count").text == "150"
        pinned = client.get("/odata/v4/@000001/fact_orders?$count=true", headers={"prefer": "odata.maxpagesize=10"}).json()
        assert pinned["@odata.count"] == 200
        assert "/odata/v4/@000001/fact_orders?" in pinned["@odata.nextLink"]
        assert pinned["@odata.context"] == "http://testserver/odata/v4/@000001/$metadata#fact_orders"
        assert client.get("/odata/v4/@000001/").json()["value"]


def test_a_version_that_is_gone_is_410_and_says_what_to_do(tmp_path: Any) -> None:
    import shutil

    made = Published(tmp_path)
    made.publish(SHOP)
    with TestClient(made.app()) as client:
        next_ = client.get("/odata/v4/fact_orders", headers={"prefer": "odata.maxpagesize=9"}).json()["@odata.nextLink"]
        made.publish(SHOP)
        shutil.rmtree(made.settings.published / "000001")
        answer = client.get(next_)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "VersionGone")
        assert "start again" in answer.json()["error"]["message"]


def test_tokens_are_good_for_their_own_address_only(odata: Asker) -> None:
    next_ = odata.get("fact_orders?$orderby=total", prefer="odata.maxpagesize=9").json()["@odata.nextLink"]
    token = next_.partition("$skiptoken=")[2]
    assert odata.client.get(next_).status_code == 200
    for address in (f"fact_lines?$skiptoken={token}", f"fact_orders?$skiptoken={token}", f"fact_orders?$orderby=total&$skiptoken={token[:-2]}AA",
                    f"fact_orders?$orderby=total&$filter=true&$skiptoken={token}"):  # fmt: skip
        assert odata.refused(address)[0] == 400


def test_rows_whose_declared_key_is_not_one_are_still_paged_once_each(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish({
        "twice": {"key": ["k"], "sql": "SELECT i % 5 AS k, i AS n FROM range(40) t(i)"},
        "unsorted": {"key": ["k"], "sql": "SELECT i * 7 % 40 AS k, i AS n FROM range(40) t(i)"},
    })  # fmt: skip
    with TestClient(made.app()) as client:
        for table in ("twice", "unsorted"):
            page = client.get(f"/odata/v4/{table}", headers={"prefer": "odata.maxpagesize=7"}).json()
            rows = page["value"]
            while "@odata.nextLink" in page:
                page = client.get(page["@odata.nextLink"], headers={"prefer": "odata.maxpagesize=7"}).json()
                rows += page["value"]
            assert sorted(row["n"] for row in rows) == list(range(40))
            assert rows[0].keys() == {"k", "n"}


def test_a_link_to_a_key_that_is_not_unique_is_refused_before_rows_double(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish({
        "dim": {"key": ["k"], "sql": "SELECT i % 5 AS k, i AS n FROM range(10) t(i)"},
        "fact": {"key": ["id"], "foreign_keys": {"k": "gold.dim.k"}, "sql": "SELECT i AS id, i % 5 AS k FROM range(9) t(i)"},
    })  # fmt: skip
    with TestClient(made.app()) as client:
        for query in ("$filter=dim/n gt 1", "$orderby=dim/n", "$expand=dim", "$apply=groupby((dim/n))", "$compute=dim/n as n"):
            assert client.get(f"/odata/v4/fact?{query}").status_code == 501
        assert client.get("/odata/v4/fact/$count?$filter=dim/n gt 1").status_code == 501
        assert len(client.get("/odata/v4/dim?$expand=fact&$orderby=n").json()["value"]) == 10


def test_s5_pages_are_smaller_where_rows_bring_rows(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish({
        "dim": {"key": ["k"], "sql": "SELECT i AS k FROM range(1500) t(i)"},
        "fact": {"key": ["id"], "foreign_keys": {"k": "gold.dim.k"}, "sql": "SELECT i AS id, i % 1500 AS k FROM range(150000) t(i)"},
    })  # fmt: skip
    with TestClient(made.app()) as client:
        sizes = [
            len(client.get(f"/odata/v4/{address}").json()["value"])
            for address in ("fact?$expand=dim&$top=1500", "dim?$expand=fact($top=1)", "fact?$expand=dim($expand=fact($top=1))", "dim?$expand=*", "dim")
        ]
        assert sizes == [1500, 500, 500, 500, 1500]


# ---------------------------------------------------------------- $batch
def test_batch_in_json(odata: Asker) -> None:
    asked = [
        {"id": "1", "method": "get", "url": "fact_orders?$top=1&$select=order_id"}, {"id": "2", "method": "GET", "url": "/odata/v4/fact_orders/$count"},
        {"id": "3", "method": "get", "url": "fact_orders?$filter=nothing%20eq%201"}, {"id": "4", "method": "delete", "url": "fact_orders('O0001')"},
        {"id": "5", "method": "get", "url": "dim_customers(1)", "dependsOn": ["3"]}, {"id": "6", "method": "get", "url": "dim_customers(1)/name", "dependsOn": ["1"]},
        {"id": "7", "method": "get", "url": "http://elsewhere/x"}, {"id": "8", "method": "get", "url": "$metadata"},
    ]  # fmt: skip
    answer = odata.client.post("/odata/v4/$batch", json={"requests": asked})
    found = {item["id"]: item for item in answer.json()["responses"]}
    assert [item["status"] for item in found.values()] == [200, 200, 400, 405, 424, 200, 400, 200]
    assert found["1"]["body"]["value"] == [{"order_id": "O0000"}]
    assert found["1"]["headers"]["content-type"].startswith("application/json")
    assert found["2"]["body"] == "200"
    assert "nothing" in found["3"]["body"]["error"]["message"]
    assert "EntityType" in found["8"]["body"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400), (b"[]", "application/json", 400), (b'{"requests":[1]}', "application/json", 400), (b"x", "multipart/mixed", 501),
        (b'{"requests":[{"id":"1","method":"get","url":"x"},{"id":"1","method":"get","url":"x"}]}', "application/json", 400),
        (b'{"requests":[]}' + b" " * 1_000_001, "application/json", 413), (b'{"requests":[]}', "application/json", 200),
    ],
    ids=["cut", "list", "number", "multipart", "same-id", "large", "empty"],
)  # fmt: skip
def test_batches_that_are_none(odata: Asker, body: bytes, kind: str, status: int) -> None:
    answer = odata.client.post("/odata/v4/$batch", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()


def test_dates_of_every_month_compare(odata: Asker) -> None:
    for month in (1, 2):
        assert {date.fromisoformat(row["order_date"]).month for row in odata.rows(f"fact_orders?$filter=month(order_date) eq {month}")} == {month}


# ---------------------------------------------------------------- the feed's own tables
def test_f3_freshness_and_what_is_withheld_are_tables_of_the_feed(tmp_path: Any) -> None:
    made = Published(tmp_path)
    made.publish(SHOP)
    run = {"run_id": 7, "flow": "all", "status": "withheld", "ended_at": "2024-05-02T06:00:00Z", "version": None}
    tables = {"fact_orders": {"built_at": "2024-05-01T05:00:00Z", "last_good_run": None, "checks_failed": 2, "rows_quarantined": 3}}
    write_state(made.settings.published, {"last_run": run, "last_good_run": None, "withheld": run, "tables": tables})
    with TestClient(made.app()) as client:
        names = [item["name"] for item in client.get("/odata/v4/").json()["value"]]
        assert names[-2:] == ["_feed", "_freshness"]
        (feed,) = client.get("/odata/v4/_feed").json()["value"]
        assert (feed["version"], feed["published_at"], feed["contract_status"]) == ("000001", "2024-05-02T06:00:00Z", "withheld")
        rows = client.get("/odata/v4/_freshness?$orderby=checks_failed desc&$filter=version eq '000001'").json()["value"]
        assert len(rows) == len(SHOP)
        assert rows[0] == {
            "table": "fact_orders", "version": "000001", "built_at": "2024-05-01T05:00:00Z", "data_through": "2024-02-19",
            "last_good_run": None, "checks_failed": 2, "rows_quarantined": 3,
        }  # fmt: skip
        assert client.get("/odata/v4/_freshness('dim_date')/data_through/$value").text == "2024-02-29"
        assert client.get("/odata/v4/_freshness/$count").text == "5"
        assert "etag" not in client.get("/odata/v4/_freshness").headers
        (whole,) = client.get("/odata/v4/_feed?$expand=tables($orderby=checks_failed desc)").json()["value"]
        assert whole["tables"] == rows
        assert client.get("/odata/v4/_freshness('dim_date')/feed/contract_status/$value").text == "withheld"
