"""K12: a warehouse of an older release is brought up to date; one of a newer release is refused and left as it is."""

from __future__ import annotations

import hashlib
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.warehouse.migrations import SCHEMAS, migrations
from tests.conftest import Shop, tiny

NEWEST = len(migrations())
FIRST = ("1,ann,paid,10.00,2024-01-01", "2,bob,lost,20.00,2024-01-02", "3,cyd,paid,x,2024-01-03")
LATER = ("1,ann,shipped,11.00,2024-01-04", "4,dan,paid,40.00,2024-01-04")
TABLES = ("bronze.orders", "silver.orders", "gold.totals")
# What warehouses out there have had done to them: a change of schema is a new migration, never an edit of an old one.
DONE = {1: "6862ed6e45f8", 2: "2ed17ed9de8c", 3: "6a77443acc3b", 4: "55482b1e3b30", 5: "a6ea08912725", 6: "94c7ef0da4a0", 7: "ca3e3d8001ca", 8: "6222e65f876a"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project, and `home` after its first run."""
    folder = tmp_path_factory.mktemp("upgrade")
    shop = tiny(folder / "shop", folder / "home")
    shop.drop_orders("orders_1.csv", *FIRST)
    assert shop.run().status == "succeeded"
    return shop.home


@pytest.fixture(scope="module")
def after(before: Path) -> dict[str, Any]:
    """What the tables hold after the second run of a home that never was older."""
    return second_run(copy_of(before, before.with_name("never older")))


def copy_of(home: Path, target: Path) -> Shop:
    shutil.copytree(home, target, symlinks=True)
    return tiny(target.parent / "shop", target)


def second_run(shop: Shop) -> dict[str, Any]:
    shop.drop_orders("orders_2.csv", *LATER)
    assert shop.run().status == "succeeded"
    tables = {name: shop.warehouse(f"SELECT COLUMNS(lambda c: c <> '_loaded_at') FROM {name} ORDER BY ALL") for name in TABLES}
    return {**tables, "published": shop.ask("SELECT * FROM totals ORDER BY ALL"), "aside": shop.quarantine()}


def as_of(home: Path, schema: int) -> None:
    """Write the warehouse anew as a release that knew only the first migrations would have left it, with all its rows."""
    path = home / "warehouse.duckdb"
    new = path.with_name("newer.duckdb")
    path.rename(new)
    with duckdb.connect(str(path)) as old:
        old.execute("CREATE SCHEMA bronze; CREATE SCHEMA silver; CREATE SCHEMA gold; CREATE SCHEMA ledger")
        old.execute("CREATE TABLE ledger.migrations (migration INTEGER NOT NULL, applied_at TIMESTAMP NOT NULL)")
        for number, statements in enumerate(migrations()[:schema], 1):
            for statement in statements:
                old.execute(statement)
            old.execute("INSERT INTO ledger.migrations VALUES (?, TIMESTAMP '2024-01-01')", [number])
        old.execute(f"ATTACH '{new}' AS new (READ_ONLY)")
        fill(old)
        old.execute("DETACH new")
    new.unlink()


def fill(old: duckdb.DuckDBPyConnection) -> None:
    """Copy the rows of `new` into what the old schema has of it: its layers whole, its ledger where the shape is the same."""
    for schema, name in tables_of(old, "new"):
        if schema in ("bronze", "silver", "gold"):
            old.execute(f"CREATE TABLE {schema}.{name} AS FROM new.{schema}.{name}")
        elif name != "migrations" and shape(old, "warehouse", name) == shape(old, "new", name):
            old.execute(f"INSERT INTO {schema}.{name} FROM new.{schema}.{name}")
    if shape(old, "warehouse", "inputs"):  # before migration 8
        old.execute("INSERT INTO ledger.tables SELECT * EXCLUDE (inputs) FROM new.ledger.tables")
        old.execute(
            "INSERT INTO ledger.inputs SELECT table_name, name, CAST(json_extract(inputs, name) AS BIGINT) "
            "FROM (SELECT *, unnest(json_keys(inputs)) AS name FROM new.ledger.tables)"
        )


def tables_of(connection: duckdb.DuckDBPyConnection, database: str) -> list[Any]:
    return connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ?", [database]).fetchall()


def shape(connection: duckdb.DuckDBPyConnection, database: str, table: str) -> list[Any]:
    asked = "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND table_name = ? AND NOT internal ORDER BY column_index"
    return connection.execute(asked, [database, table]).fetchall()


def schema_of(shop: Shop) -> list[Any]:
    """Every table of the ledger, with its columns."""
    return shop.warehouse(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'ledger' ORDER BY table_name, column_index"
    )


@pytest.mark.parametrize("schema", range(1, NEWEST))
def test_k12_a_warehouse_of_an_older_schema_is_brought_up_to_date_and_runs_on(
    before: Path, after: dict[str, Any], tmp_path: Path, schema: int
) -> None:
    shop = copy_of(before, tmp_path / "older")
    as_of(shop.home, schema)
    assert second_run(shop) == after
    assert schema_of(shop) == schema_of(tiny(before.parent / "shop", before.with_name("never older")))
    assert shop.warehouse("SELECT migration FROM ledger.migrations ORDER BY 1") == [(n,) for n in range(1, NEWEST + 1)]
    assert shop.run().status == "nothing_to_do"


@pytest.mark.parametrize("command", [["run"], ["run", "--full-refresh"], ["status"], ["doctor"]])
def test_k12_a_warehouse_of_a_newer_schema_is_refused_and_left_as_it_is(before: Path, tmp_path: Path, command: list[str]) -> None:
    shop = copy_of(before, tmp_path / "newer")
    path = shop.home / "warehouse.duckdb"
    with duckdb.connect(str(path)) as newer:
        newer.execute("ALTER TABLE ledger.runs ADD COLUMN of_tomorrow VARCHAR")
        newer.execute("INSERT INTO ledger.migrations VALUES (?, TIMESTAMP '2030-01-01')", [NEWEST + 1])
    held = held_by(shop.home)
    shop.drop_orders("orders_2.csv", *LATER)
    done = shop.cli(*command)
    said = f"{path}: the warehouse has schema {NEWEST + 1} but this goldfeed knows only {NEWEST}; use the newer goldfeed that made it."
    assert done.returncode == 1 and said in " ".join((done.stderr + done.stdout).split())
    assert "Traceback" not in done.stderr
    assert held_by(shop.home) == held and (shop.home / "landing/orders_2.csv").exists()


@pytest.mark.parametrize("command", [["status"], ["checks"], ["plan"]])
def test_k12_who_only_reads_is_told_how_an_older_warehouse_is_brought_up_to_date(before: Path, tmp_path: Path, command: list[str]) -> None:
    shop = copy_of(before, tmp_path / "older")
    as_of(shop.home, 1)
    held, done = held_by(shop.home), shop.cli(*command)
    assert done.returncode == 1 and held_by(shop.home) == held
    said = f"warehouse.duckdb: an older goldfeed made this warehouse: it has schema 1, not {NEWEST}; type `goldfeed run` to bring it up to date."
    assert said in " ".join(done.stderr.split())


def held_by(home: Path) -> dict[str, str]:
    """What the home holds of the past: the warehouse, the published versions and the archive, byte for byte."""
    kept = [path for name in ("warehouse.duckdb*", "published/**/*", "archive/*") for path in home.glob(name) if path.is_file()]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_k12_migrations_are_numbered_without_a_gap_and_old_ones_are_as_they_were() -> None:
    text = "".join((files("pipeline.warehouse") / name).read_text(encoding="utf-8") for name in SCHEMAS)
    assert sorted(map(int, re.findall(r"^-- migration (\d+):", text, re.MULTILINE))) == list(range(1, NEWEST + 1))
    assert {number: digest(statements) for number, statements in enumerate(migrations(), 1)} == DONE


def digest(statements: list[str]) -> str:
    return hashlib.sha256(";".join(" ".join(one.split()) for one in statements).encode()).hexdigest()[:12]
