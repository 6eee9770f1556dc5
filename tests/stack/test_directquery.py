"""The profile `directquery` as it ships: every publication comes into PostgreSQL whole, and those who look see no half."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import yaml

from tests.stack.engine import ROOT, composed, docker, free_ports, until

pytestmark = pytest.mark.stack
LOOK = (
    "SELECT (SELECT version FROM gold._feed), (SELECT count(*) FROM gold.fact_orders), (SELECT sum(orders) FROM gold.mart_daily_kpis), "
    "(SELECT sum(item_count) FROM gold.fact_orders), (SELECT sum(quantity) FROM gold.fact_order_items)"
)
# One shell for all publications: a number comes in, an order with one line is dropped and taken in, the version goes out.
PUBLISH = """
while read -r number; do
    cd /data/landing
    order=$(printf 'N%08d' "$number") when='2024-01-20 10:00:00'
    printf 'order_id,customer_id,status,ordered_at,updated_at\\n%s,C000001,paid,%s,%s\\n' "$order" "$when" "$when" >orders.part
    printf 'order_id,line_number,product_id,quantity,unit_price,freight_amount,updated_at\\n%s,1,P00001,2,9.50,1.00,%s\\n' \\
        "$order" "$when" >order_items.part
    touch -d '1 minute ago' orders.part order_items.part
    for name in orders order_items; do mv $name.part ${name}_${order#N}.csv; done
    cd /project && goldfeed run --quiet >&2 && readlink /data/published/current
done
"""


@dataclass
class Stack:
    """goldfeed, PostgreSQL and the loader between them."""

    port: int
    password: str
    environment: dict[str, str]
    quicker: Path

    def compose(self, *words: str, **given: Any) -> str:
        return docker("--profile", "directquery", *words, env=self.environment, files=(self.quicker,), **given).stdout

    def goldfeed(self, *words: str, **given: Any) -> str:
        return self.compose("exec", "-T", "goldfeed", *words, **given)

    def connect(self, user: str = "goldfeed") -> psycopg.Connection[Any]:
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname="goldfeed", user=user, password=self.password, autocommit=True)

    def ask(self, sql: str) -> list[Any]:
        with self.connect() as connection:
            found = connection.execute(sql)
            return found.fetchall() if found.description else []

    def version(self) -> str:
        """The published version, once PostgreSQL has it."""
        return self.loaded(self.goldfeed("readlink", "/data/published/current").strip())

    def loaded(self, version: str) -> str:
        """A version, once PostgreSQL has it."""
        assert version, "nothing was published"
        until(lambda: self.ask("SELECT 1 FROM pg_namespace WHERE nspname = 'gold'"), 60, 0.1)
        until(lambda: self.ask("SELECT version FROM gold._feed") == [(version,)], 60, 0.1)
        return version


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports, password = free_ports(), secrets.token_hex(8)
    given = {name: str(port) for name, port in ports.items()}
    environment = {**os.environ, **given, "GOLDFEED_POSTGRES_PASSWORD": password, "GOLDFEED_DEMO": "0"}
    quicker = tmp_path_factory.mktemp("compose") / "quicker.yml"
    quicker.write_text(json.dumps({"services": {"directquery": {"command": ["directquery", "load", "--watch", "0.2", "--heartbeat", "/tmp/loaded"]}}}))
    made = Stack(ports["GOLDFEED_POSTGRES_PORT"], password, environment, quicker)
    made.compose("down", "-v", "-t", "1", check=False)
    made.compose("build", "goldfeed")
    made.compose("up", "-d", "--wait")
    made.goldfeed("goldfeed", "demo", "/data/landing", "--orders", "1200", "--days", "30", "--seed", "7", "--dirty", "0.01")
    made.goldfeed("goldfeed", "run")
    yield made
    made.compose("down", "-v", "-t", "1", check=False)


def test_the_tables_equal_gold_row_for_row(stack: Stack, tmp_path: Path) -> None:
    version = stack.version()
    stack.compose("cp", f"goldfeed:/data/published/{version}", str(tmp_path / "gold"))
    tables = json.loads((tmp_path / "gold/manifest.json").read_text())["tables"]
    assert len(tables) == 14 and tables["fact_orders"]["rows"] > 1000
    for name, entry in tables.items():
        names = ", ".join(column["name"] for column in entry["columns"])
        gold = duckdb.connect().execute(f"SELECT {names} FROM read_parquet('{tmp_path}/gold/{entry['file']}')").fetchall()
        assert sorted(stack.ask(f"SELECT {names} FROM gold.{name}"), key=repr) == sorted(gold, key=repr), name
    indexed = {table for (table,) in stack.ask("SELECT DISTINCT tablename FROM pg_indexes WHERE schemaname = 'gold'")}
    assert {"fact_orders", "dim_customers", "dim_date"} <= indexed


class Readers:
    """Two reports that never stop asking; each answer must be of one version, whole."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.stop = stack, threading.Event()
        self.seen, self.wrong = dict[str, set[Any]](), list[Any]()
        self.threads = [threading.Thread(target=self._read) for _ in range(2)]

    def __enter__(self) -> Readers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _read(self) -> None:
        with self.stack.connect("anna") as connection:
            while not self.stop.wait(0.01):  # the loop leaves some of the machine to the rest
                try:
                    ((version, orders, told, items, pieces),) = connection.execute(LOOK).fetchall()
                except psycopg.Error as error:
                    self.wrong.append(error)
                else:
                    self.seen.setdefault(version, set()).add((orders, items))
                    if orders != told or items != pieces:
                        self.wrong.append((version, orders, told, items, pieces))


def test_readers_in_a_loop_see_whole_versions_through_twenty_publications(stack: Stack) -> None:
    stack.ask(f"CREATE ROLE anna LOGIN PASSWORD '{stack.password}' IN ROLE goldfeed_reader")
    first = stack.version()
    with Readers(stack) as readers:
        versions = [first, *_published_and_loaded(stack, range(20))]
    assert readers.wrong == [] and len(set(versions)) == 21
    assert set(readers.seen) == set(versions) and all(len(numbers) == 1 for numbers in readers.seen.values())
    counts = [next(iter(readers.seen[version]))[0] for version in versions]
    assert counts == list(range(counts[0], counts[0] + 21))
    until(lambda: stack.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'gold%'") == [("gold",)], 30)


def _published_and_loaded(stack: Stack, numbers: range) -> Iterator[str]:
    """For each number one more order, a run, and the version that has it once PostgreSQL has it too."""
    words = composed("--profile", "directquery", "exec", "-T", "goldfeed", "sh", "-ec", PUBLISH, files=(stack.quicker,))
    with subprocess.Popen(words, cwd=ROOT, env=stack.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin and shell.stdout
        for number in numbers:
            print(number, file=shell.stdin, flush=True)
            yield stack.loaded(shell.stdout.readline().strip())
        shell.stdin.close()


def test_who_is_in_no_role_sees_nothing_and_a_reader_no_clear_personal_data(stack: Stack) -> None:
    stack.version()
    stack.ask(f"CREATE ROLE stranger LOGIN PASSWORD '{stack.password}'")
    with stack.connect("stranger") as stranger, pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute("SELECT * FROM gold.fact_orders")
    with stack.connect("anna") as reader:
        ((email,),) = reader.execute("SELECT email FROM gold.dim_customers WHERE customer_key > 0 LIMIT 1").fetchall()
        assert "*" in email
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM gold.fact_orders")


def test_the_loader_is_called_well_only_while_postgresql_has_what_is_published(stack: Stack) -> None:
    stack.version()
    assert _health(stack) == 0
    stack.compose("stop", "-t", "1", "postgres")
    until(lambda: _health(stack) != 0, 60, 0.2)
    stack.compose("up", "-d", "--wait")
    assert _health(stack) == 0


def _health(stack: Stack) -> int:
    """What the health check of the compose file finds, asked now."""
    ask = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["directquery"]["healthcheck"]["test"][1]
    words = ("--profile", "directquery", "exec", "-T", "directquery", "sh", "-c", ask.replace("$$", "$"))
    return docker(*words, check=False, files=(stack.quicker,), env=stack.environment).returncode
