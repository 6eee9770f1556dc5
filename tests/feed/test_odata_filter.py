"""$filter: every operator and function of the protocol, null, precedence; what is unknown is refused, never guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.feed.conftest import Asker

# one row of fact_orders: O0100, a Wednesday's order: quantity 2, total 7.00, score 12.5, ordered_at 2024-01-03T03:40:00.25Z
ORDER = "order_id eq 'O0100' and "
TRUE = [
    "quantity eq 2", "quantity ne 3", "quantity gt 1", "quantity ge 2", "quantity lt 3", "quantity le 2", "not (quantity eq 3)",
    "not contains(order_id, 'X')", "quantity eq 2.0", "2 eq quantity", "1 lt quantity", "quantity in (1, 2)", "quantity in (2)",
    "status in ('created', null)", "not (status in ('x'))", "quantity eq 3 or quantity eq 2 and total eq 7",
    "quantity add 1 eq 3", "quantity sub 1 eq 1", "quantity mul 3 eq 6", "(quantity add 1) mul 2 eq 6", "quantity add 1 mul 2 eq 4",
    "7 div quantity eq 3", "-7 div quantity eq -3", "7 divby quantity eq 3.5", "7 mod quantity eq 1", "-quantity eq -2",
    "-(quantity add 1) eq -3", "total div 2 eq 3.5", "total mul 1.5 eq 10.5", "total add 0.005 eq 7.005", "score div 5 eq 2.5",
    "quantity sub -1 eq 3", "10 sub 3 sub 2 eq 5", "100 div 10 div 2 eq 5",
    "contains(order_id, '01')", "startswith(order_id, 'O01')", "endswith(order_id, '00')", "length(order_id) eq 5",
    "indexof(order_id, '1') eq 2", "indexof(order_id, 'x') eq -1", "indexof(order_id, '') eq 0", "substring(order_id, 1) eq '0100'",
    "substring(order_id, 1, 2) eq '01'", "substring(order_id, -3) eq 'O0100'", "substring(order_id, 1, -2) eq ''",
    "tolower(order_id) eq 'o0100'", "toupper(status) eq 'CREATED'", "trim(concat(' ', order_id)) eq 'O0100'",
    "concat(concat(order_id, ', '), status) eq 'O0100, created'", "concat('O''', 'x') eq 'O''x'",
    "year(ordered_at) eq 2024", "month(ordered_at) eq 1", "day(ordered_at) eq 3", "hour(ordered_at) eq 3", "minute(ordered_at) eq 40",
    "second(ordered_at) eq 0", "fractionalseconds(ordered_at) eq 0.25", "year(order_date) eq 2024", "day(order_date) eq 1",
    "date(ordered_at) eq 2024-01-03", "time(ordered_at) eq 03:40:00.25", "ordered_at lt now()", "ordered_at gt mindatetime()",
    "ordered_at lt maxdatetime()", "totaloffsetminutes(ordered_at) eq 0", "round(score) eq 13", "floor(score) eq 12",
    "ceiling(score) eq 13", "round(-2.5) eq -3", "round(total) eq 7", "cast(quantity, Edm.String) eq '2'",
    "cast('12', Edm.Int32) eq 12", "cast('12.6', Edm.Int32) eq null", "cast('x', Edm.Date) eq null", "cast(order_date, Edm.DateTimeOffset) eq 2024-01-01T00:00:00Z",
    "isof(quantity, Edm.Int32)", "not isof(quantity, Edm.String)", "is_gift", "is_gift eq true", "not (is_gift eq false)",
    "ordered_at eq 2024-01-03T03:40:00.25Z", "ordered_at eq 2024-01-03T05:40:00.250+02:00", "ordered_at ge 2024-01-03",
    "order_date eq 2024-01-01", "order_date ge 2024-01-01T00:00:00Z", "order_date lt 2024-01-01T00:00:01Z", "order_date le 2024-01-01T12:00:00Z",
    "not (order_date gt 2024-01-01T12:00:00Z)", "not (order_date ge 2024-01-01T12:00:00Z)", "order_date ne 2024-01-01T12:00:00Z",
    "ordered_at sub duration'PT1H' lt 2024-01-03T03:00:00Z", "score gt -INF", "score lt INF", "score ne NaN", "not (NaN eq NaN)",
    "null eq null", "not (null ne null)", "null ge null", "not (null gt null)", "status ne null", "not (status eq null)",
    "dim_customers/country eq 'DE'", "dim_customers/credit ge 0", "dim_date/month eq 1", "fact_lines/$count eq 0",
    "not fact_lines/any()", "fact_lines/all(l: l/pieces gt 99)", "$it/quantity eq 2", "quantity eq @q", "((((quantity eq 2))))",
]  # fmt: skip


@pytest.mark.parametrize("condition", TRUE, ids=[f"{number:03}" for number in range(len(TRUE))])
def test_every_operator_and_function(odata: Asker, condition: str) -> None:
    for asked, found in ((f"{ORDER}{condition}", 1), (f"{ORDER}not ({condition})", 0)):
        answer = odata.client.get("/odata/v4/fact_orders", params={"$filter": asked, "@q": "2"})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["value"]) == found, asked


def test_and_binds_closer_than_or(odata: Asker) -> None:
    both = odata.ids("quantity eq 1 or quantity eq 2 and status eq 'paid'")
    assert set(both) == set(odata.ids("quantity eq 1")) | set(odata.ids("quantity eq 2 and status eq 'paid'"))


def test_null_equals_null_alone_and_not_turns_false_round(odata: Asker) -> None:
    every, none = set(odata.ids("true")), set(odata.ids("status eq null"))
    assert len(every) == 200
    assert len(none) == 50
    assert set(odata.ids("status ne 'paid'")) == every - set(odata.ids("status eq 'paid'")) > none
    assert set(odata.ids("not (score gt 5)")) > set(odata.ids("score eq null")) > set()
    assert set(odata.ids("not (status eq 'paid')")) > none
    assert not set(odata.ids("is_gift")) & set(odata.ids("not is_gift"))
    assert set(odata.ids("is_gift or not is_gift")) == set(odata.ids("is_gift ne null"))
    assert odata.ids("not contains(status, 'a')") == odata.ids("status ne null and not contains(status, 'a')")


def test_wildcards_and_quotes_are_plain_characters(odata: Asker) -> None:
    def keys(condition: str) -> list[Any]:
        return odata.ids(condition, "dim_customers", "customer_key")

    assert keys("contains(name, '_')") == [0, 5]
    assert keys("contains(name, '%')") == [2, 7]
    assert keys("contains(name, '''')") == [1, 6]
    assert keys("name eq 'Zoë \"Z\"'") == [3, 8]
    assert keys("endswith(name, '\\')") == []


def test_lambda_over_navigation(odata: Asker) -> None:
    def keys(condition: str) -> list[Any]:
        return odata.ids(condition, "dim_customers", "customer_key")

    assert keys("fact_orders/any(o: o/total gt 9.9)") == [
        key for key in range(10) if any(row["total"] > 9.9 for row in odata.rows(f"dim_customers({key})/fact_orders"))
    ]
    assert keys("fact_orders/all(o: o/quantity gt 0)") == list(range(10))
    assert keys("fact_orders/any(o: o/fact_lines/any(l: l/price gt 4.9 and o/quantity eq 3))") == [
        row["customer_key"] for row in odata.rows("dim_customers?$expand=fact_orders($filter=quantity eq 3;$expand=fact_lines)")
        if any(line["price"] > 4.9 for order in row["fact_orders"] for line in order["fact_lines"])
    ]  # fmt: skip
    assert keys("fact_orders/any(o: o/customer_key ne customer_key)") == []
    assert keys("fact_orders/$count gt 100") == []


WRONG = [
    ("nothing eq 1", 400), ("quantity eq", 400), ("quantity eq 'x'", 400), ("status gt 5", 400), ("eq 5", 400), ("quantity eq 5)", 400),
    ("(quantity eq 5", 400), ("quantity", 400), ("'x'", 400), ("status add 1 eq 2", 400), ("length(quantity) eq 1", 400),
    ("contains(status) eq true", 400), ("quantity in ()", 400), ("order_date eq 2024-02-31", 400), ("quantity eq 1 quantity", 400),
    ("dim_customers/nothing eq 1", 400), ("nothing/country eq 'x'", 400), ("fact_lines/pieces eq 1", 400), ("quantity mod 0 eq 1", 400),
    ("quantity div 0 eq 1", 400), ("customer_key div (quantity sub quantity) eq 1", 400), ("quantity mul 9223372036854775807 gt score", 400),
    ("status eq 'open", 400), ("quantity eq 99999999999999999999999999999999999999999", 400), ("Edm.Int32 eq 1", 400), ("not quantity eq 2", 400),
    ("geo.distance(a, b) lt 1", 501), ("matchesPattern(status, 'a')", 501), ("status has 'x'", 501), ("foo(status)", 501),
    ("binary'AA' eq null", 501), ("dim_customers/any(c: true)", 501), ("cast(ordered_at, Edm.Duration) eq null", 501), ("$root/x eq 1", 501),
    ("case(true: 1)", 400),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "status"), WRONG, ids=[f"{number:02}" for number in range(len(WRONG))])
def test_wrong_is_400_and_not_offered_is_501_with_a_sentence(odata: Asker, condition: str, status: int) -> None:
    answer = odata.client.get("/odata/v4/fact_orders", params={"$filter": condition})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"].endswith(".")


def test_depth_and_length_have_limits(odata: Asker) -> None:
    for condition in (
        "(" * 60 + "true" + ")" * 60,
        "not " * 60 + "true",
        "1" + " add 1" * 100 + " eq 1",
        "true" + " or true" * 6000,
    ):
        answer = odata.client.get("/odata/v4/fact_orders", params={"$filter": condition})
        assert answer.status_code == 400, answer.text
    assert len(odata.ids(" or ".join(f"quantity eq {number}" for number in range(500)))) == 200
    assert len(odata.ids(f"quantity in ({', '.join(map(str, range(1500)))})")) == 200
