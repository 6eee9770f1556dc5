"""What a role may not see does not exist, and no text becomes SQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from pipeline.feed import texts
from pipeline.feed.catalog import Catalog, Table
from tests.feed.conftest import Asker
from tests.feed.published import Published


def narrow(catalog: Catalog) -> Catalog:
    """No dim_date, no totals, no names; German customers' orders only."""

    def less(table: Table) -> Table:
        condition = "customer_key IN (SELECT customer_key FROM dim_customers WHERE country = 'DE')" if "order_date" in [c.name for c in table.columns] else None
        return replace(table, columns=tuple(c for c in table.columns if c.name not in ("total", "name")), condition=condition)

    kept = catalog.without(lambda table: table.name == "dim_date")
    return replace(kept, tables={name: less(table) for name, table in kept.tables.items()}).closed()


@pytest.fixture(scope="module")
def seen(shop_feed: Published) -> Iterator[Asker]:
    with TestClient(shop_feed.app(narrow), base_url="http://feed") as client:
        yield Asker(client)


def test_s4_what_may_not_be_seen_does_not_exist(seen: Asker) -> None:
    for text in (seen.get("").text, seen.get("$metadata").text, seen.get("$metadata?$format=json").text, seen.get("fact_orders").text,
                 seen.get("dim_customers?$expand=*").text):  # fmt: skip
        assert not any(word in text for word in ("dim_date", '"total"', "O'Neil"))
    assert len(seen.rows("fact_orders")) == 40
    assert seen.get("fact_orders/$count").text == "40"


@pytest.mark.parametrize("name", ["total", "dim_date/month", "dim_date", "nothing"])
def test_s4_asking_for_the_hidden_is_as_asking_for_nothing(seen: Asker, name: str) -> None:
    def told(address: str, what: str) -> tuple[int, str]:
        status, sentence = seen.refused(address.format(quote(what)))
        return status, sentence.replace(repr(what.partition("/")[0]), "?")

    for address in ("fact_orders?$filter={} eq 1", "fact_orders?$orderby={}", "fact_orders?$apply=groupby(({}))", "fact_orders?$apply=aggregate({} with max as x)",
                    "fact_orders?$compute={} as x", "fact_orders/$count?$filter={} gt 5", "dim_customers?$filter=fact_orders/any(o: o/{} gt 5)"):  # fmt: skip
        assert told(address, name) == told(address, "zzz" + name[3:])
    if "/" not in name:
        for address in ("fact_orders?$select={}", "fact_orders?$expand={}", "fact_orders('O0001')/{}", "{}", "dim_customers?$expand=fact_orders($select={})"):
            assert told(address, name) == told(address, "zzz" + name[3:])


def test_s4_hidden_rows_are_reached_by_no_way(seen: Asker, odata: Asker) -> None:
    hidden = next(row["order_id"] for row in odata.rows("fact_orders?$filter=dim_customers/country eq 'FR'"))
    assert seen.refused(f"fact_orders('{hidden}')")[0] == 404
    assert seen.refused(f"fact_orders('{hidden}')/status")[0] == 404
    assert seen.rows(f"fact_orders?$filter=order_id eq '{hidden}'") == []
    assert seen.rows(f"fact_orders?$search={hidden}") == []
    assert seen.rows("dim_customers?$filter=country eq 'FR' and fact_orders/any()") == []
    assert all(row["fact_orders"] == [] for row in seen.rows("dim_customers?$filter=country eq 'FR'&$expand=fact_orders"))
    assert all(row["fact_orders"] is None for row in seen.rows(f"fact_lines?$filter=order_id eq '{hidden}'&$expand=fact_orders"))
    assert seen.rows("fact_orders?$apply=aggregate($count as n)") == [{"n": 40}]


def test_s4_a_token_or_an_etag_of_another_reader_opens_nothing(seen: Asker, odata: Asker) -> None:
    next_ = odata.get("fact_orders", prefer="odata.maxpagesize=9").json()["@odata.nextLink"]
    assert seen.client.get(next_).status_code == 400
    assert seen.get("dim_date", if_none_match=odata.get("dim_date").headers["etag"]).status_code == 404
    assert seen.get("fact_orders", if_none_match=odata.get("fact_orders").headers["etag"]).status_code == 200


@pytest.mark.parametrize(
    "condition",
    ["1 div (customer_key sub {}) ge 0", "1 div (customer_key sub {}) gt -5 and contains(order_id, 'O')", "quantity mod (customer_key sub {}) ge 0", "9223372036854775807 add (customer_key sub {}) gt 0",
     "9000000000000000000 mul (customer_key sub {} add 1) gt 0", "length(substring(status, 1 div (customer_key sub {}))) ge 0",
     "-(9223372036854775807 mul (customer_key sub {})) lt 0", "fact_lines/$count div (customer_key sub {}) ge 0"],
    ids=range(8),
)  # fmt: skip
def test_s4_no_error_tells_of_hidden_rows(shop_feed: Published, condition: str) -> None:
    def few(catalog: Catalog) -> Catalog:
        orders = replace(catalog.tables["fact_orders"], condition="status = 'paid' AND quantity < 5 AND customer_key <> 3")
        return replace(catalog, tables={**catalog.tables, "fact_orders": orders})

    with TestClient(shop_feed.app(few)) as client:
        told = {client.get("/odata/v4/fact_orders", params={"$filter": condition.format(key)}).status_code for key in (3, 4, 1)}  # 1 is there to be seen
    assert told in ({200}, {501})


def test_s4_pages_of_a_narrow_role_are_whole(seen: Asker) -> None:
    whole = [row["order_id"] for row in seen.rows("fact_orders")]
    page = seen.get("fact_orders", prefer="odata.maxpagesize=7").json()
    ids = [row["order_id"] for row in page["value"]]
    while "@odata.nextLink" in page:
        page = seen.client.get(page["@odata.nextLink"], headers={"prefer": "odata.maxpagesize=7"}).json()
        ids += [row["order_id"] for row in page["value"]]
    assert ids == whole


# ---------------------------------------------------------------- injection
EVIL = [
    "' OR '1'='1", "'; DROP TABLE fact_orders; --", "') OR 1=1 --", "x' UNION SELECT * FROM dim_customers --", '" OR ""="', "1; SELECT 1", "1 OR 1=1",
    "/**/", "--", "$1", "$99", "?", "\\' OR 1=1", "%27 OR 1=1", "{0}", "{}", "%s", "quantity) FROM duckdb_settings() --", "read_csv('/etc/passwd')",
    "(SELECT 1)", "quantity eq 1) UNION ALL (SELECT", "getenv('HOME')", "pragma_version()", "'||version()||'", "\x00", "${jndi:ldap://x}", "../../etc/passwd",
    "fact_orders\"; --", "0x31", "1e999", "'' or ''=''", "sleep(5)", "CASE WHEN 1=1 THEN 1 END", "\u02bc OR 1=1", "＇ OR 1=1", "'\u2028OR 1=1", ";", "'",
    "\"", "`", "[1]", "x'41'", "E'\\x27'", "current_setting('home_directory')",
]  # fmt: skip
PLACES = ["{}", "fact_orders?$filter={}", "fact_orders?$filter=status eq '{}'", "fact_orders?$orderby={}", "fact_orders?$select={}", "fact_orders('{}')",
          "fact_orders?$skiptoken={}", "fact_orders?$format={}", "@{}/fact_orders"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_s3_injection_changes_and_reads_nothing(odata: Asker, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = texts.Texts.__init__

    def watched(self: texts.Texts, cursor: Any, sql: str, values: Any) -> None:
        asked.append(sql)
        real(self, cursor, sql, values)

    monkeypatch.setattr(texts.Texts, "__init__", watched)
    for evil in EVIL:
        answer = odata.get(place.format(quote(evil, safe="")))
        harmless = answer.status_code == 200 and (answer.json()["value"] == [] or "orderby" in place)  # a constant orders nothing
        assert harmless or answer.status_code in (400, 404, 406, 410, 501), (evil, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"code", "message"}
        assert not any(evil in sql for sql in asked if len(evil) > 6), evil
    assert odata.get("fact_orders/$count").text == "200"


def test_s3_values_that_look_like_sql_are_found_as_they_are(odata: Asker) -> None:
    assert odata.ids("name eq 'O''Neil'", "dim_customers", "customer_key") == [1, 6]
    assert odata.ids("concat(name, ''' OR 1=1 --') eq 'plain'' OR 1=1 --'", "dim_customers", "customer_key") == [4, 9]
