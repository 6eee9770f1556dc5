"""What each partition asks of the running feed, window by window: the right rows, and each once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx

from pipeline.clock import Clock
from pipeline.feed.serving import Parts, start
from pipeline.feed.users import UserFile
from pipeline.powerbi.catalog import Table, read_catalog
from pipeline.powerbi.queries import request
from pipeline.powerbi.trust import with_trust
from tests.powerbi.conftest import Exported
from tests.powerbi.test_queries import EACH, Make
from tests.readers.desk import Log

PASSWORD = "a long enough password"
SPLIT = {"shop": datetime(2024, 2, 1), "online_retail": datetime(2010, 12, 8), "olist": datetime(2018, 1, 1)}
HEADERS = {"OData-MaxVersion": "4.0", "Accept": "application/json;odata.metadata=minimal;q=1.0,application/json;q=0.9"}


@contextmanager
def feed(made: Exported) -> Iterator[httpx.Client]:
    """The feed over a shop, asked with the headers of Power Query."""
    settings = replace(made.project.settings, http_port=0)
    UserFile(settings.secrets).add("powerbi", "admin", PASSWORD, Clock().now())
    server = start(settings, Parts(), Log())
    base, auth = f"http://127.0.0.1:{server.port}", ("powerbi", PASSWORD)
    with httpx.Client(base_url=base, auth=auth, headers=HEADERS, timeout=60, trust_env=False) as client:
        yield client
    server.stop()


Window = tuple[datetime, datetime]


def rows(client: httpx.Client, table: Table, version: str = "", window: Window | None = None) -> list[dict[str, Any]]:
    """All pages of the request of a table."""
    address, options = request(table, f"{str(client.base_url).rstrip('/')}/odata/v4/", version, window)
    found: list[dict[str, Any]] = []
    answer = client.get(address, params=options)
    while True:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += body["value"]
        if "@odata.nextLink" not in body:
            return found
        answer = client.get(body["@odata.nextLink"])


@EACH
def test_every_request_gives_its_columns_and_all_its_rows(exported: Make, name: str) -> None:
    made = exported(name)
    with feed(made) as client:
        for table in with_trust(read_catalog(made.project, made.manifest)).tables:
            found = rows(client, table)
            assert found and set(found[0]) == {column.source for column in table.columns}, table.source
            if table.source in made.manifest["tables"]:
                assert len(found) == made.manifest["tables"][table.source]["rows"], table.source


@EACH
def test_two_windows_give_the_right_rows_each_once(exported: Make, name: str) -> None:
    made = exported(name)
    windows = [(datetime(1900, 1, 1), SPLIT[name]), (SPLIT[name], datetime(2200, 1, 1))]
    with feed(made) as client:
        for table in (table for table in read_catalog(made.project, made.manifest).tables if table.refresh_by):
            keys: list[tuple[Any, ...]] = []
            for first, last in windows:
                found = rows(client, table, f"@{made.snapshot.version}/", (first, last))
                inside = f"{table.refresh_by} >= TIMESTAMP '{first}' AND {table.refresh_by} < TIMESTAMP '{last}'"
                assert made.ask(f"SELECT count(*) FROM {table.source} WHERE {inside}") == [(len(found),)] and found
                keys += [tuple(row[column] for column in table.key) for row in found]
            assert len(set(keys)) == len(keys) == made.manifest["tables"][table.source]["rows"]


def test_what_is_published_and_how_fresh_it_is_can_be_asked(exported: Make) -> None:
    made = exported("shop")
    catalog = with_trust(read_catalog(made.project, made.manifest))
    with feed(made) as client:
        (shown,), freshness = (rows(client, table) for table in catalog.tables if table.source.startswith("_"))
        assert shown["version"] == made.snapshot.version
        assert datetime.fromisoformat(shown["published_at"]).tzinfo is not None
        assert {row["table"] for row in freshness} == set(made.manifest["tables"])


def test_a_pinned_version_that_is_gone_says_so(exported: Make) -> None:
    with feed(exported("shop")) as client:
        answer = client.get("/odata/v4/@999999/fact_orders")
        assert answer.status_code == 410 and "999999" in answer.json()["error"]["message"]
