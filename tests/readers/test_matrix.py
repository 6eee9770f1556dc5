"""Each role on each route for each table: what it may not see appears in no body, header, error or log."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import nanoarrow
import polars
import pytest

from pipeline.errors import ProjectError
from pipeline.feed.catalog import Column, Table, catalog_of
from pipeline.feed.roles import role_of
from pipeline.feed.serving import Parts
from pipeline.powerbi.web import routes
from pipeline.project.condition import condition_for, parse_condition
from pipeline.project.role import RoleFile
from pipeline.published import manifest_hash, read_manifest
from tests.conftest import Shop
from tests.readers.desk import HIDDEN, PASSWORD, ROLES, SECRET, TABLES, USERS, Desk, publish

COLUMNS = {
    "dim_customers": ["customer_key", "city", "email", "email_masked"],
    "fact_orders": ["order_id", "customer_key", "order_date", "amount", "owner", "note"],
    "salaries": ["person", "secret_pay"],
}
SEES: dict[str, dict[str, list[str]]] = {
    "root": COLUMNS,
    "read": COLUMNS | {"dim_customers": ["customer_key", "city", "email_masked"]},
    "anna": {"dim_customers": ["customer_key", "city", "email_masked"], "fact_orders": COLUMNS["fact_orders"]},
    "slim": {"fact_orders": ["order_id", "amount"]},
    "dpo": {"dim_customers": COLUMNS["dim_customers"]},
}
FORMATS = ("parquet", "csv", "arrow")


def paths_of(table: str) -> list[str]:
    return [
        *(f"/files/{table}.{format}" for format in FORMATS),
        *(f"/files/{table}/year=2024/month=02.{format}" for format in FORMATS),
        f"/files/{table}/",
    ]


def texts(answer: Any) -> str:
    """Everything readable in an answer, files unpacked."""
    path = str(answer.url.path)
    found = repr(dict(answer.headers))
    if answer.status_code == 200 and path.endswith(".parquet"):
        frame = polars.read_parquet(io.BytesIO(answer.content))
        return found + repr(frame.columns) + repr(frame.rows())
    if answer.status_code == 200 and path.endswith(".arrow"):
        stream = nanoarrow.ArrayStream.from_readable(answer.content).read_all()
        return found + repr(stream.schema) + repr(stream.to_pylist())
    return found + answer.content.decode("utf-8", "replace")


def forbidden(name: str) -> list[str]:
    """Words that a role must never get: values it may not see, and the names of what does not exist for it."""
    seen, words = SEES[name], []
    words += [] if "email" in seen.get("dim_customers", []) else [SECRET, '"email"', "'email'", "email,"]
    words += [] if name in ("root", "read") else [HIDDEN, "secret_pay"]
    return words


@pytest.mark.parametrize("name", USERS)
def test_s4_what_a_role_may_not_see_does_not_exist_for_it(desk: Desk, name: str) -> None:
    with desk.client(name) as client:
        answers = [client.get(path) for table in TABLES for path in paths_of(table)]
        answers += [client.get(path) for path in ("/files/", "/files/_freshness", "/files/email.csv", "/files/secret_pay/")]
        answers += [client.get("/files/", headers={"Accept": "text/html"})]
    for answer in answers:
        for word in forbidden(name):
            assert word not in texts(answer), f"{word} in {answer.url}"
    listed = answers[-5].json()["tables"]
    assert {table["table"]: [column["name"] for column in table["columns"]] for table in listed} == SEES[name]


@pytest.mark.parametrize("name", USERS)
def test_s4_a_hidden_table_is_as_a_table_that_there_is_not(desk: Desk, name: str) -> None:
    with desk.client(name) as client:
        nothing = [(a.status_code, a.content) for a in map(client.get, paths_of("no_such_table"))]
        for table in set(TABLES) - set(SEES[name]):
            assert [(a.status_code, a.content) for a in map(client.get, paths_of(table))] == nothing


@pytest.mark.parametrize("name", USERS)
def test_s4_each_format_holds_the_columns_of_the_role_and_no_other(desk: Desk, name: str) -> None:
    with desk.client(name) as client:
        for table, columns in SEES[name].items():
            parquet = polars.read_parquet(io.BytesIO(client.get(f"/files/{table}.parquet").content))
            arrow = nanoarrow.ArrayStream.from_readable(client.get(f"/files/{table}.arrow").content)
            assert parquet.columns == columns == [field.name for field in arrow.schema.fields]
            assert client.get(f"/files/{table}.csv").text.splitlines()[0].split(",") == columns


def test_a_role_sees_its_rows_and_no_count_of_the_others(desk: Desk) -> None:
    with desk.client("anna") as anna:
        found = polars.read_parquet(io.BytesIO(anna.get("/files/fact_orders.parquet").content))
        assert len(found) == 100 and set(found["owner"]) == {"anna"}
        entry = next(table for table in anna.get("/files/").json()["tables"] if table["table"] == "fact_orders")
        assert (entry["rows"], entry["bytes"]) == (None, None)
        months = anna.get("/files/fact_orders/").json()["files"]
        assert sum(month["rows"] for month in months) == 100


def test_two_users_of_one_role_do_not_get_each_others_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("anna")
    desk.users.add(HIDDEN, "owner", "a long enough password", datetime(2024, 1, 1))
    publish(desk.published, "000001")
    with desk.serving():
        for name in ("anna", HIDDEN, "anna"):
            with desk.client(name) as client:
                lines = client.get("/files/fact_orders.csv").text.splitlines()[1:]
                assert len(lines) == 100 and all(f",{name}," in line for line in lines)


def test_s6_no_value_is_in_the_log_or_the_audit(desk: Desk) -> None:
    with desk.client("root") as root:
        root.get(f"/files/{SECRET}.csv", params={"version": SECRET, "x": SECRET})
        root.get(f"/files/fact_orders/{SECRET}/month=01.csv")
    with desk.client(SECRET, SECRET) as nobody:
        nobody.get("/files/")
    written = "".join(path.read_text() for path in desk.settings.audit.iterdir()) + json.dumps(desk.log.lines)
    assert SECRET not in written and HIDDEN not in written


# ---------------------------------------------------------------- OData: by name, by filter, by order, by expansion
def ways_to(table: str, column: str) -> list[str]:
    """Every way to ask OData for a column."""
    options = (
        "$select={}", "$filter={} ne null", "$filter=contains({},'a')", "$orderby={}", "$compute={} as x", "$apply=groupby(({}))",
        "$apply=aggregate({} with countdistinct as n)", "$apply=filter({} ne null)/aggregate($count as n)", "$expand={}",
    )  # fmt: skip
    return [*(f"{table}?{option.format(column)}" for option in options), f"{table}(1)/{column}", f"{table}(1)/{column}/$value"]


@pytest.mark.parametrize("name", USERS)
def test_s4_odata_knows_no_more_of_a_hidden_column_than_of_one_that_there_is_not(desk: Desk, name: str) -> None:
    nothing, answers = "no_such_name", []
    with desk.client(name) as client:
        for table, columns in COLUMNS.items():
            for column in columns:
                found = [client.get(f"/odata/v4/{way}") for way in ways_to(table, column)]
                answers += found
                if column in SEES[name].get(table, []):
                    assert found[0].status_code == 200 and found[3].status_code == 200
                    continue
                other = [client.get(f"/odata/v4/{way}") for way in ways_to(table if table in SEES[name] else nothing, nothing)]
                shown = [(a.status_code, a.text.replace(column, nothing).replace(table, nothing)) for a in found]
                assert shown == [(a.status_code, a.text.replace(table, nothing)) for a in other]
    for answer in answers:
        values = [word for word in forbidden(name) if word in (SECRET, HIDDEN)]
        assert answer.status_code in (200, 204, 400, 404, 501) and not [word for word in values if word in answer.text]


@pytest.mark.parametrize("name", USERS)
def test_s4_odata_shows_the_role_and_no_more_in_its_metadata_and_its_rows(desk: Desk, name: str) -> None:
    paths = ["", "$metadata", "$metadata?$format=json", "_freshness", "_feed", *(f"{table}?$expand=*" for table in SEES[name]), "dim_customers?$search=sentinel", "fact_orders?$search=other"]
    with desk.client(name) as client:
        answers = [client.get(f"/odata/v4/{path}") for path in paths]
    for answer in answers:
        for word in (*forbidden(name), *([] if "email" in SEES[name].get("dim_customers", []) else ['Name="email"'])):
            assert word not in answer.text, f"{word} in {answer.url}"
    assert {entry["name"] for entry in answers[0].json()["value"]} == {*SEES[name], "_feed", "_freshness"}
    assert [row["table"] for row in answers[3].json()["value"]] == list(SEES[name])


def test_s4_no_filter_tells_of_rows_that_are_hidden(desk: Desk) -> None:
    """Order 1 belongs to another, order 999 to nobody: every question on them must end alike."""
    questions = (
        "10 div (order_id sub {}) ne null", "10 mod (order_id sub {}) ne null", "length(owner) div (order_id sub {}) ne null", "order_id eq {}",
        "amount mul 99999999999999 mul (order_id sub {}) ne 0", "cast(concat('x',cast(order_id sub {},Edm.String)),Edm.Int32) eq 1",
        "year(cast(concat('2024-01-0',cast(order_id sub {},Edm.String)),Edm.Date)) eq 1",
    )  # fmt: skip
    with desk.client("anna") as anna:
        for question in questions:
            beyond = f"fact_orders/any(o:{re.sub('order_id|amount|owner', lambda found: 'o/' + found[0], question)})"
            found = [
                [anna.get(f"/odata/v4/{table}/$count", params={"$filter": text.format(order)}) for order in (1, 999)]
                for table, text in (("fact_orders", question), ("dim_customers", beyond))
            ]
            for hidden, nothing in found:
                assert (hidden.status_code, hidden.text) == (nothing.status_code, nothing.text), question


@pytest.mark.parametrize("condition", ["owner = 'mine'", "owner IN ('mine', 'x', 'y')", "lower(owner) LIKE 'm%' OR i < 0"])
def test_s4_a_filter_never_meets_the_values_of_hidden_rows(tmp_path: Path, condition: str) -> None:
    connection = duckdb.connect()
    rows = "SELECT i, i + 1 AS a, CASE i % 2 WHEN 0 THEN 'mine' ELSE 'theirs' END AS owner FROM range(300000) r(i)"
    connection.execute(f"COPY ({rows}) TO '{tmp_path}/t.parquet'; CREATE VIEW t AS SELECT * FROM '{tmp_path}/t.parquet'")
    columns = (Column("i", "BIGINT"), Column("a", "BIGINT"), Column("owner", "VARCHAR"))
    seen = Table("t", "", ("i",), columns, {}, 300_000, condition).relation
    for trap in ("owner = 'theirs'", "x.i % 2 = 1"):
        met = f"CASE WHEN {trap} THEN error('met') ELSE x.i >= 0 END"
        for shape in (
            f"SELECT count(*) FROM {seen} x WHERE {met}",
            f"SELECT count(*) FROM {seen} x JOIN range(1, 300001) d(k) ON x.a = d.k AND {met}",
            f"SELECT 30000 * count(*) FROM range(10) d(k) WHERE EXISTS (SELECT 1 FROM {seen} x WHERE x.a % 10 = d.k AND {met})",
        ):
            assert connection.execute(shape).fetchall() == [(150_000,)]


# ---------------------------------------------------------------- the Power BI project
def test_s4_the_power_bi_project_knows_what_its_reader_may_see(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nroles:\n  sales: {columns: {totals: [status, orders]}}\n  other: {rows: {totals: \"status = 'sentinel'\"}}\n")
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-05")
    assert shop.run().status == "succeeded"
    project, desk = shop.project(), Desk(shop.home)
    for user, role in (("root", "admin"), ("read", "reader"), ("slim", "sales")):
        desk.users.add(user, role, PASSWORD, datetime(2024, 1, 1))
    manifest = read_manifest(desk.published, "000001")
    manifest["tables"]["totals"]["columns"][2]["pii"] = "amount"
    manifest["sha256"] = manifest_hash(manifest)
    (desk.published / "000001/manifest.json").write_text(json.dumps(manifest))
    texts = {}
    with desk.serving(Parts(roles=lambda: project.roles, more=routes(lambda: project))):
        for user in ("root", "read", "slim"):
            with desk.client(user) as client:
                answer = client.get("/powerbi/goldfeed.pbip.zip")
            files = zipfile.ZipFile(io.BytesIO(answer.content))
            texts[user] = "".join(files.read(name).decode() for name in files.namelist())
            assert answer.headers["goldfeed-version"] == "000001" and f":{desk.port}/odata/v4" in texts[user]
    assert ["Amount" in texts[user] or "amount" in texts[user] for user in ("root", "read", "slim")] == [True, False, False]
    assert "sentinel" in texts["root"] and "sentinel" not in texts["slim"]


# ---------------------------------------------------------------- roles as functions of a catalog
def test_keys_that_are_not_wholly_seen_and_ways_to_hidden_tables_are_gone(desk: Desk) -> None:
    whole = catalog_of(read_manifest(desk.published, "000001"))
    assert whole.tables["fact_orders"].foreign_keys == {"customer_key": ("dim_customers", "customer_key")}
    spec = RoleFile(columns={"fact_orders": ["customer_key", "amount"]})
    seen = role_of("r", "u", {"r": spec})(whole).tables["fact_orders"]
    assert seen.key == () and list(seen.foreign_keys) == ["customer_key"]
    assert role_of("r", "u", {"r": replace_tables(spec)})(whole).tables["fact_orders"].foreign_keys == {}


def replace_tables(spec: RoleFile) -> RoleFile:
    return spec.model_copy(update={"tables": ["fact_orders"]})


def test_a_condition_that_names_a_column_the_table_no_longer_has_hides_the_table(desk: Desk) -> None:
    whole = catalog_of(read_manifest(desk.published, "000001"))
    fact = whole.tables["fact_orders"]
    without = replace(whole, tables=whole.tables | {"fact_orders": replace(fact, columns=fact.columns[:2])})
    assert "fact_orders" not in role_of("owner", "anna", ROLES)(without).tables


def test_the_name_of_the_user_is_a_value_whatever_it_holds() -> None:
    assert condition_for("owner = $user OR note IS NULL", "x' OR '1'='1") == "\"owner\" = 'x'' OR ''1''=''1' OR \"note\" IS NULL"


@pytest.mark.parametrize("text", [
    "owner = (SELECT max(owner) FROM salaries)", "owner IN (SELECT owner FROM salaries)", "EXISTS (SELECT 1 FROM salaries)",
    "getenv('HOME') = 'x'", "read_text('/etc/passwd') = ''", "owner = $other", "owner = ?", "1 = 1 LIMIT 1", "1 = 1; DROP TABLE x",
    "true) OR (true", "owner = 'x' --", "salaries.secret_pay > 1", "count(*) > 1", "row_number() OVER () = 1", "random() < 0.5",
    "cast(owner AS INTEGER) = 1", "TRY_CAST(owner AS INTEGER) = 1", "owner", "regexp_matches(owner, '(a+)+$')", "unnest([1]) = 1",
    "* = 1", "owner = 'a' UNION SELECT 1", "current_setting('threads') = '1'", "x -> 'y' = 1", "",
])
def test_s3_conditions_that_read_more_than_their_table_are_refused(text: str) -> None:
    if text in ("owner", "owner = 'x' --"):  # a bare column and a comment are plain SQL
        assert parse_condition(text).sql(comments=False) in ("owner", "owner = 'x'")
        return
    with pytest.raises(ValueError):
        parse_condition(text)


@pytest.mark.parametrize(("role", "line", "sentence"), [
    ("tables: [total]", 4, "there is no gold table 'total'; did you mean 'totals'?"),
    ("rows: {total: \"status = 'paid'\"}", 4, "there is no gold table 'total'; did you mean 'totals'?"),
    ("columns: {totals: [statu]}", 4, "there is no column of totals 'statu'; did you mean 'status'?"),
    ("rows: {totals: \"state = 'paid'\"}", 4, "there is no column of totals 'state'; did you mean 'status'?"),
    ("rows: {totals: \"status = (SELECT 1)\"}", 4, "is not allowed in a condition on rows"),
    ("row: {totals: x}", 4, "did you mean 'rows'?"),
    ("pii: all", 4, "pii"),
])
def test_a_wrong_role_is_refused_with_file_line_and_the_nearest_name(shop: Shop, role: str, line: int, sentence: str) -> None:
    shop.write("goldfeed.yml", f"name: tiny\nroles:\n  sales:\n    {role}\n")
    with pytest.raises(ProjectError) as refused:
        shop.project()
    assert f"goldfeed.yml:{line}:" in refused.value.sentence() and sentence in refused.value.sentence()


def test_a_built_in_role_cannot_be_declared(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nroles:\n  admin: {tables: [totals]}\n")
    with pytest.raises(ProjectError, match="built in"):
        shop.project()


def test_a_right_role_is_read(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nroles:\n  sales: {tables: [gold.tot*], rows: {totals: \"status = lower($user)\"}, pii: clear}\n")
    assert shop.project().roles["sales"].pii == "clear"
