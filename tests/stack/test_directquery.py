"""The profile `directquery` as it ships: every publication comes into PostgreSQL whole, and those who look see no half."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from tests.stack.engine import docker, ports, until

pytestmark = pytest.mark.stack
LOOK = (
    "SELECT (SELECT version FROM gold._feed), (SELECT count(*) FROM gold.fact_orders), (SELECT sum(orders) FROM gold.mart_daily_kpis), "
    "(SELECT sum(item_count) FROM gold.fact_orders), (SELECT sum(quantity) FROM gold.fact_order_items)"
)


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
        published = self.goldfeed("readlink", "/data/published/current").strip()
        until(lambda: self.ask("SELECT 1 FROM pg_namespace WHERE nspname = 'gold'"), 60, 0.2)
        until(lambda: self.ask("SELECT version FROM gold._feed") == [(published,)], 60, 0.2)
        return published


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = secrets.token_hex(8)
    environment = {**ports(GOLDFEED_POSTGRES_PORT=port), "GOLDFEED_POSTGRES_PASSWORD": password, "GOLDFEED_DEMO": "0"}
    quicker = tmp_path_factory.mktemp("compose") / "quicker.yml"
    quicker.write_text(json.dumps({"services": {"directquery": {"command": ["directquery", "load", "--watch", "0.2"]}}}))
    made = Stack(port, password, environment, quicker)
    made.compose("down", "-v", check=False)
    made.compose("build", "goldfeed")
    made.compose("up", "-d", "--wait", "goldfeed", "postgres")
    made.compose("up", "-d", "directquery")
    made.goldfeed("goldfeed", "demo", "/data/landing", "--orders", "1200", "--days", "30", "--seed", "7", "--dirty", "0.01")
    made.goldfeed("goldfeed", "run")
    yield made
    made.compose("down", "-v", check=False)


def test_the_tables_equal_gold_row_for_row(stack: Stack, tmp_path: Path) -> None:
    version = stack.version()
    stack.compose("cp", f"goldfeed:/data/published/{version}", str(tmp_path / "gold"))
    tables = json.loads((tmp_path / "gold/manifest.json").read_text())["tables"]
    assert len(tables) == 13 and tables["fact_orders"]["rows"] > 1000
    for name, entry in tables.items():
        names = ", ".join(column["name"] for column in entry["columns"])
        gold = duckdb.connect().execute(f"SELECT {names} FROM read_parquet('{tmp_path}/gold/{entry['file']}')").fetchall()
        assert sorted(stack.ask(f"SELECT {names} FROM gold.{name}"), key=repr) == sorted(gold, key=repr), name
    indexed = {table for (table,) in stack.ask("SELECT DISTINCT tablename FROM pg_indexes WHERE schemaname = 'gold'")}
    assert {"fact_orders", "dim_customers", "dim_date"} <= indexed


def test_readers_in_a_loop_see_whole_versions_through_twenty_of_them(stack: Stack) -> None:
    """Four publications, then rollbacks to and fro: for the loader a version is a version. Twenty runs are in tests/directquery."""
    stack.ask(f"CREATE ROLE anna LOGIN PASSWORD '{stack.password}' IN ROLE goldfeed_reader")
    first = stack.version()
    stop, seen, wrong = threading.Event(), dict[str, set[Any]](), list[Any]()

    def read() -> None:
        with stack.connect("anna") as connection:
            while not stop.wait(0.01):  # the loop leaves some of the machine to the rest
                try:
                    ((version, orders, told, items, pieces),) = connection.execute(LOOK).fetchall()
                except psycopg.Error as error:
                    wrong.append(error)
                else:
                    seen.setdefault(version, set()).add((orders, items))
                    if orders != told or items != pieces:
                        wrong.append((version, orders, told, items, pieces))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        versions = [first, *(_publish(stack, number) for number in range(4))]
        for number in range(16):
            stack.goldfeed("goldfeed", "rollback", versions[number % 4])
            stack.version()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == [] and len(set(versions)) == 5
    assert set(seen) == set(versions) and all(len(numbers) == 1 for numbers in seen.values())
    counts = [next(iter(seen[version]))[0] for version in versions]
    assert counts == sorted(set(counts))
    until(lambda: stack.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'gold%'") == [("gold",)], 30)


def _publish(stack: Stack, number: int) -> str:
    """One more order with one line; the version that has it, once PostgreSQL has it too."""
    order, when = f"N{number:08d}", "2024-01-20 10:00:00"
    texts = {
        "orders": f"order_id,customer_id,status,ordered_at,updated_at\\n{order},C000001,paid,{when},{when}\\n",
        "order_items": f"order_id,line_number,product_id,quantity,unit_price,freight_amount,updated_at\\n{order},1,P00001,2,9.50,1.00,{when}\\n",
    }
    for name, text in texts.items():
        texts[name] = f"printf '{text}' > $f && touch -d '1 minute ago' $f && mv $f {name}_2025{number:04d}.csv"
    drop = " && ".join(["cd /data/landing", "f=.part", *texts.values(), "cd /project", "goldfeed run"])
    stack.goldfeed("sh", "-c", drop)
    return stack.version()


def test_who_is_in_no_role_sees_nothing_and_a_reader_no_clear_personal_data(stack: Stack) -> None:
    stack.version()
    stack.ask(f"CREATE ROLE stranger LOGIN PASSWORD '{stack.password}'")
    with stack.connect("stranger") as stranger, pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute("SELECT * FROM gold.fact_orders")
    with stack.connect("anna") as reader:
        ((email,),) = reader.execute("SELECT email FROM gold.dim_customers WHERE email IS NOT NULL LIMIT 1").fetchall()
        assert "*" in email
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM gold.fact_orders")
