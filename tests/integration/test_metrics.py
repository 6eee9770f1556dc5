"""The metrics: what the ledger says, nothing else; few series, whatever comes."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.clock import Clock
from pipeline.errors import ProjectError
from pipeline.feed.counters import BUCKETS, FeedCounters
from pipeline.feed.library import Library
from pipeline.keeper import Keeper
from pipeline.log import logger
from pipeline.metrics.exporter import Exporter
from pipeline.metrics.families import BY_NAME, FAMILIES, LEDGER, Family
from pipeline.metrics.ledger import LedgerPage
from pipeline.metrics.live import Pulse, certificate_end, memory_limit
from pipeline.metrics.text import Sheet, Starts, family_text
from pipeline.project.project import Project
from pipeline.runner import Order, execute, open_warehouse
from pipeline.warehouse.database import Database, open_database
from tests.conftest import Shop
from tests.integration.test_service import Served
from tests.quality.little import agree, attributes

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBbjCCAROgAwIBAgIUC9ncXB0bmZ8PQ/Y9Wr+iIvXoKBowCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAeFw0yNjExMjEwODE4NTZaFw0zNjExMTgwODE4NTZaMAwx
CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARH3QvFUnUxYWmR
SgeEGiIaR0Z4E/7FThpWZfVMsBgouf/azvtL8QdZAFymb65FZqxsi3Pr6US300vi
ngEsSfq9o1MwUTAdBgNVHQ4EFgQULpA8ofHlFL3agIKYoyVUaF6ZBJowHwYDVR0j
BBgwFoAULpA8ofHlFL3agIKYoyVUaF6ZBJowDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNJADBGAiEAn/FEOYcZnvQ1/Z3YhBB9HuLndu0hPk5FQL3uJcPFjLgC
IQCnIrJs9OSLE/JdFgw2DVfuQGLIgJMu+Qhl7UYLtjM60A==
-----END CERTIFICATE-----
"""


class Registry:
    """One family, for the library to write."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def exporter_of(project: Project, pulse: Pulse | None = None) -> Exporter:
    @contextmanager
    def reading() -> Iterator[Database]:
        database = open_database(project.settings, read_only=True)
        try:
            yield database
        finally:
            database.close()

    return Exporter(lambda: project, reading, pulse or Pulse(), Clock(), logger())


def samples(page: bytes) -> Samples:
    families = text_string_to_metric_families(page.decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def scraped(shop: Shop, pulse: Pulse | None = None) -> Samples:
    exporter = exporter_of(shop.project(), pulse)
    exporter.page()
    exporter.settle()
    return samples(exporter.page())


def one(found: Samples, name: str, **labels: str) -> float:
    return found[f"goldfeed_{name}", frozenset(labels.items())]


def names(found: Samples) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in found if name.startswith("goldfeed_")}


def ledger_part(found: Samples) -> Samples:
    known = {family.name for family in LEDGER}
    return {key: value for key, value in found.items() if names({key: value}) & known}


def test_o1_the_metrics_are_those_of_status_and_the_same_after_a_restart(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,paid,x,2024-01-01", "3,c,odd,1.00,2024-01-01")
    shop.run()
    shop.drop_orders("orders_2.csv", "1,c,shipped,2.00,2024-01-02")
    shop.run()
    shop.drop_orders("orders_3.csv", "4,c,paid,1.00,2024-01-01")
    found, status = scraped(shop), shop.cli_json("status")
    for table in status["tables"]:
        for column, outcome in (("rows_in", "in"), ("kept", "kept"), ("superseded", "superseded"), ("quarantined", "quarantined")):
            layer = table["table"].partition(".")[0]
            assert one(found, "table_rows", layer=layer, table=table["table"], outcome=outcome) == table[column]
    assert one(found, "publication_version") == int(status["version"])
    assert one(found, "files_waiting", source="orders") == status["landing"]["waiting"] == 1
    assert one(found, "last_run_status", flow="tiny", status=status["last_run"]["status"]) == 1
    assert one(found, "runs_total", flow="tiny", status="succeeded") == 2
    assert one(found, "run_duration_seconds_count", flow="tiny") == 2
    assert one(found, "read_bytes_total", source="orders") > 100
    assert one(found, "quarantined_rows", source="orders", reason="amount is not a decimal(18,2)") == 1
    assert ledger_part(scraped(shop)) == ledger_part(found) != {}


def test_o1_a_failed_task_shows_and_goes_when_it_is_mended(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    good = shop.write("sql/gold/totals.sql", (shop.folder / "sql/gold/totals.sql").read_text()).read_text()
    shop.write("sql/gold/totals.sql", good.replace("sum(amount)", "sum(CAST(status AS INTEGER))"))
    assert shop.run().status == "failed"
    found = scraped(shop)
    assert one(found, "task_failed", layer="gold", table="gold.totals") == 1
    assert one(found, "task_failed", layer="silver", table="silver.orders") == 0
    assert one(found, "last_run_status", flow="tiny", status="failed") == 1
    shop.write("sql/gold/totals.sql", good)
    assert shop.run().status == "succeeded"
    found = scraped(shop)
    assert one(found, "task_failed", layer="gold", table="gold.totals") == 0
    assert one(found, "tasks_total", flow="tiny", layer="gold", status="failed") == 1


def test_o1_a_thousand_files_make_no_new_series_and_no_name_of_a_file_shows(shop: Shop) -> None:
    shop.drop_orders("orders_0.csv", "1,c,paid,1.00,2024-01-01", "2,c,paid,x1,2024-01-01")
    shop.run()
    shop.drop_orders("orders_00.csv", "1,c,paid,1.00,2024-01-01")
    shop.run()
    before = set(scraped(shop))
    for number in range(1000):
        shop.drop_orders(f"orders_secret{number}.csv", f"{number},c{number},paid,1.00,2024-01-02", f"k{number},c,paid,x{number},2024-01-01")
    shop.run()
    page = exporter_of(shop.project()).page()
    assert {key for key in samples(page) if "business" not in key[0]} == before and b"secret" not in page


def test_every_family_shows_once_there_is_something_to_say(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,paid,x,2024-01-01")
    shop.run()
    shop.drop_orders("orders_2.csv", "4,c,paid,1.00,2024-01-01")
    counters = FeedCounters()
    counters.observe(route="/files/{table}", status=200, seconds=0.02, rows=10, bytes=1000)
    now = datetime(2024, 1, 1)
    pulse = Pulse(lambda: {"tiny": now}, lambda: now, lambda: {("team", "sent"): 1}, lambda: 2, lambda: 5, counters)
    found = scraped(shop, pulse)
    known = {family.name for family in FAMILIES}
    absent = {"run_start_timestamp_seconds", "scheduler_lag_timestamp_seconds", "certificate_expiry_timestamp_seconds", "checks_total", "contract_checks"}
    assert known - names(found) == {f"goldfeed_{name}" for name in absent}
    assert names(found) <= known
    assert one(found, "feed_requests_total", route="/files/{table}", status="200") == 1
    assert one(found, "next_run_timestamp_seconds", flow="tiny") == now.replace(tzinfo=UTC).timestamp()


def test_o1_what_is_added_up_from_scrape_to_scrape_is_what_a_new_start_reads(shop: Shop) -> None:
    """Through runs that fail and succeed, one under way, retention, and another ledger in the place of the first."""
    agree(shop, "gold.totals", f"- row_count: {{threshold: {{must_be_less_than: 3}}, {attributes('consistency')}}}", counted=False)
    project, good = shop.project(), (shop.folder / "sql/gold/totals.sql").read_text()
    page, seen = LedgerPage(project), set[str]()

    def same() -> None:
        database = open_warehouse(project, Clock())
        found, new = page.text(database), LedgerPage(project).text(database)
        database.close()
        assert sorted(found.splitlines()) == sorted(new.splitlines())
        seen.add(found)

    def ledger(*statements: str) -> None:
        database = open_database(project.settings)
        for statement in statements:
            database.run(statement)
        if "running" in statements[0]:
            assert sorted(page.text(database).splitlines()) == sorted(LedgerPage(project).text(database).splitlines())
        database.close()

    same()
    for number in range(4):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,{'paid' if number % 2 else 'shipped'},1.00,2024-01-01", "x,c,odd,y,z")
        shop.write("sql/gold/totals.sql", good.replace("sum(amount)", "sum(CAST(status AS INTEGER))") if number == 2 else good)
        shop.run()
        same()
    ledger("INSERT INTO ledger.runs VALUES (9, 'tiny', 'running', '2024-01-01', NULL, NULL, NULL)",
           "INSERT INTO ledger.tasks VALUES (9, 'build gold.totals', 'gold', 'gold.totals', 'failed', 2, 1, 1, 0, 0, 0.5, '2024-01-01', 'x')")
    same()  # it was cut off
    ledger("DELETE FROM ledger.runs WHERE run_id = 1", "DELETE FROM ledger.tasks WHERE run_id = 1", "INSERT INTO ledger.retentions VALUES ('2030-01-01', 'ledger', 'runs', 1)")
    same()
    project.settings.warehouse.unlink()
    shop.drop_orders("orders_9.csv", "9,c,paid,1.00,2024-01-01")
    shop.run()
    same()
    assert len(seen) == 8


@settings(max_examples=50)
@given(st.dictionaries(st.tuples(st.text(max_size=4), st.sampled_from(["a", 'q"', "b\\", "n\n"])), st.floats() | st.integers(-10, 10**12), max_size=4))
def test_the_page_is_written_as_the_library_writes_it(values: dict[tuple[str, str], float]) -> None:
    for name, made in (("files_waiting", GaugeMetricFamily), ("files_total", CounterMetricFamily)):
        family = Family(f"goldfeed_{name}", "gauge" if made is GaugeMetricFamily else "counter", ("one", "other"), 'Of a "kind"\\')
        theirs = made(family.name, family.help, labels=family.labels)
        for labels, value in values.items():
            theirs.add_metric(labels, value)
        assert family_text(family, values, Starts()).encode() == generate_latest(Registry(theirs))


def test_a_histogram_is_written_as_the_library_writes_it() -> None:
    sheet, theirs = Sheet(), HistogramMetricFamily("goldfeed_run_duration_seconds", BY_NAME["goldfeed_run_duration_seconds"].help, labels=["flow"])
    sheet.histogram("run_duration_seconds", (0.5, 10.0), (1, 2, 4), 12.5, "x")
    theirs.add_metric(["x"], [("0.5", 1.0), ("10.0", 3.0), ("+Inf", 7.0)], 12.5)
    assert sheet.text().encode() == generate_latest(Registry(theirs))


def test_f3_a_withheld_publication_shows_within_one_scrape_and_goes_with_the_next_good_one(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    agree(shop, "gold.totals", f"- row_count: {{threshold: {{must_be_less_than: 2}}, {attributes('consistency')}}}", counted=False)
    assert shop.run().status == "succeeded"
    exporter = exporter_of(shop.project())
    labels = {"layer": "gold", "table": "gold.totals", "dimension": "consistency", "severity": "error"}
    assert one(samples(exporter.page()), "contract_checks", outcome="passed", **labels) == 1
    shop.drop_orders("orders_2.csv", "2,c,shipped,1.00,2024-01-01")
    assert shop.run().status == "withheld"
    found = samples(exporter.page())
    assert one(found, "publication_withheld") == 1 == one(found, "contract_checks", outcome="failed", **labels)
    assert one(found, "checks_total", layer="gold", dimension="consistency", severity="error", outcome="passed") == 1
    shop.drop_orders("orders_3.csv", "2,c,paid,1.00,2024-01-02")
    assert shop.run().status == "succeeded"
    assert one(samples(exporter.page()), "publication_withheld") == 0


def test_k9_damage_that_readers_come_upon_shows_until_they_see_another_version(shop: Shop) -> None:
    for number in (1, 2):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,paid,1.00,2024-01-01")
        shop.run()
    path = shop.home / "published/000002/totals.parquet"
    content = path.read_bytes()
    path.unlink()  # it may be a hard link
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    counters = FeedCounters()
    library = Library(shop.project().settings, counters.found_damaged)
    assert one(scraped(shop, Pulse(feed=counters)), "publication_damaged") == 0
    assert library.current().version == "000001"
    assert one(scraped(shop, Pulse(feed=counters)), "publication_damaged") == 1
    shop.cli("rollback", "000001")
    assert library.current().version == "000001"
    assert one(scraped(shop, Pulse(feed=counters)), "publication_damaged") == 0


def test_a_run_that_is_under_way_and_one_that_is_due_show(shop: Shop) -> None:
    shop.run()
    shop.warehouse("SELECT 1")
    database = open_database(shop.project().settings)
    database.run("INSERT INTO ledger.runs VALUES (9, 'tiny', 'running', '2024-01-01', NULL, NULL, NULL)")
    database.run("INSERT INTO ledger.due VALUES ('tiny', '2024-01-02', 'waiting', NULL, '2024-01-02'), ('tiny', '2024-01-01', 'skipped', NULL, '2024-01-02')")
    database.run("INSERT INTO ledger.runs VALUES (8, 'tiny', 'failed', '2024-01-01', '2024-01-03', NULL, 'x')")
    database.close()
    found = scraped(shop)
    assert one(found, "run_start_timestamp_seconds", flow="tiny") == datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    assert one(found, "scheduler_lag_timestamp_seconds", flow="tiny") == datetime(2024, 1, 2, tzinfo=UTC).timestamp()
    assert one(found, "missed_runs_total", flow="tiny") == 1 == one(found, "sla_breaches_total", flow="tiny")


def test_without_a_warehouse_there_is_a_page(shop: Shop) -> None:
    found = scraped(shop)
    assert one(found, "publication_version") == 0 and one(found, "files_waiting", source="orders") == 0


def test_figures_of_the_business_are_asked_of_the_published_version(shop: Shop) -> None:
    figures = "name: tiny\nmetrics:\n  paid_orders: {description: Paid orders, sql: \"SELECT orders FROM totals WHERE status = 'paid'\"}\n  broken: {description: x, sql: SELECT nothing FROM totals}\n  none: {description: x, sql: SELECT NULL}\n"
    shop.write("goldfeed.yml", figures)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,paid,1.00,2024-01-01")
    shop.run()
    found = scraped(shop)
    assert one(found, "business_paid_orders") == 2
    assert not {"goldfeed_business_broken", "goldfeed_business_none"} & names(found)


@pytest.mark.parametrize("name", ["Revenue", "revenue_total", "a-b", "1st"])
def test_a_figure_with_a_wrong_name_is_refused(shop: Shop, name: str) -> None:
    shop.write("goldfeed.yml", f"name: tiny\nmetrics:\n  {name}: {{description: x, sql: SELECT 1}}\n")
    with pytest.raises(ProjectError, match=r"goldfeed.yml:3.*is no name of a metric"):
        shop.project()


def test_routes_beyond_a_bound_are_counted_together_and_durations_fall_into_their_bucket() -> None:
    counters = FeedCounters()
    for number in range(100):
        counters.observe(route=f"/{number}", status=200, seconds=0.0, rows=1, bytes=1)
    counters.observe(route="/0", status=503, seconds=1000.0, rows=0, bytes=0)
    counters.observe(route="/0", status=200, seconds=BUCKETS[2], rows=0, bytes=0)
    read = counters.read()
    assert len(read) == 51 and read["other"].statuses == {200: 50}
    assert read["/0"].statuses == {200: 2, 503: 1} and read["/0"].durations[-1] == read["/0"].durations[2] == 1


def test_the_end_of_a_certificate_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    path.write_text(CERTIFICATE)
    assert certificate_end(path) == datetime.strptime("Nov 18 08:18:56 2036 GMT", "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def test_the_limit_of_the_container_counts_where_there_is_one(tmp_path: Path) -> None:
    old = tmp_path / "memory" / "memory.limit_in_bytes"
    old.parent.mkdir()
    old.write_text("2097152\n")
    assert memory_limit(tmp_path) == 2097152
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory_limit(tmp_path) == 1048576
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit(tmp_path) == memory_limit(tmp_path / "nothing") > 1e8


def test_a_scrape_waits_for_the_ledger_only_so_long_and_shows_it_at_the_next(shop: Shop) -> None:
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    shop.run()
    project, free = shop.project(), threading.Event()

    @contextmanager
    def slow() -> Iterator[Database]:
        free.wait(20)
        database = open_database(project.settings, read_only=True)
        try:
            yield database
        finally:
            database.close()

    exporter = Exporter(lambda: project, slow, Pulse(), Clock(), logger(), patience=0.1)
    assert b"goldfeed_publication_version 1.0" in exporter.page() and b"goldfeed_runs_total" not in exporter.page()
    free.set()
    exporter.settle()
    assert b"goldfeed_runs_total" in exporter.page()


def test_a_scrape_after_a_run_shows_it_without_opening_the_warehouse(shop: Shop) -> None:
    project, keeper = shop.project(), Keeper(Clock())
    exporter = Exporter(lambda: project, lambda: keeper.reading(project, bare=True), Pulse(), Clock(), logger(), state=keeper.state)
    keeper.before_close = exporter.closing
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    with keeper.writing(project) as database:
        execute(project, database, Order())
        assert one(samples(exporter.page()), "files_total", outcome="loaded") == 1
        database.run("UPDATE ledger.runs SET status = 'failed'")
    closed = keeper.state()
    assert one(samples(exporter.page()), "runs_total", flow="tiny", status="failed") == 1
    assert keeper.state() == closed and keeper.memory() == 0


def test_the_service_answers_on_a_port_of_its_own_while_it_runs(shop: Shop) -> None:
    shop.write("goldfeed.yml", "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *', on_arrival: 0.2}\n")
    served = Served(shop)
    try:
        port = served.until(lambda: served.said("serving"))[0]["metrics"]

        def page(path: str = "/metrics") -> Samples:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return samples(answer.read())

        shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
        served.until(lambda: served.said("run", status="succeeded"))
        found: Any = served.until(lambda: now if one((now := page()), "runs_total", flow="tiny", status="succeeded") else None)
        assert one(found, "next_run_timestamp_seconds", flow="tiny") > one(found, "scheduler_turn_timestamp_seconds")
        assert found["process_resident_memory_bytes", frozenset()] > 1e7
        with pytest.raises(urllib.error.HTTPError):
            page("/else")
    finally:
        served.process.kill()
        served.process.wait()


def test_every_metric_in_the_code_has_a_help_and_a_unit_in_its_name() -> None:
    for family in FAMILIES:
        assert family.help and (family.kind != "counter" or family.name.endswith("_total"))
        assert family.kind != "histogram" or family.name.endswith("_seconds")
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
