"""/files/: the same rows in each format, whole, in parts and by month, whatever is published meanwhile."""

from __future__ import annotations

import io
import re
import shutil
import threading
from datetime import date
from pathlib import Path

import duckdb
import nanoarrow
import polars
import pytest

from pipeline.errors import UsageError
from pipeline.feed.exports import MEMORY
from pipeline.feed.snapshot import open_snapshot, sandbox
from tests.conftest import Shop
from tests.quality.little import agree, attributes
from tests.readers.desk import TABLES, Desk, publish

ORDERS = TABLES["fact_orders"][2]


def test_every_format_gives_the_published_rows(desk: Desk) -> None:
    with desk.client("root") as root:
        parquet = polars.read_parquet(io.BytesIO(root.get("/files/fact_orders.parquet").content))
        arrow = nanoarrow.ArrayStream.from_readable(root.get("/files/fact_orders.arrow").content).read_all()
        csv = root.get("/files/fact_orders.csv").text.splitlines()
    truth = duckdb.sql(ORDERS).fetchall()
    assert parquet.rows() == truth
    assert [tuple(row.values()) for row in arrow.to_pylist()] == truth
    assert csv[0] == "order_id,customer_key,order_date,amount,owner,note" and len(csv) == 201


def test_a_file_that_is_one_and_wholly_seen_is_sent_as_it_was_published(desk: Desk) -> None:
    with desk.client("read") as reader:
        assert reader.get("/files/fact_orders.parquet").content == (desk.published / "000001/fact_orders.parquet").read_bytes()


def test_a_table_in_parts_comes_as_one_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001", parts=3)
    with desk.serving(), desk.client("root") as root:
        found = polars.read_parquet(io.BytesIO(root.get("/files/fact_orders.parquet").content))
    assert sorted(found.rows()) == duckdb.sql(ORDERS).fetchall()


def test_one_month_and_the_list_of_months(desk: Desk) -> None:
    with desk.client("root") as root:
        listed = root.get("/files/fact_orders/").json()["files"]
        found = [polars.read_parquet(io.BytesIO(root.get(file["path"]).content)) for file in listed]
        assert [file["path"].rpartition("orders/")[2] for file in listed] == [f"year=2024/month=0{n}.parquet" for n in (1, 2, 3)]
        assert [len(one) for one in found] == [file["rows"] for file in listed] and sum(map(len, found)) == 200
        assert {day.month for day in found[1]["order_date"]} == {2}
        assert root.get("/files/fact_orders/year=2024/month=13.parquet").status_code == 404
        assert root.get("/files/salaries/year=2024/month=01.parquet").status_code == 404
        assert len(polars.read_parquet(io.BytesIO(root.get("/files/fact_orders/year=1999/month=01.parquet").content))) == 0


def test_range_etag_head_and_length(desk: Desk) -> None:
    with desk.client("root") as root:
        for path in ("/files/fact_orders.parquet", "/files/fact_orders.csv"):
            whole = root.get(path)
            tag = whole.headers["etag"]
            assert root.head(path).headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
            assert root.head(path).content == b""
            assert root.get(path, headers={"If-None-Match": tag}).status_code == 304
            assert root.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
            part = root.get(path, headers={"Range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, whole.content[10:20])
            assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
            assert root.get(path, headers={"Range": "bytes=-4"}).content == whole.content[-4:]
            assert root.get(path, headers={"Range": "bytes=5-"}).content == whole.content[5:]
            assert root.get(path, headers={"Range": "bytes=0-3", "If-Range": '"other"'}).content == whole.content
            assert root.get(path, headers={"Range": "bytes=99999999-"}).status_code == 416
            assert root.get(path, headers={"Range": "bytes=x-y"}).status_code == 200


def test_h8_formula_cells_are_neutralised_in_csv_and_nowhere_else(tmp_path: Path) -> None:
    cells = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "plain", "a=b", "'=1"]
    values = ", ".join(f"({number}, {cell!r})" if "'" not in cell else f"({number}, '{cell.replace(chr(39), chr(39) * 2)}')" for number, cell in enumerate(cells))
    values = values.replace("'\\t", "chr(9) || '").replace("'\\r", "chr(13) || '").replace("'\\n", "chr(10) || '")
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001", {"t": (["n"], {}, f"SELECT n, c, -n AS m, [c] AS list FROM (VALUES {values}) v(n, c)")})
    with desk.serving(), desk.client("root") as root:
        text = root.get("/files/t.csv").text
        parquet = polars.read_parquet(io.BytesIO(root.get("/files/t.parquet").content))
    (tmp_path / "t.csv").write_bytes(text.encode())
    found = duckdb.sql(f"SELECT c, m FROM read_csv('{tmp_path / 't.csv'}', header = true, all_varchar = true, quote = '\"', escape = '\"', delim = ',', new_line = '\\n', strict_mode = false, auto_detect = false, columns = {{'n': 'VARCHAR', 'c': 'VARCHAR', 'm': 'VARCHAR', 'list': 'VARCHAR'}})").fetchall()
    assert [cell for cell, _ in found] == ["'" + cell if cell[0] in "=+-@\t\r\n" else cell for cell in cells]
    assert [number for _, number in found][1] == "-1"
    assert parquet["c"].to_list() == cells


def test_a_version_that_is_gone_answers_410_and_an_older_one_can_be_asked(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    publish(desk.published, "000002", {"fact_orders": ([], {}, "SELECT 1 AS one")})
    with desk.serving(), desk.client("root") as root:
        assert root.get("/files/fact_orders.csv").text == "one\n1\n"
        old = root.get("/files/fact_orders.csv", params={"version": "000001"})
        assert (old.headers["goldfeed-version"], len(old.text.splitlines())) == ("000001", 201)
        for version in ("000009", "../000001", "", "x' OR 1"):
            gone = root.get("/files/fact_orders.csv", params={"version": version})
            assert gone.status_code == (200 if version == "" else 410)


def test_an_unchanged_table_keeps_its_tag_over_versions(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("anna")
    publish(desk.published, "000001")
    with desk.serving(), desk.client("anna") as anna:
        first = anna.get("/files/fact_orders.parquet")
        shutil.copytree(desk.published / "000001", desk.published / "000002")
        text = (desk.published / "000002/manifest.json").read_text().replace('"version": "000001"', '"version": "000002"')
        (desk.published / "000002/manifest.json").write_text(text)
        (desk.published / "current").unlink()
        (desk.published / "current").symlink_to("000002")
        again = anna.get("/files/fact_orders.parquet", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["goldfeed-version"]) == (304, "000002")


def test_f2_a_download_across_publications_and_pruning_completes(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    big = {"t": (["i"], {}, "SELECT i, md5(i::VARCHAR) AS a, sha256(i::VARCHAR) AS b FROM range(150000) r(i)")}
    publish(desk.published, "000001", big)
    whole = (desk.published / "000001/t.parquet").read_bytes()
    assert len(whole) > 8_000_000  # more than the sockets between can hold
    with desk.serving(), desk.client("root") as root, root.stream("GET", "/files/t.parquet") as answer:
        parts = answer.iter_raw()
        got = [next(parts)]
        for number in (2, 3, 4):
            publish(desk.published, f"{number:06d}")
        shutil.rmtree(desk.published / "000001")
        got += parts
    assert b"".join(got) == whole


def test_a_browser_gets_a_page_with_escaped_texts(desk: Desk) -> None:
    with desk.client("read") as reader:
        page = reader.get("/files/", headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html") and "<a href='/files/fact_orders.csv'>" in page.text
        assert reader.get("/files/").json()["tables"][0]["rows"] == 20


@pytest.mark.parametrize("statement", [
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')", "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT * FROM read_parquet('/tmp/x.parquet')",
    "COPY (SELECT 1) TO '/tmp/goldfeed-out.csv'", "ATTACH '/tmp/goldfeed-out.db'", "SET memory_limit = '9GB'", "INSTALL httpfs",
    "LOAD httpfs", "SET enable_external_access = true", "RESET lock_configuration", "EXPORT DATABASE '/tmp/goldfeed-out'",
    "SELECT getenv('PATH')", "CREATE SECRET s (TYPE http)",
])
def test_s11_the_serving_connection_is_a_sandbox(desk: Desk, statement: str) -> None:
    snapshot = open_snapshot(desk.settings)
    writing = sandbox(desk.published / "000001", snapshot.manifest, memory_limit=MEMORY, threads=1, writable=desk.home / "tmp")
    for connection in (snapshot.connection, writing):
        with pytest.raises(duckdb.Error):
            connection.cursor().execute(statement).fetchall()
    assert not Path("/tmp/goldfeed-out.csv").exists() and not Path("/tmp/goldfeed-out.db").exists()


@pytest.mark.parametrize("statement", ["DELETE FROM fact_orders", "COPY (SELECT 1) TO '{}/000001/fact_orders.parquet'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{}/000001/x.parquet'"])
def test_s11_no_query_changes_what_is_published(desk: Desk, statement: str) -> None:
    before = {path: path.read_bytes() for path in desk.published.rglob("*.parquet")}
    with pytest.raises(UsageError):
        open_snapshot(desk.settings).query(statement.format(desk.published))
    assert {path: path.read_bytes() for path in desk.published.rglob("*.parquet")} == before


@pytest.mark.parametrize("publications", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_f1_readers_during_publications_get_one_version_and_never_fail(tmp_path: Path, publications: int) -> None:
    desk = Desk(tmp_path).with_users("root", "anna")
    publish(desk.published, "000001", _marked(1))
    wrong: list[str] = []
    stop = threading.Event()

    def read(name: str, path: str) -> None:
        last = ""
        with desk.client(name) as client:
            while not stop.is_set():
                answer = client.get(path)
                version = answer.headers.get("goldfeed-version", "")
                marks = set(re.findall(r'(?:^|"mark":)(\d+)', answer.text, re.MULTILINE))
                if answer.status_code != 200 or len(marks) != 1 or int(next(iter(marks))) != int(version) or version < last:
                    wrong.append(f"{answer.status_code} {version} after {last} {sorted(marks)[:3]}")
                last = version

    with desk.serving():
        readers = [threading.Thread(target=read, args=(name, path)) for name, path in (("root", "/files/t.csv"), ("anna", "/files/fact_orders.csv"), ("root", "/odata/v4/t"), ("anna", "/odata/v4/fact_orders?$select=mark"))]
        for reader in readers:
            reader.start()
        for number in range(2, publications + 2):
            publish(desk.published, f"{number:06d}", _marked(number))
            if number > 10:  # as many are kept as by default; a reader has until the tenth publication after
                shutil.rmtree(desk.published / f"{number - 10:06d}")
            stop.wait(0.03)
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []


def _marked(number: int) -> dict[str, tuple[list[str], dict[str, str], str]]:
    return {"t": ([], {}, f"SELECT {number} AS mark FROM range(500)"), "fact_orders": ([], {}, f"SELECT {number} AS mark, 'anna' AS owner FROM range(500)")}


def test_a_run_tells_readers_how_fresh_its_tables_are(shop: Shop) -> None:
    shop.write("sql/gold/days.sql", "/* ---\ndescription: x\nkey: [order_id]\n--- */\nSELECT order_id, updated_at FROM silver.orders\n")
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-05", "2,c,paid,1.00,2024-01-07 10:00:00", "3,c,odd,1.00,2024-01-09", "4,c,paid,x,2024-01-09")
    assert shop.run().status == "succeeded"
    desk = Desk(shop.home).with_users("root")
    with desk.serving(), desk.client("root") as root:
        found = root.get("/files/_freshness").json()
    days = next(table for table in found["tables"] if table["table"] == "days")
    assert days["data_through"] == "2024-01-07T10:00:00" and days["rows_quarantined"] == 2 and days["checks_failed"] == 0
    assert found["last_run"]["status"] == "succeeded" and found["withheld"] is None
    assert days["last_good_run"] == found["last_good_run"]["ended_at"] and days["built_at"].startswith(str(date.today().year))



def test_f3_a_publication_that_is_withheld_can_be_seen_by_readers(shop: Shop) -> None:
    agree(shop, "gold.totals", "", f"- name: amount\n  checks: [{{invalid: {{valid_max: 50, {attributes()}}}}}]")
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-05")
    assert shop.run().version == "000001"
    desk = Desk(shop.home).with_users("root")
    with desk.serving(), desk.client("root") as root:
        assert root.get("/files/_freshness").json()["withheld"] is None
        shop.drop_orders("orders_2.csv", "2,c,paid,500.00,2024-01-05")
        assert shop.run().status == "withheld"
        found = root.get("/files/_freshness").json()
        assert (found["version"], found["withheld"]["run_id"], found["last_good_run"]["run_id"]) == ("000001", 2, 1)
        assert found["tables"][0]["checks_failed"] == 1
        assert root.get("/files/totals.csv").text.splitlines()[1] == "paid,1,1.00"
        shop.drop_orders("orders_3.csv", "2,c,paid,5.00,2024-01-06")
        assert shop.run().status == "succeeded"
        assert root.get("/files/_freshness").json()["withheld"] is None
