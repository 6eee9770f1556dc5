"""Laws: any filter leaves the rows that Polars finds; pages joined are the whole; no address gives a 500."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from pipeline.feed.catalog import Catalog
from tests.feed.conftest import Asker
from tests.feed.published import SHOP, Published

SOAK = int(os.environ.get("GOLDFEED_SOAK_EXAMPLES", "0"))  # more of them, for `make soak`
CALM = settings(max_examples=max(120, SOAK), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Pair = tuple[str, pl.Expr]  # a condition, and what it means
COMPARISONS = {"gt": "gt", "ge": "ge", "lt": "lt", "le": "le"}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    path = tmp_path_factory.mktemp("orders") / "orders.parquet"
    sql = f"SELECT *, CAST(total * 100 AS BIGINT) AS cents FROM ({SHOP['fact_orders']['sql']})"
    duckdb.sql(sql).write_parquet(str(path))
    return pl.read_parquet(path)


def compared(name: str, column: pl.Expr, value: pl.Expr) -> pl.Expr:
    """The protocol's comparison: eq and ne know null, the others are false with it."""
    if name == "eq":
        return column.eq_missing(value)
    if name == "ne":
        return column.ne_missing(value)
    found: pl.Expr = getattr(column, COMPARISONS[name])(value)
    return found.fill_null(False)


operators = st.sampled_from(["eq", "ne", *COMPARISONS])
letters = st.text(alphabet="aeipdO0_%'\\ é", max_size=3)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def numbers(draw: st.DrawFn) -> Pair:
    op = draw(operators)
    match draw(st.integers(0, 4)):
        case 0:
            n = draw(st.integers(-2, 12))
            return f"quantity {op} {n}", compared(op, pl.col("quantity"), pl.lit(n))
        case 1:
            cents = draw(st.integers(-50, 1100))
            sign, whole, rest = "-" if cents < 0 else "", abs(cents) // 100, abs(cents) % 100
            return f"total {op} {sign}{whole}.{rest:02}", compared(op, pl.col("cents"), pl.lit(cents))
        case 2:
            eighths = draw(st.integers(0, 210))
            return f"score {op} {eighths / 8}", compared(op, pl.col("score"), pl.lit(eighths / 8))
        case 3:
            a, b, c = draw(st.integers(0, 5)), draw(st.integers(1, 4)), draw(st.integers(0, 60))
            column = (pl.col("quantity") + a) * b - pl.col("customer_key")
            return f"(quantity add {a}) mul {b} sub customer_key {op} {c}", compared(op, column, pl.lit(c))
        case _:
            b, c = draw(st.integers(1, 4)), draw(st.integers(0, 5))
            column = pl.col("quantity") // b + pl.col("quantity") % b
            return f"quantity div {b} add quantity mod {b} {op} {c}", compared(op, column, pl.lit(c))


@st.composite
def words(draw: st.DrawFn) -> Pair:
    match draw(st.integers(0, 2)):
        case 0:
            op, text = draw(operators), draw(st.sampled_from(["created", "paid", "p", "", "zz"]))
            return f"status {op} {quoted(text)}", compared(op, pl.col("status"), pl.lit(text))
        case 1:
            text = draw(letters)
            name, way = draw(st.sampled_from([("contains", "contains"), ("startswith", "starts_with"), ("endswith", "ends_with")]))
            column = draw(st.sampled_from(["status", "order_id"]))
            found = getattr(pl.col(column).str, way)
            return f"{name}({column}, {quoted(text)})", found(text, literal=True) if way == "contains" else found(text)
        case _:
            items = draw(st.lists(st.sampled_from(["'paid'", "'x'", "null", "'shipped'"]), min_size=1, max_size=3))
            values = [item.strip("'") for item in items if item != "null"]
            listed = pl.col("status").is_in(values).fill_null(False)
            return f"status in ({', '.join(items)})", listed | pl.col("status").is_null() if "null" in items else listed


@st.composite
def times(draw: st.DrawFn) -> Pair:
    op = draw(operators)
    if draw(st.booleans()):
        day = date(2024, 1, 1) + timedelta(days=draw(st.integers(-2, 55)))
        return f"order_date {op} {day}", compared(op, pl.col("order_date"), pl.lit(day))
    moment = datetime(2024, 1, 1) + timedelta(minutes=draw(st.integers(0, 6000) | st.integers(0, 50).map(lambda n: n * 1440)))
    text = moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    column = draw(st.sampled_from(["ordered_at", "order_date"]))
    return f"{column} {op} {text}", compared(op, pl.col(column).cast(pl.Datetime("us")), pl.lit(moment))


@st.composite
def nulls(draw: st.DrawFn) -> Pair:
    null = draw(st.sampled_from(["status", "score", "is_gift", "total"]))
    return draw(st.sampled_from([
        ("is_gift", pl.col("is_gift")), (f"{null} eq null", pl.col(null).is_null()), (f"null ne {null}", pl.col(null).is_not_null()),
        ("length(status) eq 4", compared("eq", pl.col("status").str.len_chars(), pl.lit(4))),
        ("month(order_date) eq 2", compared("eq", pl.col("order_date").dt.month(), pl.lit(2))),
        ("customer_key lt quantity", compared("lt", pl.col("customer_key"), pl.col("quantity"))),
    ]))  # fmt: skip


leaves = st.one_of(numbers(), words(), times(), nulls())


def combined(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        inner.map(lambda one: (f"not ({one[0]})", ~one[1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]} and {two[1][0]})", two[0][1] & two[1][1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]} or {two[1][0]})", two[0][1] | two[1][1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) eq ({two[1][0]})", two[0][1].eq_missing(two[1][1]))),
    )


filters = st.recursive(leaves, combined, max_leaves=6)


@CALM
@given(pair=filters)
def test_any_filter_leaves_the_rows_that_polars_finds(odata: Asker, orders: pl.DataFrame, pair: Pair) -> None:
    assert odata.ids(pair[0]) == orders.filter(pair[1])["order_id"].to_list(), pair[0]


@CALM
@given(pair=filters)
def test_count_tells_the_number_of_rows_of_any_filter(odata: Asker, orders: pl.DataFrame, pair: Pair) -> None:
    answer = odata.client.get("/odata/v4/fact_orders/$count", params={"$filter": pair[0]})
    assert int(answer.text) == orders.filter(pair[1]).height

@pytest.fixture(scope="module")
def few(shop_feed: Published) -> Iterator[Asker]:
    """One who sees the paid orders and those of status null only."""

    def role(catalog: Catalog) -> Catalog:
        orders = replace(catalog.tables["fact_orders"], condition="coalesce(status, 'paid') = 'paid'")
        return replace(catalog, tables={**catalog.tables, "fact_orders": orders})

    with TestClient(shop_feed.app(role), base_url="http://feed") as client:
        yield Asker(client)


@settings(CALM, max_examples=max(60, SOAK))
@given(pair=filters)
def test_a_role_leaves_its_rows_of_what_polars_finds(few: Asker, orders: pl.DataFrame, pair: Pair) -> None:
    mine = orders.filter(pl.col("status").fill_null("paid") == "paid")
    assert few.ids(pair[0]) == mine.filter(pair[1])["order_id"].to_list(), pair[0]


AGGREGATES = {
    "$count as n": pl.len().alias("n"),
    "quantity with sum as q": pl.col("quantity").sum().cast(pl.Int64).alias("q"),
    "quantity mul customer_key with max as m": (pl.col("quantity") * pl.col("customer_key")).max().cast(pl.Int64).alias("m"),
    "total with sum as t": (pl.col("cents").sum() / 100).alias("t"),
    "score with average as a": pl.col("score").mean().alias("a"),
    "status with countdistinct as d": pl.col("status").n_unique().alias("d"),
    "order_date with min as f": pl.col("order_date").min().cast(pl.String).alias("f"),
}
GROUPS = ["status", "quantity", "is_gift", "order_date", "customer_key"]


@settings(CALM, max_examples=max(50, SOAK))
@given(
    groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3, unique=True),
    aggregates=st.lists(st.sampled_from(list(AGGREGATES)), min_size=1, max_size=4, unique=True),
    pair=leaves,
)
def test_any_grouping_gives_the_rows_that_polars_gives(
    odata: Asker, orders: pl.DataFrame, groups: list[str], aggregates: list[str], pair: Pair
) -> None:
    apply = f"filter({pair[0]})/groupby(({','.join(groups)}),aggregate({','.join(aggregates)}))"
    answer = odata.client.get("/odata/v4/fact_orders", params={"$apply": apply, "$orderby": ",".join(groups)})
    assert answer.status_code == 200, answer.text
    grouped = orders.filter(pair[1]).group_by(groups).agg([AGGREGATES[name] for name in aggregates]).sort(groups, nulls_last=False)
    expected = grouped.with_columns(pl.col(pl.Date).cast(pl.String)).to_dicts()
    for row, wanted in zip(answer.json()["value"], expected, strict=True):
        assert row == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in wanted.items()}, apply


SORTS = ["status", "score", "is_gift", "total", "quantity", "order_date", "ordered_at", "length(status)", "dim_customers/country", "fact_lines/$count"]


@settings(CALM, max_examples=max(40, SOAK))
@given(
    sorts=st.lists(st.tuples(st.sampled_from(SORTS), st.sampled_from(["", " desc", " asc"])), max_size=3, unique_by=lambda item: item[0]),
    size=st.integers(4, 90),
    top=st.none() | st.integers(0, 220),
    skip=st.integers(0, 30),
    pair=leaves,
)
def test_pages_joined_are_the_whole_in_its_order(
    odata: Asker, sorts: list[tuple[str, str]], size: int, top: int | None, skip: int, pair: Pair
) -> None:
    params = {"$filter": pair[0], "$select": "order_id", "$orderby": ",".join(a + b for a, b in sorts) or None}
    params |= {"$skip": str(skip) if skip else None, "$top": None if top is None else str(top)}
    asked = {name: value for name, value in params.items() if value is not None}
    whole = odata.client.get("/odata/v4/fact_orders", params=asked)
    pages, next_ = [], str(whole.url)
    for _ in range(250):
        page = odata.client.get(next_, headers={"Prefer": f"odata.maxpagesize={size}"}).json()
        pages += [row["order_id"] for row in page["value"]]
        assert len(page["value"]) <= size
        if "@odata.nextLink" not in page:
            break
        next_ = page["@odata.nextLink"]
    assert pages == [row["order_id"] for row in whole.json()["value"]]
    assert len(set(pages)) == len(pages)


PIECES = [
    "quantity", "status", "dim_customers", "fact_lines", "eq", "ne", "and", "or", "not", "(", ")", ",", "/", "'", "''", "'x'", "1", "-1", "1.5", "1e400",
    "null", "true", "2024-01-01", "2024-01-01T00:00:00Z", "10:00", "any(", "all(x:", "x/", "$it", "$count", "@p", "in", "add", "div", "mod", "mul",
    "contains(", "substring(", "cast(", "Edm.Int32", "length(", "year(", "*", ";", "=", "desc", "as", "with", "sum", "groupby((", "aggregate(", "filter(",
    "compute(", "duration'P1D'", "INF", "NaN", "9223372036854775807", "order_id", "score", "is_gift", "ordered_at", "round(", "concat(", "+", "-", "\\", "%",
]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.text(max_size=30),
    st.text(alphabet=string.printable, max_size=30),
)
NAMES = ["$filter", "$orderby", "$select", "$expand", "$apply", "$compute", "$search", "$top", "$skip", "$count", "$format", "$skiptoken", "@p"]


@settings(CALM, max_examples=max(300, SOAK))
@given(options=st.lists(st.tuples(st.sampled_from(NAMES), texts), min_size=1, max_size=3), path=st.sampled_from(["fact_orders", "dim_customers(1)", "fact_orders/$count", "$metadata", ""]))
def test_no_query_gives_a_500(odata: Asker, options: list[tuple[str, str]], path: str) -> None:
    query = "&".join(f"{name}={quote(text.encode('utf-8', 'ignore'))}" for name, text in options)
    answer = odata.get(f"{path}?{query}")
    assert answer.status_code in (200, 204, 400, 404, 406, 501), (query, answer.text)
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"].endswith(".")
        assert "combination of types" not in answer.text, query  # what DuckDB refuses, we should have


@settings(CALM, max_examples=max(150, SOAK))
@given(path=st.one_of(st.text(max_size=30), st.lists(st.sampled_from(["fact_orders", "(", ")", "'O0001'", "/", "$value", "$count", "quantity", "dim_customers", "@", "000001", "1", "%", "order_id="]), max_size=8).map("".join)))
def test_no_path_gives_a_500(odata: Asker, path: str) -> None:
    answer = odata.get(quote(path.encode("utf-8", "ignore"), safe="/()'=$@,"))
    assert answer.status_code in (200, 204, 307, 400, 404, 410, 501), (path, answer.text)


@settings(CALM, max_examples=max(100, SOAK))
@given(headers=st.dictionaries(st.sampled_from(["Accept", "Prefer", "OData-Version", "OData-MaxVersion", "If-None-Match", "Accept-Encoding"]), st.text(alphabet=string.printable[:-6], max_size=40)))
def test_no_header_gives_a_500(odata: Asker, headers: dict[str, str]) -> None:
    answer = odata.client.get("/odata/v4/fact_orders?$top=1", headers=headers)
    assert answer.status_code in (200, 304, 400, 406), (headers, answer.text)


