"""Rows in quarantine come in once their cause is mended: exactly once, whatever happens between."""

from __future__ import annotations

import csv
import io
import signal
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.commands.mending import drop, fix
from pipeline.commands.rows import quarantine_export
from pipeline.runner import Order
from pipeline.steps.again import Period
from pipeline.steps.replay import Replay
from tests.conftest import GOLD_TOTALS, ORDERS_YML, SILVER_ORDERS, Shop

COMMA = ORDERS_YML.replace('amount:      {type: "decimal(18,2)"}', 'amount:      {type: "decimal(18,2)", format: [decimal_point, decimal_comma]}')
VERSIONS = SILVER_ORDERS.replace("kind: upsert\nkey: [order_id]", "kind: append")
DIM = """/* ---
description: Versions of orders.
kind: scd2
key: [order_id]
valid_from: valid_from
--- */
SELECT order_id, status, updated_at AS valid_from FROM silver.versions
"""
GOOD, BAD, LOST = '1,c,paid,1.00,2024-01-01', '2,c,paid,"2,50",2024-01-02', "3,c,lost,3.00,2024-01-03"


def wide_shop(folder: Path) -> Shop:
    """Upsert, append, scd2, full and incremental tables over one source."""
    shop = Shop(folder)
    shop.write("goldfeed.yml", "name: wide\n")
    shop.write("sql/bronze/orders.yml", ORDERS_YML)
    shop.write("sql/silver/orders.sql", SILVER_ORDERS)
    shop.write("sql/silver/versions.sql", VERSIONS)
    shop.write("sql/gold/dim_orders.sql", DIM)
    shop.write("sql/gold/totals.sql", GOLD_TOTALS.replace("key: [status]", "kind: incremental\nkey: [status]"))
    return shop


@pytest.fixture
def wide(tmp_path: Path) -> Shop:
    return wide_shop(tmp_path / "shop")


def tables(shop: Shop) -> dict[str, Any]:
    """What must be the same however the rows came in; batches and the times of loading may differ."""
    found: dict[str, Any] = {
        name: shop.warehouse(f"SELECT * FROM {name} ORDER BY ALL") for name in ("gold.dim_orders", "gold.totals")
    }
    for name in ("bronze.orders", "silver.orders", "silver.versions"):
        less = "_batch, _loaded_at" if name.startswith("bronze") else "_batch"
        found[name] = shop.warehouse(f"SELECT * EXCLUDE ({less}) FROM {name} ORDER BY ALL")
    found["published"] = [shop.ask(f"SELECT * FROM {name} ORDER BY ALL") for name in ("dim_orders", "totals")]
    return found


def ids(shop: Shop) -> list[str]:
    """The orders in bronze."""
    return [row[0] for row in shop.warehouse("SELECT order_id FROM bronze.orders ORDER BY _file_id, _line")]


def balanced(shop: Shop) -> bool:
    """Promise 2: for each file and each table, nothing lost and nothing twice."""
    files = shop.warehouse(
        "SELECT lines = header_lines + blank_lines + bronze_rows + quarantined_rows "
        "AND bronze_rows = (SELECT count(*) FROM bronze.orders b WHERE b._file_id = f.file_id) "
        "AND quarantined_rows = (SELECT count(*) FROM ledger.quarantine q WHERE q.file_id = f.file_id AND q.source = f.source) "
        "FROM ledger.files f"
    )
    held = shop.warehouse("SELECT rows_in = kept + superseded + quarantined FROM ledger.tables")
    many = shop.warehouse("SELECT rows_in = (SELECT count(*) FROM bronze.orders) FROM ledger.tables WHERE table_name IN ('silver.orders', 'silver.versions')")
    return all(row[0] for row in (*files, *held, *many))


def replay(shop: Shop, **wanted: Any) -> Any:
    return shop.run(Order(replay=Replay(**wanted)))


# ---------------------------------------------------------------- a mended source
def test_a_row_comes_in_once_its_source_is_mended_and_no_second_time(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD)
    wide.run()
    assert replay(wide).status == "succeeded" and ids(wide) == ["1"], "the source is as it was, so the row stays out"
    wide.write("sql/bronze/orders.yml", COMMA)
    result = replay(wide, source="orders", reason="not a decimal")
    task = result.tasks[0]
    assert (task.task, task.rows_in, task.rows_out, task.rows_quarantined) == ("replay bronze.orders", 1, 1, 0)
    assert ids(wide) == ["1", "2"] and wide.quarantine() == [] and balanced(wide)
    assert wide.ask("SELECT orders, CAST(amount AS VARCHAR) FROM totals") == [(2, "3.50")]
    assert replay(wide).status == "nothing_to_do" and ids(wide) == ["1", "2"]
    assert wide.run().status == "nothing_to_do"


def test_only_the_rows_that_were_asked_for_are_run_again(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD, "4,c,paid,4.00,no day", "5,c,paid,1,2,3,4")
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA.replace("{type: timestamp}", '{type: timestamp, on_error: "null"}'))
    replay(wide, reason="timestamp")
    assert ids(wide) == ["1", "4"]
    assert replay(wide, source="payments").status == "nothing_to_do"
    assert replay(wide, source="bronze.orders").tasks[0].rows_out == 1
    assert ids(wide) == ["1", "2", "4"] and [row[2] for row in wide.quarantine() if row[0] == "orders"] == ["too many columns"]
    assert balanced(wide)


def test_a_replay_costs_the_tables_below_only_its_rows(wide: Shop) -> None:
    wide.drop_orders("orders.csv", *(f"g{n},c,paid,1.00,2024-01-01" for n in range(50)), BAD)
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA)
    done = {task.table: (task.rows_in, task.rows_out) for task in replay(wide).tasks}
    assert done["silver.orders"] == (1, 1) and done["silver.versions"] == (1, 1) and done["gold.dim_orders"] == (1, 1)


def test_a_later_file_comes_in_after_a_replay_took_a_number(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD)
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA)
    replay(wide)
    wide.drop_orders("orders_2.csv", "9,c,shipped,9.00,2024-01-09")
    wide.run()
    assert wide.ask("SELECT status, orders FROM totals ORDER BY 1") == [("paid", 2), ("shipped", 1)] and balanced(wide)


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16"])
def test_a_row_of_a_file_in_another_encoding_is_read_as_its_file_was(wide: Shop, encoding: str) -> None:
    rows = ["1,Zoë,paid,1.00,2024-01-01", '2,"Jürgen\r\nStraße",paid,"2,50",2024-01-02']
    text = "\r\n".join(["order_id,customer_id,status,amount,updated_at", *rows, ""])
    wide.drop("orders.csv", text.encode({"utf-16": "utf-16", "windows-1252": "cp1252"}[encoding]))
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA)
    replay(wide)
    assert wide.warehouse("SELECT customer_id, _line FROM bronze.orders ORDER BY 2") == [("Zoë", 2), ("Jürgen\r\nStraße", 3)]


def test_bytes_that_are_no_text_do_not_come_in_as_escapes(wide: Shop) -> None:
    wide.drop("orders.csv", b"order_id,customer_id,status,amount,updated_at\n1,c,paid,1.00,2024-01-01\n2,\xff\xfe,paid,2.00,2024-01-01\n3,Zo\xc3\xab,paid,1.00,2024-01-01\n")
    wide.run()
    assert len(wide.quarantine()) == 1
    replay(wide)
    assert ids(wide) == ["1", "3"] and len(wide.quarantine()) == 1 and balanced(wide)


# ---------------------------------------------------------------- a mended rule
def test_a_row_comes_into_silver_once_the_rule_is_mended(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, LOST)
    wide.run()
    assert replay(wide, source="silver.orders").status == "nothing_to_do"
    wide.write("sql/silver/orders.sql", SILVER_ORDERS.replace("'shipped'", "'shipped', 'lost'"))
    result = replay(wide, source="silver.orders", reason="known_status")
    assert {task.table for task in result.tasks} == {"silver.orders", "gold.totals", "gold"}
    assert wide.ask("SELECT status, orders FROM totals ORDER BY 1") == [("lost", 1), ("paid", 1)]
    assert [row[0] for row in wide.quarantine()] == ["silver.versions"] and balanced(wide)


# ---------------------------------------------------------------- again, and from the archive
def test_a_backfill_of_a_file_with_replayed_rows_has_them_once(wide: Shop) -> None:
    from datetime import date

    wide.drop_orders("orders_2024-01-05.csv", GOOD, BAD)
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA)
    replay(wide)
    before = tables(wide)
    wide.run(Order(again=Period(date(2024, 1, 1), date(2024, 1, 31))))
    assert tables(wide) == before and balanced(wide)
    wide.run(Order(full_refresh=True))
    assert tables(wide) == before and balanced(wide)


def test_a_row_that_waits_for_its_tables_after_a_replay_survives_a_backfill_between(wide: Shop) -> None:
    from datetime import date

    wide.drop_orders("orders_2024-01-05.csv", GOOD, BAD)
    wide.run()
    wide.write("sql/bronze/orders.yml", COMMA)
    wide.cli("quarantine", "replay", env={"GOLDFEED_CRASH_AT": "replay.after_commit"})
    wide.run(Order(again=Period(date(2024, 1, 1), date(2024, 1, 31))))
    assert wide.ask("SELECT orders FROM totals") == [(2,)] and balanced(wide)


@pytest.mark.parametrize("point", ["mend.before_rename", "mend.after_rename", "replay.before_commit", "replay.after_commit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("build.after_commit", "publish.before_swap"))])
def test_k1_killed_while_rows_are_mended_and_run_again_they_are_in_once(wide: Shop, tmp_path: Path, point: str) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD, LOST)
    wide.run()
    edited = fixed_csv(wide, {BAD: "2,c,paid,2.50,2024-01-02", LOST: "3,c,paid,3.00,2024-01-03"})
    died = wide.cli("quarantine", "fix", str(edited), env={"GOLDFEED_CRASH_AT": point})
    assert died.returncode == -signal.SIGKILL
    assert fix(wide.project(), edited, json_out=True)
    for _ in range(3):
        wide.run()
    assert wide.ask("SELECT status, orders, CAST(amount AS VARCHAR) FROM totals") == [("paid", 3, "6.50")]
    assert wide.quarantine() == [] and balanced(wide) and len(ids(wide)) == 3
    assert wide.warehouse("SELECT count(*) FROM ledger.mends") == [(2,)]


# ---------------------------------------------------------------- fix
def fixed_csv(shop: Shop, changes: dict[str, str], name: str = "edited.csv") -> Path:
    """What `quarantine export` prints, with some raw texts changed."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        quarantine_export(shop.project(), None)
    rows = list(csv.DictReader(io.StringIO(printed.getvalue(), newline="")))
    for row in rows:
        row["raw"] = changes.get(row["raw"], row["raw"])
    path = shop.folder / name
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_an_edited_export_comes_in_once_and_the_rest_stays(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD, "4,c,paid,x,2024-01-04", LOST)
    wide.run()
    edited = fixed_csv(wide, {BAD: "2,c,paid,2.50,2024-01-02", LOST: "3,c,shipped,3.00,2024-01-03"})
    for times in range(2):
        done = wide.cli("quarantine", "fix", str(edited))
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("2 rows were mended" if times == 0 else "Nothing to mend") in done.stdout
    assert wide.ask("SELECT status, orders FROM totals ORDER BY 1") == [("paid", 2), ("shipped", 1)]
    assert [row[3] for row in wide.quarantine()] == ["4,c,paid,x,2024-01-04"] and balanced(wide)
    assert wide.warehouse("SELECT status FROM silver.versions WHERE order_id = '3'") == [("shipped",)]


def test_a_fix_that_does_not_fit_stays_out_with_its_new_reason_and_can_be_fixed_again(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD)
    wide.run()
    done = wide.cli("quarantine", "fix", str(fixed_csv(wide, {BAD: "2,c,paid,2.50"})))
    assert done.returncode == 1 and "too few columns" in done.stdout
    assert [(row[2], row[3]) for row in wide.quarantine()] == [("too few columns", "2,c,paid,2.50")] and balanced(wide)
    assert fix(wide.project(), fixed_csv(wide, {"2,c,paid,2.50": "2,c,paid,2.50,2024-01-02"}), json_out=True)
    assert wide.ask("SELECT orders FROM totals") == [(2,)] and balanced(wide)


def test_k11_a_lost_warehouse_comes_back_with_what_people_mended_and_dropped(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD, "4,c,paid,x,2024-01-04", LOST)
    wide.run()
    assert fix(wide.project(), fixed_csv(wide, {BAD: "2,c,paid,2.50,2024-01-02", LOST: "3,c,paid,3.00,2024-01-03"}), json_out=True)
    drop(wide.project(), [2], None, None, "a test of the shop", json_out=True)
    before = tables(wide)
    for path in wide.home.glob("warehouse.duckdb*"):
        path.unlink()
    wide.run(Order(from_archive=True))
    assert tables(wide) == before and balanced(wide)
    wide.write("sql/bronze/orders.yml", COMMA.replace('"decimal(18,2)"', '"decimal(18,2)", on_error: "null"'))
    for path in wide.home.glob("warehouse.duckdb*"):
        path.unlink()
    wide.run(Order(from_archive=True))
    assert "4" not in ids(wide), "what was dropped stays out, whatever the source says now"
    assert [row[2] for row in wide.quarantine()] == ["dropped: a test of the shop"] and balanced(wide)


def test_h7_formulas_are_harmless_in_the_export_and_come_back_as_they_were(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, "=1+1,c,paid,x,2024-01-01", "'=2,c,paid,x,2024-01-01")
    wide.run()
    shown = [row["raw"] for row in csv.DictReader(io.StringIO(wide.cli("quarantine", "export").stdout))]
    assert shown == ["'=1+1,c,paid,x,2024-01-01", "''=2,c,paid,x,2024-01-01"]
    assert wide.cli("quarantine", "fix", str(fixed_csv(wide, {shown[0]: "'=1+1,c,paid,7.00,2024-01-01"}))).returncode == 0
    assert ids(wide) == ["1", "=1+1"] and len(wide.quarantine()) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello\n1\n", "has no column sha256"),
        ("sha256,line,raw\nabc,x,1\n", "line 2"),
        ("sha256,line,raw\nabc,3,1\n", "no file"),
        ("", "has no column"),
    ],
)
def test_a_file_that_is_no_export_is_refused_and_changes_nothing(wide: Shop, text: str, says: str) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD)
    wide.run()
    path = wide.write("wrong.csv", text)
    done = wide.cli("quarantine", "fix", str(path))
    assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr
    assert len(wide.quarantine()) == 1 and wide.warehouse("SELECT count(*) FROM ledger.mends") == [(0,)]


def test_two_different_edits_of_one_line_are_refused(wide: Shop) -> None:
    wide.drop_orders("orders.csv", LOST)
    wide.run()
    path = fixed_csv(wide, {LOST: "3,c,paid,3.00,2024-01-03"})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1].replace("paid", "shipped")]) + "\n")
    done = wide.cli("quarantine", "fix", str(path))
    assert done.returncode == 1 and "two different texts" in done.stderr


# ---------------------------------------------------------------- drop and show
def test_a_dropped_row_keeps_a_record_is_shown_no_more_and_never_replayed(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD)
    wide.run()
    assert wide.cli("quarantine", "drop", "1").returncode == 2, "a drop needs a reason"
    assert wide.cli("quarantine", "drop", "99", "--why", "x").returncode == 2
    drop(wide.project(), [1], None, None, "a test order", json_out=True)
    assert wide.cli_json("quarantine", "list") == []
    dropped = wide.cli_json("quarantine", "list", "--dropped")
    assert [(row["id"], row["dropped"]) for row in dropped] == [(1, "a test order")]
    wide.write("sql/bronze/orders.yml", COMMA)
    assert replay(wide).status == "nothing_to_do" and ids(wide) == ["1"] and balanced(wide)


def test_show_gives_the_line_its_file_and_what_stands_around_it(wide: Shop) -> None:
    wide.drop_orders("orders.csv", GOOD, BAD, LOST)
    wide.run()
    shown = wide.cli_json("quarantine", "show", "1")
    assert (shown["file"], shown["line"], shown["raw"], shown["column"]) == ("orders.csv", 3, BAD, "amount")
    assert shown["header"] == "order_id,customer_id,status,amount,updated_at"
    assert shown["before"] == [{"line": 2, "text": GOOD}] and shown["after"] == [{"line": 4, "text": LOST}]
    text = wide.cli("quarantine", "show", "1").stdout
    assert ">      3" in text and GOOD in text and "amount is not a decimal(18,2)" in text


# ---------------------------------------------------------------- the law
ROW = st.tuples(st.integers(1, 4), st.sampled_from(["paid", "created", "shipped"]), st.integers(0, 4), st.sampled_from(["good", "comma", "lost", "wide"]))


@pytest.mark.slow
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(ROW, min_size=1, max_size=10), size=st.integers(1, 4), later=st.booleans(), at_once=st.booleans())
def test_law_clean_rows_and_replayed_rows_are_the_table_of_good_files(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int, str]], size: int, later: bool, at_once: bool
) -> None:
    mended_is_good(tmp_path_factory, rows, size, later, at_once)


@settings(max_examples=2, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(ROW, min_size=4, max_size=6), size=st.integers(2, 3), later=st.booleans(), at_once=st.booleans())
def test_law_of_replay_on_a_few_examples(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int, str]], size: int, later: bool, at_once: bool
) -> None:
    mended_is_good(tmp_path_factory, rows, size, later, at_once)


def mended_is_good(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, int, str]], size: int, later: bool, at_once: bool
) -> None:
    """comma: mended by the source; lost: by the rule; wide: by a person."""
    good, mended = wide_shop(tmp_path_factory.mktemp("good")), wide_shop(tmp_path_factory.mktemp("mended"))
    right: dict[str, str] = {}
    for part in range(0, len(rows), size):
        texts = [_lines(number, row) for number, row in enumerate(rows[part : part + size], part)]
        right.update({bad: fine for bad, fine, _ in texts})
        good.drop_orders(f"orders_{part:02d}.csv", *(fine for _, fine, _ in texts))
        mended.drop_orders(f"orders_{part:02d}.csv", *(bad for bad, _, _ in texts))
        if later:
            mended.run()
    open_rules = {name: text.replace("'shipped'", "'shipped', 'lost'") for name, text in (("orders", SILVER_ORDERS), ("versions", VERSIONS))}
    mended.run()
    for shop in (good, mended):
        shop.write("sql/bronze/orders.yml", COMMA)
        for name, text in open_rules.items():
            shop.write(f"sql/silver/{name}.sql", text)
    good.run()
    if not at_once:
        replay(mended)
    if any(row[3] == "wide" for row in rows):
        wrong = {bad: fine for bad, fine in right.items() if bad.endswith("!")}
        assert fix(mended.project(), fixed_csv(mended, wrong), json_out=True)
    replay(mended)
    mended.run()
    assert tables(mended) == tables(good) and mended.quarantine() == [] and balanced(mended) and balanced(good)


def _lines(number: int, row: tuple[int, str, int, str]) -> tuple[str, str, str]:
    key, status, day, how = row
    status = "lost" if how == "lost" else status
    fine = f"{key},c,{status},{number}.50,2024-01-{day + 1:02d}"
    bad = {"comma": f'{key},c,{status},"{number},50",2024-01-{day + 1:02d}', "wide": f"{fine},{number}!"}.get(how, fine)
    return bad, fine if how == "wide" else bad, how
