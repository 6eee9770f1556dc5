"""PostgreSQL holds what gold holds, to the last digit, and readers never see less than a version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.directquery import load as loading
from pipeline.directquery.load import load
from pipeline.directquery.server import Server
from pipeline.errors import PermanentError, TransientError
from tests.conftest import Shop
from tests.directquery.conftest import Postgres
from tests.powerbi.conftest import SHOPS, Exported, _made

pytestmark = pytest.mark.slow


def loaded(shop: Shop, url: str) -> tuple[str, int]:
    return load(shop.project().settings, url, shop.folder)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    return lambda name: _made(name, tmp_path_factory.mktemp(name))


@pytest.mark.parametrize("name", SHOPS)
def test_the_tables_equal_gold_row_for_row(exported: Callable[[str], Exported], postgres: Postgres, database: str, name: str) -> None:
    made = exported(name)
    version, rows = loaded(made.shop, postgres.url(database))
    tables = made.manifest["tables"]
    assert version == made.snapshot.version and rows == sum(table["rows"] for table in tables.values())
    with postgres.connect(database) as connection:
        for table, entry in tables.items():
            key = ", ".join(entry["key"] or [column["name"] for column in entry["columns"]])
            names = ", ".join(column["name"] for column in entry["columns"])
            found = connection.execute(f"SELECT {names} FROM gold.{table}").fetchall()
            assert sorted(found, key=repr) == sorted(made.ask(f"SELECT {names} FROM {table}"), key=repr), (table, key)
            types = dict(connection.execute(
                "SELECT column_name, numeric_precision || ',' || numeric_scale FROM information_schema.columns "
                "WHERE table_schema = 'gold' AND table_name = %s AND data_type = 'numeric'", [table]).fetchall())  # fmt: skip
            assert types == {c["name"]: c["type"][8:-1].replace(" ", "") for c in entry["columns"] if c["type"].startswith("DECIMAL")}


ALL = """/* ---
description: Every type
key: [n]
--- */
SELECT 1 AS n, true AS flag, CAST(-128 AS TINYINT) AS tiny, CAST(255 AS UTINYINT) AS utiny, CAST(-32768 AS SMALLINT) AS small,
  CAST(65535 AS USMALLINT) AS usmall, CAST(4294967295 AS UINTEGER) AS uint, CAST(9223372036854775807 AS BIGINT) AS big,
  CAST(18446744073709551615 AS UBIGINT) AS ubig, CAST(99999999999999999999999999999 AS HUGEINT) AS huge,
  CAST(1.5 AS FLOAT) AS single, CAST(0.1 AS DOUBLE) AS twice, CAST(123456789012345.678 AS DECIMAL(18, 3)) AS exact,
  CAST(-0.0001 AS DECIMAL(38, 4)) AS wide, CAST(9.9 AS DECIMAL(3, 1)) AS short,
  'a "quote", a \\ and ' || chr(10) || ' é 漢 🙂' AS text, '' AS empty, DATE '9999-12-31' AS day, TIME '23:59:59.999999' AS clock,
  TIMESTAMP '1999-12-31 23:59:59.123456' AS moment, count(*) AS rows FROM silver.orders
UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
"""


def test_every_type_comes_through_and_null_too(shop: Shop, postgres: Postgres, database: str) -> None:
    shop.write("sql/gold/every.sql", ALL)
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    assert shop.run().status == "succeeded"
    loaded(shop, postgres.url(database))
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT * FROM gold.every ORDER BY n").fetchall() == shop.ask("SELECT * FROM every ORDER BY n")


def test_a_reader_in_a_loop_sees_one_whole_version_through_twenty_publications(shop: Shop, postgres: Postgres, database: str) -> None:
    counts: dict[str, tuple[int, Any]] = {}
    shop.write("sql/gold/lines.sql", "/* ---\ndescription: Orders\nkey: [order_id]\n--- */\nSELECT order_id, amount FROM silver.orders\n")

    def publish(number: int) -> None:
        rows = [f"{number}-{n},c,paid,{n}.25,2024-01-01 00:00:00" for n in range(200)]
        shop.drop_orders(f"orders_{number}.csv", *rows)
        version = shop.run().version or ""
        counts[version] = shop.ask("SELECT count(*), sum(amount) FROM lines")[0]
        assert loaded(shop, postgres.url(database)) == (version, sum(t["rows"] for t in _manifest(shop)["tables"].values()))

    publish(0)
    stop, seen, wrong = threading.Event(), set[str](), list[Any]()
    sql = (
        "SELECT (SELECT version FROM gold._feed), count(*), sum(l.amount), (SELECT sum(orders) FROM gold.totals) FROM gold.lines l"
    )

    def read() -> None:
        with postgres.connect(database, "goldfeed") as connection:
            while not stop.is_set():
                try:
                    version, rows, amount, orders = connection.execute(sql).fetchone() or ()
                except psycopg.Error as error:
                    wrong.append(error)
                else:
                    seen.add(str(version))
                    if counts.get(str(version), (rows, amount)) != (rows, amount) or orders != rows:
                        wrong.append((version, rows, amount, orders))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 21):
        publish(number)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == [] and len(seen) >= 15 and len(counts) == 21
    with postgres.connect(database) as connection:
        schemas = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'gold%'").fetchall()
    assert schemas == [("gold",)]


def _manifest(shop: Shop) -> dict[str, Any]:
    from pipeline.published import current, read_manifest

    published = shop.project().settings.published
    return read_manifest(published, current(published) or "")


def test_a_load_that_was_cut_off_leaves_the_old_version_and_the_next_one_clears_up(
    shop: Shop, postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    first, _ = loaded(shop, postgres.url(database))
    shop.drop_orders("more.csv", "2,c,shipped,3.50,2024-01-01 00:00:00")
    shop.drop("orders_more.csv", (shop.home / "landing/more.csv").read_bytes())
    second = shop.run().version

    def cut(server: Server) -> None:
        raise TransientError("the connection is lost")

    with monkeypatch.context() as patched:
        patched.setattr(loading, "_swap", cut)
        with pytest.raises(TransientError):
            loaded(shop, postgres.url(database))
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT version FROM gold._feed").fetchall() == [(first,)]
        assert loaded(shop, postgres.url(database))[0] == second
        assert connection.execute("SELECT version FROM gold._feed").fetchall() == [(second,)]
        assert loaded(shop, postgres.url(database)) == (second, 0)


def test_a_reader_that_holds_an_old_table_neither_stops_the_load_nor_loses_its_rows(shop: Shop, postgres: Postgres, database: str) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    loaded(shop, postgres.url(database))
    with psycopg.connect(postgres.url(database)) as holder:
        assert holder.execute("SELECT orders FROM gold.totals").fetchall() == [(1,)]
        shop.drop_orders("orders_2.csv", "2,c,paid,2.50,2024-01-01 00:00:00")
        shop.run()
        loaded(shop, postgres.url(database))
        with postgres.connect(database) as connection:
            assert connection.execute("SELECT orders FROM gold.totals").fetchall() == [(2,)]
    shop.drop_orders("orders_3.csv", "3,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    loaded(shop, postgres.url(database))
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'gold%'").fetchall() == [("gold",)]


def test_a_reader_and_the_load_that_wait_for_each_other_end_with_the_reader_served(shop: Shop, postgres: Postgres, database: str) -> None:
    shop.write("sql/gold/lines.sql", "/* ---\ndescription: Orders\nkey: [order_id]\n--- */\nSELECT order_id, amount FROM silver.orders\n")
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    loaded(shop, postgres.url(database))
    shop.drop_orders("orders_2.csv", "2,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    load = threading.Thread(target=loaded, args=(shop, postgres.url(database)))
    with psycopg.connect(postgres.url(database)) as reader:
        assert reader.execute("SELECT orders FROM gold.totals").fetchall() == [(1,)]
        load.start()
        until = time.monotonic() + 20  # the load has the lines and waits for the totals, for longer than deadlocks are looked for
        while time.monotonic() < until and not reader.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
            time.sleep(0.01)
        time.sleep(1.2)
        assert reader.execute("SELECT count(*) FROM gold.lines").fetchall() == [(1,)]
    load.join()
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT orders FROM gold.totals").fetchall() == [(2,)]


def test_keys_dates_and_references_are_indexed_and_the_planner_knows_the_tables(
    exported: Callable[[str], Exported], postgres: Postgres, database: str
) -> None:
    loaded(exported("shop").shop, postgres.url(database))
    with postgres.connect(database) as connection:
        found = connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'gold' AND tablename = 'fact_orders'").fetchall()
        definitions = " ".join(str(row[0]) for row in found)
        assert "UNIQUE INDEX" in definitions and "(order_id)" in definitions
        assert "(order_date)" in definitions and "(customer_key)" in definitions
        (analyzed,) = connection.execute("SELECT count(DISTINCT tablename) FROM pg_stats WHERE schemaname = 'gold'").fetchone() or (0,)
        assert int(str(analyzed)) > 10


def test_two_loads_at_once_do_not_meet(shop: Shop, postgres: Postgres, database: str) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    with postgres.connect(database) as connection:
        connection.execute(f"SELECT pg_advisory_lock({loading._LOCK})")
        with pytest.raises(TransientError, match="another load is under way"):
            loaded(shop, postgres.url(database))


def test_a_server_that_is_away_is_one_sentence_without_a_password(shop: Shop, tmp_path: Path) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    url = f"postgresql://goldfeed:pa55word@/x?host={tmp_path}"
    with pytest.raises(TransientError) as caught:
        loaded(shop, url)
    assert "pa55word" not in caught.value.sentence() and "PostgreSQL" in caught.value.sentence()
    done = shop.cli("directquery", "load", env={"GOLDFEED_POSTGRES_URL": url})
    assert done.returncode == 1 and "pa55word" not in done.stderr and done.stderr.count("\n") == 1
    done = shop.cli("directquery", "load")
    assert done.returncode == 2 and "GOLDFEED_POSTGRES_URL" in done.stderr


def test_a_name_postgres_cannot_keep_is_refused_before_anything_is_touched(shop: Shop, postgres: Postgres, database: str) -> None:
    name = "a" * 64
    shop.write("sql/gold/totals.sql", f"/* ---\ndescription: x\n--- */\nSELECT count(*) AS {name} FROM silver.orders\n")
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    shop.run()
    with pytest.raises(PermanentError, match="too long for PostgreSQL"):
        loaded(shop, postgres.url(database))


def test_the_command_follows_publications(shop: Shop, postgres: Postgres, database: str) -> None:
    from pipeline.directquery.follow import follow

    stop, told = threading.Event(), list[str]()
    project = shop.project()
    follower = threading.Thread(target=follow, args=(project.settings, postgres.url(database), shop.folder, 0.1, stop, told.append))
    follower.start()
    for number in range(3):
        shop.drop_orders(f"orders_{number}.csv", f"{number},c,paid,2.50,2024-01-01 00:00:00")
        version = shop.run().version
        waited = threading.Event()
        for _ in range(200):
            if any(f"version {version} is in PostgreSQL" in text for text in told):
                break
            waited.wait(0.1)
    stop.set()
    follower.join()
    assert sum("is in PostgreSQL" in text for text in told) == 3
    assert [text for text in told if text.startswith("waiting")] in ([], [told[0]])
    done = shop.cli("directquery", "load", env={"GOLDFEED_POSTGRES_URL": postgres.url(database)}, check=True)
    assert "already" in done.stdout


def test_the_heartbeat_is_there_while_the_server_has_all_that_is_published(
    shop: Shop, postgres: Postgres, database: str, tmp_path: Path
) -> None:
    from pipeline.directquery.follow import follow

    stop, told, heart = threading.Event(), list[str](), tmp_path / "loaded"
    project = shop.project()
    given = (project.settings, postgres.url(database), shop.folder, 0.1, stop, told.append, heart)
    follower = threading.Thread(target=follow, args=given)
    follower.start()
    try:
        _until(heart.exists)  # nothing is published, and the server is there
        shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
        version = shop.run().version
        _until(lambda: any(f"version {version} is in PostgreSQL" in text for text in told))
        with postgres.connect(database) as connection:
            _until(lambda: connection.execute(f"SELECT pg_try_advisory_lock({loading._LOCK})").fetchone() == (True,))
            _until(lambda: not heart.exists())
            assert "another load is under way" in told[-1]
        _until(heart.exists)
    finally:
        stop.set()
        follower.join()
    done = shop.cli(
        "directquery", "load", "--watch", "1", "--heartbeat", "/no/such/file", env={"GOLDFEED_POSTGRES_URL": postgres.url(database)}
    )
    assert done.returncode == 2 and "no folder /no/such" in done.stderr


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_who_looks_again_does_not_read_the_tables(shop: Shop, postgres: Postgres, database: str) -> None:
    """Gold may be many gigabytes, and the loader looks every two seconds: a version it has is known by its manifest."""
    shop.drop_orders("orders.csv", "1,c,paid,2.50,2024-01-01 00:00:00")
    version = shop.run().version
    loaded(shop, postgres.url(database))
    for file in (shop.home / "published" / str(version)).glob("*.parquet"):
        file.write_bytes(b"damaged")
    assert loaded(shop, postgres.url(database)) == (version, 0)
