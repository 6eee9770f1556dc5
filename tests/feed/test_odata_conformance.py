"""One test a clause of OData 4.0 Part 1, 13.1.1 (minimal) and 13.1.2 (intermediate); docs/odata.md has the table."""

from __future__ import annotations

import pytest

from tests.feed.conftest import Asker


# ---------------------------------------------------------------- minimal
def test_minimal_1_service_document_at_the_root(odata: Asker) -> None:
    for address in ("/odata/v4/", "/odata/v4"):
        body = odata.client.get(address).json()
        assert body["@odata.context"] == "http://feed/odata/v4/$metadata"
        assert {"name": "fact_orders", "kind": "EntitySet", "url": "fact_orders"} in body["value"]


def test_minimal_2_data_in_the_json_format(odata: Asker) -> None:
    answer = odata.get("fact_orders?$top=1")
    assert answer.headers["content-type"] == "application/json;odata.metadata=minimal;odata.streaming=true;charset=utf-8"
    assert answer.json() == {
        "@odata.context": "http://feed/odata/v4/$metadata#fact_orders",
        "value": [
            {
                "order_id": "O0000", "customer_key": 0, "order_date": "2024-01-01", "ordered_at": "2024-01-01T00:00:00Z",
                "status": "created", "quantity": 1, "total": 0.0, "is_gift": True, "score": 0.0,
            }
        ],
    }  # fmt: skip


def test_minimal_3_server_driven_paging(odata: Asker) -> None:
    page = odata.get("fact_orders", prefer="odata.maxpagesize=150").json()
    assert len(page["value"]) == 150
    rest = odata.client.get(page["@odata.nextLink"]).json()
    assert [row["order_id"] for row in rest["value"]] == [f"O{number:04}" for number in range(150, 200)]
    assert "@odata.nextLink" not in rest


@pytest.mark.parametrize("address", ["", "$metadata", "fact_orders", "fact_orders/$count", "fact_orders('O0001')", "nothing"])
def test_minimal_4_odata_version_in_every_answer(odata: Asker, address: str) -> None:
    assert odata.get(address).headers["OData-Version"] == "4.0"


def test_minimal_5_1_accept(odata: Asker) -> None:
    assert odata.get("fact_orders", accept="application/json;odata.metadata=none").json().keys() == {"value"}
    assert odata.get("fact_orders", accept="text/html;q=0.9, application/*;q=0.1").status_code == 200
    assert odata.refused("fact_orders", accept="application/atom+xml")[0] == 406
    assert odata.refused("fact_orders", accept="application/json;q=0")[0] == 406
    assert odata.get("fact_orders?$format=json", accept="application/atom+xml").status_code == 200
    assert odata.refused("fact_orders?$format=atom")[0] == 406


def test_minimal_5_2_odata_maxversion(odata: Asker) -> None:
    for version in ("4.0", "4.01"):
        assert odata.get("fact_orders?$top=1", OData_MaxVersion=version).status_code == 200
    assert odata.refused("fact_orders", OData_MaxVersion="3.0")[0] == 400


def test_minimal_6_custom_options_and_headers_are_no_obstacle(odata: Asker) -> None:
    assert len(odata.rows("fact_orders?$top=1&mine=1&debug", X_Mine="1")) == 1


def test_minimal_7_options_are_parsed_or_refused_with_501(odata: Asker) -> None:
    assert odata.refused("fact_orders?$deltatoken=1")[0] == 501
    assert odata.refused("fact_orders?$unknown=1")[0] == 400
    assert odata.refused("fact_orders?$top=x")[0] == 400
    assert odata.refused("fact_orders?$top=1&$top=2")[0] == 400


def test_minimal_8_values_are_of_the_types_in_metadata(odata: Asker) -> None:
    (row,) = odata.rows("fact_orders?$filter=order_id eq 'O0003'")
    assert isinstance(row["quantity"], int) and isinstance(row["total"], float) and row["status"] is None


def test_minimal_9_nothing_but_rows_needs_to_be_understood(odata: Asker) -> None:
    for row in odata.rows("fact_orders?$top=5"):
        assert not [name for name in row if "@" in name]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_minimal_10_nothing_can_be_changed(odata: Asker, method: str) -> None:
    answer = odata.client.request(method, "/odata/v4/fact_orders")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "MethodNotAllowed")


def test_minimal_12_expand(odata: Asker) -> None:
    rows = odata.rows("fact_orders?$top=2&$expand=dim_customers($select=country)&$select=order_id")
    assert rows == [
        {"order_id": "O0000", "dim_customers": {"country": "DE"}},
        {"order_id": "O0001", "dim_customers": {"country": "GB"}},
    ]


def test_minimal_13_metadata_document(odata: Asker) -> None:
    assert b"<EntityType" in odata.get("$metadata").content


# ---------------------------------------------------------------- intermediate
def test_intermediate_2_unsupported_functionality_is_501(odata: Asker) -> None:
    for address in ("fact_orders?$filter=geo.length(x) eq 1", "fact_orders?$apply=topcount(2,total)", "$crossjoin(a,b)",
                    "fact_orders('O0001')/$ref", "fact_orders?$expand=dim_customers/$ref"):  # fmt: skip
        status, sentence = odata.refused(address)
        assert status == 501, address
        assert "not supported" in sentence


def test_intermediate_3_select(odata: Asker) -> None:
    assert odata.rows("fact_orders?$top=1&$select=total, order_id") == [{"order_id": "O0000", "total": 0.0}]
    assert len(odata.rows("fact_orders?$top=1&$select=*")[0]) == 9
    answer = odata.get("fact_orders?$top=1&$select=order_id,total").json()
    assert answer["@odata.context"].endswith("$metadata#fact_orders(order_id,total)")
    assert odata.refused("fact_orders?$select=nothing")[0] == 400


def test_intermediate_5_top(odata: Asker) -> None:
    assert [len(odata.rows(f"fact_orders?$top={top}")) for top in (0, 1, 7, 200, 1000)] == [0, 1, 7, 200, 200]


def test_intermediate_6_value_of_a_property(odata: Asker) -> None:
    answer = odata.get("fact_orders('O0001')/total/$value")
    assert (answer.text, answer.headers["content-type"]) == ("0.37", "text/plain;charset=utf-8")
    assert odata.get("fact_orders('O0001')/total").json() == {
        "@odata.context": "http://feed/odata/v4/$metadata#fact_orders('O0001')/total", "value": 0.37,
    }  # fmt: skip
    assert odata.get("fact_orders('O0003')/status/$value").status_code == 204
    assert odata.get("fact_orders('O0003')/status").status_code == 204
    assert odata.refused("fact_orders('nobody')/status")[0] == 404


def test_intermediate_7_1_filter_with_eq_and_ne(odata: Asker) -> None:
    assert len(odata.ids("status eq 'paid'")) + len(odata.ids("status ne 'paid'")) == 200


def test_intermediate_7_2_aliases_in_filter(odata: Asker) -> None:
    rows = odata.rows("fact_orders?$filter=quantity eq @q and status in @s&@q=2&@s=('paid','created')&$select=quantity,status")
    assert {(row["quantity"], row["status"]) for row in rows} == {(2, "paid"), (2, "created")}


def test_intermediate_7_3_unsupported_operators_are_501(odata: Asker) -> None:
    assert odata.refused("fact_orders?$filter=status has 'x'")[0] == 501


def test_intermediate_7_4_unsupported_functions_are_501(odata: Asker) -> None:
    assert odata.refused("fact_orders?$filter=matchesPattern(status,'x')")[0] == 501


def test_intermediate_7_5_filter_on_expanded_entities(odata: Asker) -> None:
    (row,) = odata.rows("dim_customers?$filter=customer_key eq 1&$expand=fact_orders($filter=quantity eq 2;$select=quantity)")
    assert row["fact_orders"] and all(order == {"quantity": 2} for order in row["fact_orders"])


def test_intermediate_11_search(odata: Asker) -> None:
    def found(text: str) -> list[int]:
        return [row["customer_key"] for row in odata.rows(f"dim_customers?$search={text}&$select=customer_key")]

    assert found("ann_A") == [0, 5]
    assert found('"zoë %5C%22z" OR %25') == [2, 3, 7, 8]
    assert found("plain C4") == [4]
    assert found("NOT (a OR o)") == [2, 7]
    assert odata.refused("dim_customers?$search=(a")[0] == 400


def test_intermediate_12_skip(odata: Asker) -> None:
    assert odata.rows("fact_orders?$skip=3&$top=1&$select=order_id") == [{"order_id": "O0003"}]
    page = odata.get("fact_orders?$skip=3&$top=10&$select=order_id", prefer="odata.maxpagesize=4").json()
    ids = [row["order_id"] for row in page["value"]]
    while "@odata.nextLink" in page:
        page = odata.client.get(page["@odata.nextLink"], headers={"prefer": "odata.maxpagesize=4"}).json()
        ids += [row["order_id"] for row in page["value"]]
    assert ids == [f"O{number:04}" for number in range(3, 13)]


def test_intermediate_13_count(odata: Asker) -> None:
    body = odata.get("fact_orders?$count=true&$top=2&$filter=quantity eq 1").json()
    assert (body["@odata.count"], len(body["value"])) == (23, 2)
    assert "@odata.count" not in odata.get("fact_orders?$count=false&$top=1").json()


def test_intermediate_14_expand_nested_with_options(odata: Asker) -> None:
    body = odata.get(
        "dim_customers?$filter=customer_key le 1&$select=customer_key&$expand=fact_orders($select=order_id;$orderby=total desc;$top=2;"
        "$skip=1;$count=true;$expand=fact_lines($select=line;$filter=line lt 3),dim_date)"
    ).json()
    assert body["@odata.context"].endswith("#dim_customers(customer_key,fact_orders(order_id,fact_lines(line),dim_date()))")
    whole = odata.rows("dim_customers(1)/fact_orders?$orderby=total desc")
    second = body["value"][1]
    assert second["fact_orders@odata.count"] == len(whole) == 20
    assert [order["order_id"] for order in second["fact_orders"]] == [order["order_id"] for order in whole[1:3]]
    for order in second["fact_orders"]:
        assert order["dim_date"]["month"] in (1, 2)
        number = int(order["order_id"][1:])
        assert order["fact_lines"] == ([{"line": 1}, {"line": 2}] if number < 100 else [])
    assert odata.rows("fact_orders?$top=1&$expand=*")[0].keys() > {"dim_customers", "dim_date", "fact_lines"}
    assert odata.refused("fact_orders?$expand=nothing")[0] == 400


def test_intermediate_15_any_and_all(odata: Asker) -> None:
    assert odata.ids("fact_lines/any(l: l/line eq 3) and not fact_lines/all(l: l/pieces gt 0)")


def test_intermediate_16_count_of_a_navigation_property(odata: Asker) -> None:
    assert odata.get("dim_customers(1)/fact_orders/$count").text == "20"
    assert odata.get("fact_orders/$count?$filter=quantity eq 1").text == "23"
    assert odata.get("fact_orders/$count?$search=paid", accept="application/json").text == "50"


def test_intermediate_17_orderby(odata: Asker) -> None:
    rows = odata.rows("fact_orders?$orderby=status desc,total,order_id desc&$select=status,total,order_id")
    assert [row["status"] for row in rows] == sorted((row["status"] or "" for row in rows), reverse=True) or rows[-1]["status"] is None
    assert rows == sorted(
        sorted(sorted(rows, key=lambda row: row["order_id"], reverse=True), key=lambda row: row["total"]),
        key=lambda row: row["status"] or "", reverse=True,
    )  # fmt: skip
    assert odata.rows("fact_orders?$orderby=status&$top=1")[0]["status"] is None  # null comes first
