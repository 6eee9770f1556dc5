"""One door: while the service runs, commands typed beside it go through it and show what they always show."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.commands.wire import SOCKET, connect
from pipeline.errors import GoldfeedError
from tests.conftest import ROOT, Shop
from tests.integration.test_service import ONE_SECOND, SLOW, Served, serve

__all__ = ["serve"]
IDLE = "name: tiny\nflows:\n  tiny: {schedule: '0 2 * * *'}\n"
HELD = '''"""Waits until the test lets it go, a minute at most.

---
description: x
key: [status]
columns: {{status: x}}
---
"""

import pathlib
import time

import polars as pl


def model(orders: pl.LazyFrame) -> pl.LazyFrame:
    latest = time.monotonic() + 60
    while not pathlib.Path({go!r}).exists() and time.monotonic() < latest:
        time.sleep(0.02)
    return orders.select("status").unique()
'''


def filled(shop: Shop) -> None:
    shop.write("goldfeed.yml", IDLE)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01", "2,c,lost,1.00,2024-01-01", "3,c,paid,nine,2024-01-01")


def up(shop: Shop, serve: Callable[..., Served], **environ: str) -> Served:
    served = serve(shop, **environ)
    served.until(lambda: served.said("serving"))
    return served


def same(text: str) -> str:
    """Output without what differs from run to run: times and lengths of time."""
    return re.sub(r"\d+\.\d+( s\b)?|\d{4}-\d\d-\d\dT?[ \d:.]*|\s{2,}|[━─]+", "~", text)


def typed(shop: Shop, *words: str) -> tuple[int, str, str]:
    """Exit code, output and error of a command, without the start of an interpreter."""
    done = CliRunner(env=shop.environ).invoke(app, ["--project", str(shop.folder), "--home", str(shop.home), *words])
    if isinstance(done.exception, GoldfeedError):
        return done.exception.exit_code, done.stdout, done.exception.sentence()
    return done.exit_code, done.stdout, done.stderr


READS = [
    ("status",), ("history",), ("history", "--limit", "0"), ("plan",), ("quarantine", "list"), ("quarantine", "show", "1"),
    ("quarantine", "show", "99"), ("doctor",), ("query", "--warehouse", "SELECT status, amount FROM silver.orders"),
    ("query", "--warehouse", "SELECT nothing FROM silver.orders"), ("retry", "1"), ("retry", "77"), ("checks",),
]  # fmt: skip


def test_the_commands_show_the_same_with_and_without_a_service(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    assert shop.cli("run").returncode == 0
    words = [*READS, *((*read, "--json") for read in READS)]
    alone = [typed(shop, *word) for word in words]
    up(shop, serve)
    for word, (code, out, err) in zip(words, alone, strict=True):
        now = typed(shop, *word)
        assert (now[0], same(now[1]), same(now[2])) == (code, same(out), same(err)), word


def test_a_run_through_the_service_shows_progress_and_the_same_table_and_json(tmp_path: Path, shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    twin = Shop(tmp_path / "twin")
    shutil.copytree(shop.folder, twin.folder, dirs_exist_ok=True)
    alone = twin.cli("run")
    served = up(shop, serve)
    through = shop.cli("run")
    assert (through.returncode, same(through.stdout)) == (0, same(alone.stdout))
    assert sorted(same(through.stderr).splitlines()) == sorted(same(alone.stderr).splitlines())
    assert "ingest bronze.orders: succeeded" in through.stderr
    served.until(lambda: served.said("run", status="succeeded", because="asked for"))
    assert shop.cli_json("run")["status"] == "nothing_to_do"
    again = shop.cli("backfill", "--from", "2000-01-01", "--to", "2100-01-01", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["accounting"]["bronze"] == 2
    assert json.loads(shop.cli("rollback", "000001", "--json").stdout)["version"] == "000001"


def test_the_socket_is_for_its_owner_alone_and_answers_nonsense_with_an_error(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    up(shop, serve)
    assert stat.S_IMODE((shop.home / SOCKET).stat().st_mode) == 0o600
    for request in (b"POST /call HTTP/1.0\r\nContent-Length: 3\r\n\r\n[1]", b"POST /call HTTP/1.0\r\nContent-Length: x\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        line = connect(shop.home, 5)
        assert line is not None
        with line:
            line.sendall(request)
            assert line.recv(100).startswith((b"HTTP/1.0 400", b"HTTP/1.0 501"))
    assert shop.cli("status").returncode == 0


def test_errors_have_the_same_words_and_codes(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    words = (("run", "--select", "gold.totls"), ("backfill", "--from", "x", "--to", "y"), ("rollback", "7"))
    alone = [shop.cli(*word) for word in words]
    up(shop, serve)
    for word, before in zip(words, alone, strict=True):
        now = shop.cli(*word)
        assert now.returncode and (now.returncode, now.stderr) == (before.returncode, before.stderr)
    shop.write("sql/gold/totals.sql", "SELECT 1")
    broken = shop.cli("run")
    assert broken.returncode == 1 and "a model begins with a header" in broken.stderr


def test_a_failed_run_has_exit_code_one(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    shop.write("sql/gold/bad.sql", "/* ---\ndescription: x\n--- */\nSELECT CAST('x' || order_id AS INTEGER) AS n FROM silver.orders\n")
    up(shop, serve)
    done = shop.cli("run")
    assert done.returncode == 1 and "build gold.bad failed" in done.stdout
    shop.write("sql/gold/bad.sql", "/* ---\ndescription: x\n--- */\nSELECT order_id AS n FROM silver.orders\n")
    assert shop.cli("retry", "1").returncode == 0


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO silver.orders SELECT * FROM silver.orders", "DROP TABLE silver.orders", "SET threads = 1", "ATTACH ':memory:' AS x",
        "COPY silver.orders TO '/tmp/x.csv'", "SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM '/etc/hostname'", "SELECT 1; SELECT 2",
        "PRAGMA enable_profiling", "WITH a AS (SELECT * FROM glob('/*')) SELECT * FROM a", "SELECT (SELECT content FROM read_blob('/etc/hostname'))",
        "SELECT getenv('HOME')", "EXPLAIN ANALYZE DELETE FROM silver.orders", "SELECT * FROM sniff_csv('/etc/hostname')",
    ],
)  # fmt: skip
def test_a_query_reads_the_warehouse_and_nothing_else(asked: Shop, sql: str) -> None:
    done = asked.cli("query", "--warehouse", sql)
    assert done.returncode == 2 and done.stdout == "", (done.stdout, done.stderr)
    assert done.stderr.startswith("error: query: ")


def test_a_query_may_describe_explain_and_nest(asked: Shop) -> None:
    for sql in ("DESCRIBE silver.orders", "EXPLAIN SELECT 1", "SUMMARIZE silver.orders", "WITH a AS (SELECT 1 AS n) SELECT * FROM a, range(3)", "FROM ledger.runs"):
        done = asked.cli("query", "--warehouse", sql)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A shop with a service that runs for all of the questions."""
    from tests import conftest

    made = Shop(tmp_path_factory.mktemp("asked"))
    made.write("sql/bronze/orders.yml", conftest.ORDERS_YML)
    made.write("sql/silver/orders.sql", conftest.SILVER_ORDERS)
    filled(made)
    assert made.cli("run").returncode == 0
    served = Served(made)
    served.until(lambda: served.said("serving"))
    yield made
    served.process.kill()
    served.process.wait()


def test_reads_go_beside_a_run_and_runs_wait_for_their_turn(tmp_path: Path, shop: Shop, serve: Callable[..., Served]) -> None:
    go = tmp_path / "go"
    shop.write("goldfeed.yml", ONE_SECOND)
    shop.write("sql/gold/held.py", HELD.format(go=str(go)))
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served = up(shop, serve)
    served.until(lambda: served.page("/health/ready")[1]["running"] == "tiny")
    assert shop.cli_json("status")["last_run"]["status"] == "running"
    assert json.loads(shop.cli("query", "--warehouse", "--json", "SELECT count(*) AS n FROM ledger.runs").stdout) == [{"n": 1}]
    assert served.page("/health/ready")[1]["running"] == "tiny"
    later = shop.begin("run")
    assert later.stderr is not None
    assert any("another run holds the warehouse; this one waits for it" in line for line in later.stderr)
    go.touch()
    assert later.wait(60) == 0
    assert [run["status"] for run in shop.cli_json("history")["runs"]] == ["succeeded"]


def test_a_backfill_waits_no_longer_than_it_was_told_to(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", ONE_SECOND)
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served = up(shop, serve)
    served.until(lambda: served.page("/health/ready")[1]["running"] == "tiny")
    done = shop.cli("backfill", "--from", "2024-01-01", "--to", "2024-01-02", "--wait", "0.3")
    assert done.returncode == 1 and "another run holds the warehouse; wait until it ends" in done.stderr


def test_a_run_whose_caller_leaves_is_interrupted_and_the_next_one_goes_on(shop: Shop, serve: Callable[..., Served]) -> None:
    shop.write("goldfeed.yml", IDLE)
    shop.write("sql/gold/slow.sql", SLOW)
    shop.drop_orders("orders_1.csv", "1,c,paid,1.00,2024-01-01")
    served = up(shop, serve)
    words = [sys.executable, "-m", "pipeline.cli", "--project", str(shop.folder), "--home", str(shop.home), "run"]
    typed = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **shop.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    served.until(lambda: served.page("/health/ready")[1]["running"] == "tiny")
    time.sleep(1.0)
    typed.send_signal(signal.SIGINT)
    assert typed.wait(10) == 130
    served.until(lambda: served.said("run", status="interrupted"))
    (shop.folder / "sql/gold/slow.sql").unlink()
    assert shop.cli("run").returncode == 0
    assert shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]


def test_a_socket_left_by_a_killed_service_breaks_nothing(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    served = up(shop, serve)
    served.process.kill()
    served.process.wait()
    assert (shop.home / SOCKET).exists()
    assert shop.cli("run").returncode == 0 and shop.cli("status").returncode == 0
    up(shop, serve)
    assert shop.cli("status").returncode == 0


def test_a_service_killed_in_the_middle_of_a_call_is_said(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    up(shop, serve, GOLDFEED_CRASH_AT="build.before_commit")
    done = shop.cli("run")
    assert done.returncode == 1 and "the service ended or fell silent while it worked on this" in done.stderr
    assert shop.cli("run").returncode == 0 and shop.ask("SELECT * FROM totals") == [("paid", 1, 1)]


def test_a_reader_who_has_seen_enough_is_not_told_that_the_service_is_gone(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    up(shop, serve)
    with shop.begin("status") as asked:
        assert asked.stdout is not None and asked.stderr is not None
        asked.stdout.close()
        assert (asked.wait(60), asked.stderr.read()) == (1, "")


def test_k7_a_second_service_on_one_home_is_refused(shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    up(shop, serve)
    began = time.monotonic()
    done = shop.cli("serve", env={"GOLDFEED_HTTP_PORT": "0"})
    assert done.returncode == 1 and "another service runs on this home; stop it first" in done.stderr
    assert time.monotonic() - began < 5
    assert shop.cli("status").returncode == 0


def test_another_project_on_the_same_home_is_refused(tmp_path: Path, shop: Shop, serve: Callable[..., Served]) -> None:
    filled(shop)
    other = tmp_path / "other"
    shutil.copytree(shop.folder, other, dirs_exist_ok=True)
    up(shop, serve)
    done = Shop(other, shop.home).cli("run")
    assert done.returncode == 2 and "a service runs on" in done.stderr and "give another --home" in done.stderr


def test_a_home_with_a_long_name_has_a_socket_too(tmp_path: Path, shop: Shop, serve: Callable[..., Served]) -> None:
    shop.home = tmp_path / ("long" * 30) / "home"
    filled(shop)
    assert len(str(shop.home / SOCKET)) > 108 and hasattr(socket, "AF_UNIX")
    up(shop, serve)
    assert connect(shop.home, 5) is not None
    assert shop.cli_json("run")["status"] == "succeeded"
