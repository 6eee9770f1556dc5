"""What a reader may ask of the machine, what is written down of it, and what happens when something breaks."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.clock import Clock
from pipeline.errors import RequestError
from pipeline.feed import exports, protocol, watch
from pipeline.feed.audit import Audit
from pipeline.feed.catalog import catalog_of
from pipeline.feed.exports import Exports, Wanted
from pipeline.feed.serving import Parts
from pipeline.feed.snapshot import open_snapshot
from pipeline.feed.watch import NoCounters
from tests.readers.desk import ROLES, SECRET, Desk, publish


def raw(desk: Desk, data: bytes, wait: float = 5.0) -> bytes:
    """What the server says to some bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", desk.port), timeout=wait) as one:
        one.sendall(data)
        found = b""
        while chunk := one.recv(65536):
            found += chunk
        return found


def test_s5_an_address_a_head_and_a_body_that_are_too_large_are_refused(desk: Desk) -> None:
    with desk.client("root") as root:
        assert root.get("/files/?" + "x" * 17_000).status_code == 414
        large = root.post("/files/", content=b"x" * 2_000_000)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "TooLarge")
        chunked = root.request("GET", "/files/", content=iter([b"x" * 700_000, b"x" * 700_000]))
        assert chunked.status_code in (200, 413)  # a route that takes no body never reads it
    head = raw(desk, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"y" * 40_000)
    assert head.startswith(b"HTTP/1.1 431 ") and b'"HeadersTooLarge"' in head
    assert raw(desk, b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(desk, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_s5_a_body_in_chunks_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    async def echo(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    desk = Desk(tmp_path).with_users("root")
    with desk.serving(Parts(roles=lambda: ROLES, more=[Route("/echo", echo, methods=["POST"])])), desk.client("root") as root:
        assert root.post("/echo", content=iter([b"x" * 1000] * 3)).json() == 3000
        over = root.post("/echo", content=iter([b"x" * 700_000] * 2))
        assert (over.status_code, over.json()["error"]["code"]) == (413, "TooLarge")


def test_s5_a_head_that_comes_slowly_is_closed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    for first in (b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"):
        began = time.monotonic()
        answer = raw(desk, first)
        assert time.monotonic() - began < 4 and (not answer or answer.startswith(b"HTTP/1.1 200"))


def test_s5_a_body_that_comes_slowly_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    monkeypatch.setattr(watch, "BODY_SECONDS", 0.3)
    desk = Desk(tmp_path).with_users("root")
    with desk.serving(Parts(roles=lambda: ROLES, more=[Route("/echo", echo, methods=["POST"])])):
        token = desk.users.give_token("root", 1, Clock().now())
        with socket.create_connection(("127.0.0.1", desk.port), timeout=5) as one:
            one.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 50\r\n\r\nx".encode())
            assert one.recv(100).startswith(b"HTTP/1.1 408 ")


def test_s5_connections_beyond_the_cap_are_told_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    held = [socket.create_connection(("127.0.0.1", desk.port)) for _ in range(3)]
    try:
        assert raw(desk, b"").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    finally:
        for one in held:
            one.close()


def test_s5_requests_beyond_the_cap_get_503_and_the_health_page_still_answers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_OPEN", 0)
    with desk.client("root") as root:
        answer = root.get("/files/")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert root.get("/health/live").status_code == 200


def test_s5_a_hundred_exports_at_once_are_written_a_few_at_a_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    publish(desk.published, "000001")
    snapshot = open_snapshot(desk.settings)
    table = catalog_of(snapshot.manifest).tables["fact_orders"]
    made = Exports(desk.settings)

    async def ask(number: int) -> str:
        relation = f"(SELECT * FROM fact_orders WHERE order_id > {number % 50})"
        try:
            export = await made.get(snapshot, Wanted("fact_orders", "hash", relation, table.columns, "csv"))
        except RequestError as error:
            return str(error.status)
        return str(export.rows)

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(ask(number) for number in range(100)))

    found = asyncio.run(all_of_them())
    assert found.count("503") == 68 and sorted(set(found)) == sorted({"503", *(str(200 - n) for n in range(16))})
    assert len(list((tmp_path / "tmp/exports").glob("*.csv"))) == 16


def test_exports_beyond_their_space_are_removed_the_least_used_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path, exports_bytes="20KB")
    publish(desk.published, "000001")
    snapshot = open_snapshot(desk.settings)
    table = catalog_of(snapshot.manifest).tables["fact_orders"]
    made = Exports(desk.settings)
    for number in range(6):
        asyncio.run(made.get(snapshot, Wanted("fact_orders", str(number), table.relation, table.columns, "csv")))
    left = list((tmp_path / "tmp/exports").glob("*.csv"))
    assert 1 <= len(left) <= 3 and sum(path.stat().st_size for path in left) <= 20_000
    assert not list((tmp_path / "tmp/exports").glob(".*.new"))


def test_an_export_over_its_time_ends_with_504_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "SECONDS", 0.2)
    desk = Desk(tmp_path)
    publish(desk.published, "000001")
    snapshot = open_snapshot(desk.settings)
    endless = "(SELECT count(*) AS n FROM range(100000000000) a, range(1000) b WHERE (a.range * b.range) % 7 = 11)"
    with pytest.raises(RequestError) as refused:
        asyncio.run(Exports(desk.settings).get(snapshot, Wanted("t", "h", endless, (), "parquet")))
    assert refused.value.status == 504 and not list((tmp_path / "tmp/exports").glob(".*.new"))


def test_k6_what_is_being_written_ends_at_once_when_the_feed_stops(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    publish(desk.published, "000001")
    snapshot, made = open_snapshot(desk.settings), Exports(desk.settings)
    endless = "(SELECT count(*) AS n FROM range(100000000000) a, range(1000) b WHERE (a.range * b.range) % 7 = 11)"

    async def ask() -> None:
        asking = asyncio.create_task(made.get(snapshot, Wanted("t", "h", endless, (), "parquet")))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await asyncio.to_thread(made.close)
        with pytest.raises(RequestError):
            await asking
        assert time.monotonic() - began < 5

    asyncio.run(ask())


@pytest.mark.parametrize("name", ["x' OR '1'='1", "fact_orders; DROP TABLE x", "../../../etc/passwd", "%2e%2e%2fmanifest", "fact_orders\x00", "FACT_ORDERS", "read_csv('/etc/passwd')", '"', "fact_orders.parquet", "=1", "\u202e", "*"])
def test_s3_names_and_versions_that_are_no_names_find_nothing(desk: Desk, name: str) -> None:
    with desk.client("root", follow_redirects=True) as root:
        for path in (f"/files/{quote(name, safe='')}.csv", f"/files/{quote(name, safe='')}/year=2024/month=01.csv", f"/files/{quote(name, safe='')}/", f"/files/fact_orders/year={quote(name, safe='')}/month=01.csv"):
            answer = root.get(path)
            assert answer.status_code == 404 and set(answer.json()["error"]) == {"code", "message"}, path
        assert root.get("/files/fact_orders.csv", params={"version": name}).status_code == 410
    assert not [line for line in desk.log.lines if line[0] == "a request failed"]


def test_a_version_removed_before_it_is_sent_answers_410(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    with desk.serving(), desk.client("root") as root:
        assert root.get("/files/fact_orders.csv").status_code == 200
        for file in (desk.published / "000001").glob("*.parquet"):
            file.unlink()
        for format in ("parquet", "arrow"):
            assert root.get(f"/files/fact_orders.{format}").status_code == 410


def test_what_breaks_says_nothing_of_why_to_the_reader_and_no_value_to_the_log(tmp_path: Path) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError(SECRET)

    desk = Desk(tmp_path).with_users("root")
    with desk.serving(Parts(roles=lambda: ROLES, more=[Route("/broken", broken)])), desk.client("root") as root:
        answer = root.get("/broken")
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "InternalError" and SECRET not in answer.text
    assert desk.log.lines == [("a request failed", {"route": "/broken", "error": "ValueError"})]


def test_s12_the_audit_says_who_read_what_and_survives_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root", "anna")
    publish(desk.published, "000001")
    for _ in range(2):
        with desk.serving(), desk.client("anna") as anna:
            size = len(anna.get("/files/fact_orders.csv").content)
            assert anna.get("/files/salaries.csv").status_code == 404
    lines = desk.audit()
    assert len(lines) == 4 and lines[0].keys() >= {"at", "user", "role", "route", "table", "version", "rows", "bytes", "status", "seconds"}
    assert [(line["user"], line["table"], line["version"], line["rows"], line["bytes"], line["status"]) for line in lines[:1]] == [
        ("anna", "fact_orders", "000001", 100, size, 200)
    ]
    assert (lines[1]["status"], lines[1]["table"], lines[1]["route"]) == (404, None, "/files/{file}")
    assert "salaries" not in json.dumps(lines) and [path.name for path in desk.settings.audit.iterdir()] == ["reads-000001.jsonl"]


def test_s12_the_audit_has_table_and_rows_of_odata_and_no_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("anna")
    publish(desk.published, "000001")
    with desk.serving(), desk.client("anna") as anna:
        for path in ("fact_orders?$top=7", "fact_orders(2)", "fact_orders/$count", "dim_customers", "salaries", "nothing(3)"):
            anna.get(f"/odata/v4/{path}")
    lines = desk.audit()
    told = sorted((line["table"] or "", line["rows"] or 0) for line in lines)  # each is written when its last byte has gone
    assert told == [("", 0), ("", 0), ("dim_customers", 20), ("fact_orders", 0), ("fact_orders", 0), ("fact_orders", 7)]
    assert {line["route"] for line in lines} == {"/odata/v4/{rest:path}"}


def test_s12_refusals_are_kept_apart_and_without_the_name_that_was_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    with desk.serving(), desk.client(SECRET, "x") as nobody, desk.client("root", "wrong") as wrong:
        nobody.get("/files/")
        wrong.get("/files/")
    assert [(line["user"], line["status"]) for line in desk.audit("refusals")] == [(None, 401), ("root", 401)]
    assert desk.audit() == []


def test_s12_the_audit_is_bounded_and_only_ever_appended_to(tmp_path: Path) -> None:
    audit = Audit(tmp_path, "reads", 12_000_000)
    for number in range(100):
        audit.write({"n": number, "text": "x" * 250_000})
    files = audit.files()
    assert sum(path.stat().st_size for path in files) <= 12_500_000 and files[0].name != "reads-000001.jsonl"
    assert json.loads(files[-1].read_text().splitlines()[-1])["n"] == 99
    assert files[-1].stat().st_mode & 0o777 == 0o600
    before = files[-1].read_bytes()
    again = Audit(tmp_path, "reads", 12_000_000)
    again.write({"n": 100})
    assert files[-1].read_bytes() == before + b'{"n":100}\n'


def test_s12_a_reader_is_answered_and_the_log_told_when_nothing_can_be_written_down(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    desk.settings.audit.write_text("in the way")
    with desk.serving(), desk.client("root") as root:
        assert root.get("/files/fact_orders.csv").status_code == 200
    assert ("a read could not be written down", {"folder": "audit", "error": "File exists"}) in desk.log.lines


def test_counters_hear_of_every_request_but_those_for_health(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    class Counting(NoCounters):
        def observe(self, **facts: Any) -> None:
            heard.append(facts)

    desk = Desk(tmp_path).with_users("root")
    publish(desk.published, "000001")
    with desk.serving(Parts(roles=lambda: ROLES, counters=Counting())), desk.client("root") as root:
        root.get("/health/live")
        root.get("/files/fact_orders.csv")
        root.get("/files/x.csv")
    assert [(one["route"], one["status"], one["rows"]) for one in heard] == [("/files/{file}", 200, 200), ("/files/{file}", 404, 0)]
    assert heard[0]["bytes"] > 1000 and heard[0]["seconds"] > 0


def test_a_full_disk_refuses_an_export_and_the_feed_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path).with_users("anna")
    publish(desk.published, "000001")
    with desk.serving(), desk.client("anna") as anna:
        shutil.rmtree(desk.settings.scratch, ignore_errors=True)
        desk.settings.scratch.write_text("in the way")  # no folder can be made here
        assert anna.get("/files/fact_orders.csv").status_code in (500, 507)
        os.unlink(desk.settings.scratch)
        assert anna.get("/files/fact_orders.csv").status_code == 200


def test_settings_of_the_feed_are_read(tmp_path: Path) -> None:
    settings = replace(Desk(tmp_path).settings, requests_per_minute=60)
    assert (settings.allow_plain_http, settings.requests_per_minute, settings.secrets) == (False, 60, tmp_path / "secrets")
