"""Files as they really come: read for what they are, set aside line by line, or refused with a reason."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import threading
import time
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import HEADER, ORDERS_YML, Shop
from tests.examples import examples

ROW = "1,c,paid,1.50,2024-01-01 00:00:00"


def bronze(shop: Shop, columns: str = "order_id, customer_id, status, amount") -> list[tuple[Any, ...]]:
    return shop.warehouse(f"SELECT {columns} FROM bronze.orders ORDER BY _file_id, _line")


def reasons(shop: Shop) -> list[tuple[int, str]]:
    return [(line, reason) for _, line, reason, _ in shop.quarantine()]


def rejection(shop: Shop, name: str) -> str:
    """What rejected/<name>.error.txt says; the file itself lies beside it."""
    assert (shop.home / "rejected" / name).exists() and not (shop.home / "landing" / name).exists()
    return (shop.home / "rejected" / f"{name}.error.txt").read_text()


def balanced(shop: Shop) -> bool:
    return shop.warehouse(
        "SELECT count(*) FROM ledger.files WHERE lines <> header_lines + blank_lines + bronze_rows + quarantined_rows"
    ) == [(0,)]


# ---------------------------------------------------------------- headers
def test_h2_columns_are_taken_by_name_in_any_order_case_and_spelling(shop: Shop) -> None:
    shop.drop("orders.csv", "Updated-At, AMOUNT ,Status,Customer,ORDER_ID\n2024-01-01,1.50,paid,c,1\n")
    shop.run()
    assert bronze(shop) == [("1", "c", "paid", Decimal("1.50"))]


def test_h2_a_file_without_a_header_is_rejected_and_no_value_of_it_is_repeated(shop: Shop) -> None:
    shop.drop("orders.csv", f"{ROW}\nsecret-name,c,paid,1,2024-01-01\n")
    result = shop.run()
    said = rejection(shop, "orders.csv")
    assert "its first line is no header that the source knows; add a header, or `from:` in orders.yml" in said
    assert "secret-name" not in said and "1.50" not in said and any("orders.csv was rejected" in note for note in result.notes)


def test_h2_a_missing_key_column_rejects_the_file_with_the_reason(shop: Shop) -> None:
    shop.drop("orders.csv", "id,status,amount,updated_at\n1,paid,1,2024-01-01\n")
    shop.run()
    assert "it has no key column order_id; its header is id, status, amount, updated_at" in rejection(shop, "orders.csv")


def test_h2_a_column_given_twice_rejects_the_file(shop: Shop) -> None:
    shop.drop("orders.csv", "order_id,customer,customer_id,status,amount,updated_at\n1,a,b,paid,1,2024-01-01\n")
    shop.run()
    assert "two of its columns mean customer_id: 'customer' and 'customer_id'" in rejection(shop, "orders.csv")


def test_a_missing_optional_column_is_null_with_a_note(shop: Shop) -> None:
    shop.drop("orders.csv", "order_id,status,updated_at\n1,paid,2024-01-01\n")
    assert "orders.csv lacks customer_id, amount" in shop.run().notes
    assert bronze(shop) == [("1", None, "paid", None)]


def test_one_bad_file_never_stops_the_others(shop: Shop) -> None:
    shop.drop("orders_bad.csv", "<html>")
    shop.drop_orders("orders_good.csv", ROW)
    assert shop.run().status == "succeeded" and len(bronze(shop)) == 1


@pytest.mark.parametrize(
    ("drift", "columns", "note"),
    [("evolve", "order_id, coupon_code", "orders.csv brought the new column coupon_code"), ("ignore", "order_id, status", None)],
)
def test_drift_says_what_a_new_column_does(shop: Shop, drift: str, columns: str, note: str | None) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML + f"drift: {drift}\n")
    shop.drop("orders.csv", f"{HEADER},Coupon Code\n{ROW},X1\n")
    shop.drop("orders_2.csv", f"Coupon Code,{HEADER}\nX2,{ROW.replace('1,c', '2,c')}\n")
    notes = shop.run().notes
    assert (note in notes) if note else not notes
    assert bronze(shop, columns) == ([("1", "X1"), ("2", "X2")] if note else [("1", "paid"), ("2", "paid")])


def test_drift_reject_refuses_the_file_and_names_the_columns(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML + "drift: reject\n")
    shop.drop("orders.csv", f"{HEADER},coupon\n{ROW},X1\n")
    shop.run()
    assert "its columns differ from those declared: +coupon; change orders.yml, or its drift:" in rejection(shop, "orders.csv")


def test_a_changed_type_is_refused_with_what_to_do(shop: Shop) -> None:
    shop.drop_orders("orders.csv", ROW)
    shop.run()
    shop.write("sql/bronze/orders.yml", ORDERS_YML.replace('"decimal(18,2)"', "integer"))
    shop.drop_orders("orders_2.csv", ROW)
    error = shop.run().tasks[0].error or ""
    assert "the column amount is DECIMAL(18,2) in the warehouse but integer in orders.yml" in error and "--from-archive" in error


# ---------------------------------------------------------------- what is no CSV
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>503</body></html>", "it is not CSV but a web page"),
        (b'{"error": "no"}', "it is not CSV but JSON"),
        (b"%PDF-1.7 ...", "it is not CSV but a PDF"),
        (b"PK\x03\x04 xlsx", "it is not CSV but a zip or Excel file"),
        (b"", "it is empty"),
        (bytes(range(1, 32)) * 20, "it is not CSV but binary data"),
        (gzip.compress((HEADER + "\n" + ROW * 99).encode())[:-9], "its gzip data ends too early"),
        (b"\x1f\x8bnonsense", "its gzip data is damaged"),
        (zstandard.compress(b"x" * 999)[:-3], "its zstd data ends too early"),
    ],
    ids=["html", "json", "pdf", "zip", "empty", "binary", "short gzip", "bad gzip", "short zstd"],  # gzip holds the time
)
def test_h7_what_is_no_csv_is_rejected_with_the_reason(shop: Shop, content: bytes, reason: str) -> None:
    shop.drop("orders.csv", content)
    shop.run()
    assert reason in rejection(shop, "orders.csv")


def test_a_second_rejected_file_of_the_same_name_does_not_overwrite_the_first(shop: Shop) -> None:
    for content in ("<html>one", "<html>two"):
        shop.drop("orders.csv", content)
        shop.run()
    rejected = shop.home / "rejected"
    assert [(rejected / name).read_text() for name in ("orders.csv", "orders.csv.2")] == ["<html>one", "<html>two"]
    assert (rejected / "orders.csv.2.error.txt").exists()


def test_h3_limits_reject_bombs_and_giants(shop: Shop) -> None:
    shop.environ.update(GOLDFEED_MAX_FILE_BYTES="1MB", GOLDFEED_MAX_COLUMNS="50")
    shop.drop("orders_big.csv", (HEADER + "\n").encode() + b"x" * 1_100_000)
    shop.drop("orders_bomb.csv.gz", gzip.compress(b"0" * 2_000_000))
    shop.drop("orders_wide.csv", ",".join(f"c{number}" for number in range(60)) + "\n")
    shop.run()
    assert "larger than max_file_bytes" in rejection(shop, "orders_big.csv")
    assert "larger than max_file_bytes" in rejection(shop, "orders_bomb.csv.gz")
    assert "it has 60 columns, more than max_columns" in rejection(shop, "orders_wide.csv")


def test_h4_a_huge_file_without_a_line_end_is_rejected_before_it_is_read(shop: Shop) -> None:
    """Ten sparse gigabytes, and a header with a hole behind it."""
    for name, head in (("orders_sparse.csv", ""), ("orders_hole.csv", HEADER + "\n")):
        with open(shop.drop(name, head), "r+b") as file:
            file.truncate(10_000_000_000)
    shop.run()
    assert "it has 64 MB without a line end" in rejection(shop, "orders_sparse.csv")
    assert "it has 64 MB without a line end" in rejection(shop, "orders_hole.csv")


def test_h5_a_bad_file_with_the_longest_name_there_is_stops_nothing(shop: Shop) -> None:
    shop.drop("orders" + "x" * 245 + ".csv", "<html>")
    shop.drop("ordersé" + "é" * 121 + "y.csv", "<html>other")
    shop.drop_orders("orders.csv", ROW)
    assert shop.run().status == "succeeded" and len(bronze(shop)) == 1
    names = [path.name for path in (shop.home / "rejected").iterdir()]
    assert len(names) == 4 and sum(name.endswith(".error.txt") for name in names) == 2


# ---------------------------------------------------------------- bytes and lines
GOOD = f"{HEADER}\n1,Zoë,paid,1.50,2024-01-01\n2,Ünal,paid,2.50,2024-01-02\n"


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(), codecs.BOM_UTF8 + GOOD.encode(), codecs.BOM_UTF16_LE + GOOD.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + GOOD.encode("utf-16-be"), GOOD.encode("utf-16-le"), GOOD.encode("cp1252"), GOOD.encode("latin-1"),
        GOOD.replace("\n", "\r\n").encode(), GOOD.replace("\n", "\r").encode(), GOOD.replace("\n", "\r\n", 1).encode(),
        GOOD.rstrip("\n").encode(), GOOD.replace("\n", "\n\n").encode(), b"\n\n" + GOOD.encode(),
        GOOD.replace(",", ";").encode(), GOOD.replace(",", "\t").encode(), GOOD.replace(",", "|").encode(),
        gzip.compress(GOOD.encode()), gzip.compress(GOOD[:60].encode()) + gzip.compress(GOOD[60:].encode()),
        zstandard.compress(GOOD.encode()),
        "\n".join(", ".join(f'"{field}"' for field in line.split(",")) for line in GOOD.splitlines()).encode(),
    ],
    ids=["utf-8", "bom", "utf-16-le-bom", "utf-16-be-bom", "utf-16-le", "cp1252", "latin-1", "crlf", "cr", "mixed", "open-end",
         "blank-lines", "blank-first", "semicolon", "tab", "pipe", "gzip", "gzip-members", "zstd", "padded-quotes"],
)  # fmt: skip
def test_h1_the_same_rows_however_they_are_written(shop: Shop, content: bytes) -> None:
    shop.drop("orders.csv", content)
    shop.run()
    assert bronze(shop) == [("1", "Zoë", "paid", Decimal("1.50")), ("2", "Ünal", "paid", Decimal("2.50"))]
    assert shop.quarantine() == [] and balanced(shop)


def test_h1_one_damaged_line_in_a_utf8_file_is_set_aside_alone(shop: Shop) -> None:
    shop.drop("orders.csv", f"{HEADER}\n1,Zoë,paid,1,2024-01-01\n".encode() + b"2,\xff,paid,1,2024-01-01\n3,\xc3\xab,paid,1,2024-01-01\n")
    shop.run()
    assert [row[:2] for row in bronze(shop)] == [("1", "Zoë"), ("3", "ë")]
    assert shop.quarantine() == [("orders", 3, "not UTF-8 at position 3", "2,\\xff,paid,1,2024-01-01")]


def test_h1_other_letters_that_come_late_do_not_change_how_the_file_is_read(shop: Shop) -> None:
    """One damaged line behind a megabyte without a letter beyond ASCII; the file is UTF-8 all the same."""
    plain = "".join(f"{n},{'x' * 990},paid,1,2024-01-01\n" for n in range(1100))
    shop.drop("orders.csv", f"{HEADER}\n{plain}a,Zoë,paid,1,2024-01-01\nb,Ünal,paid,1,2024-01-01\n".encode() + b"c,\xff,paid,1,2024-01-01\n")
    shop.run()
    assert [row[:2] for row in bronze(shop)[-2:]] == [("a", "Zoë"), ("b", "Ünal")]
    assert reasons(shop) == [(1104, "not UTF-8 at position 3")]


def test_h1_windows_letters_that_come_late_are_read_as_such(shop: Shop) -> None:
    plain = "".join(f"{n},{'x' * 990},paid,1,2024-01-01\n" for n in range(1100))
    shop.drop("orders.csv", f"{HEADER}\n{plain}a,Zoë,paid,1,2024-01-01\n".encode("cp1252"))
    shop.run()
    assert bronze(shop)[-1][:2] == ("a", "Zoë") and shop.quarantine() == []


@pytest.mark.parametrize("first", ["", "   \n"], ids=["at the end", "before the header"])
def test_a_line_of_blanks_only_is_a_blank_line(shop: Shop, first: str) -> None:
    shop.drop("orders.csv", f"{first}{HEADER}\n{ROW}\n   \n \t\n")
    shop.run()
    assert shop.quarantine() == [] and balanced(shop)
    assert shop.warehouse("SELECT lines, blank_lines, bronze_rows FROM ledger.files") == [(5, 3, 1) if first else (4, 2, 1)]


def test_a_long_line_is_set_aside_by_the_fast_reader_too(shop: Shop) -> None:
    shop.environ["GOLDFEED_MAX_LINE_BYTES"] = "100B"
    shop.drop_orders("orders.csv", f"2,{'x' * 200},paid,1,2024-01-01", ROW)
    shop.run()
    assert reasons(shop) == [(2, "longer than max_line_bytes")] and len(bronze(shop)) == 1


def test_where_all_is_quoted_a_line_with_two_broken_quotes_is_shown_as_itself(shop: Shop) -> None:
    """DuckDB gives the line before as its text."""
    shop.drop_orders("orders.csv", '"1","a","paid","1","2024-01-01"', '"2","b"x,"pa"id,"1","2024-01-01"', '"3","c","paid","1","2024-01-01"')
    shop.run()
    broken = ("orders", 3, "text after a closing quote, or a quote never closed", '"2","b"x,"pa"id,"1","2024-01-01"')
    assert shop.quarantine() == [broken] and [row[0] for row in bronze(shop)] == ["1", "3"]


def test_where_all_is_quoted_a_broken_quote_makes_no_row_that_nobody_wrote(shop: Shop) -> None:
    """DuckDB takes the end of the first line and the beginning of the second for one row, and the count is right."""
    shop.write("sql/bronze/orders.yml", 'files: "*.csv"\ncolumns:\n  order_id: {type: varchar}\n  status: {type: varchar}\n  amount: {type: varchar}\n')
    shop.write("sql/silver/orders.sql", "/* ---\ndescription: x\n--- */\nSELECT order_id, status, 1 AS amount FROM bronze.orders\n")
    shop.drop("orders.csv", 'order_id,status,amount\n"a,"a","a\nk,"a,b",k\n')
    shop.run()
    assert bronze(shop, "order_id, status, amount") == [("k", "a,b", "k")] and [line for line, _ in reasons(shop)] == [2]


def test_h1_nul_bytes_and_long_lines_are_set_aside_alone(shop: Shop) -> None:
    shop.environ["GOLDFEED_MAX_LINE_BYTES"] = "100B"
    shop.drop("orders.csv", f"{HEADER}\n1,a\0b,paid,1,2024-01-01\n2,{'x' * 200},paid,1,2024-01-01\n{ROW}\n")
    shop.run()
    assert reasons(shop) == [(2, "a NUL byte at position 4"), (3, "longer than max_line_bytes")] and len(bronze(shop)) == 1


def test_broken_lines_are_set_aside_one_by_one_with_line_reason_and_raw_text(shop: Shop) -> None:
    shop.drop_orders("orders.csv", ROW, "2,c", "3,c,paid,1,2024-01-01,x,y", '4,"c"x,paid,1,2024-01-01', ROW.replace("1,c", "5,c"))
    shop.run()
    assert shop.quarantine() == [
        ("orders", 3, "too few columns", "2,c"),
        ("orders", 4, "too many columns", "3,c,paid,1,2024-01-01,x,y"),
        ("orders", 5, "text after a closing quote, or a quote never closed", '4,"c"x,paid,1,2024-01-01'),
    ]
    assert [row[0] for row in bronze(shop)] == ["1", "5"] and balanced(shop)
    assert bronze(shop, "_line") == [(2,), (6,)]


def test_an_unclosed_quote_costs_its_own_line_only(shop: Shop) -> None:
    shop.drop_orders("orders.csv", '1,"c,paid,1,2024-01-01', "2,c,paid,1,2024-01-01", '3,"d",paid,1,2024-01-01', "4,c,paid,1,2024-01-01")
    shop.run()
    assert [row[0] for row in bronze(shop)] == ["2", "3", "4"] and bronze(shop, "_line") == [(3,), (4,), (5,)]
    assert reasons(shop) == [(2, "text after a closing quote, or a quote never closed")] and balanced(shop)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_breaks_inside_quotes_stay_as_they_are(shop: Shop, end: str) -> None:
    shop.drop("orders.csv", end.join([HEADER, '1,"two\nlines, ""quoted""",paid,1,2024-01-01', "2,c,paid,x,2024-01-01", "3,c,paid,1,2024-01-01", ""]))
    shop.run()
    assert bronze(shop, "customer_id, _line") == [('two\nlines, "quoted"', 2), ("c", 5)]
    assert shop.quarantine() == [("orders", 4, "amount is not a decimal(18,2)", "2,c,paid,x,2024-01-01")]


def test_a_line_cut_off_at_the_end_is_set_aside_and_an_open_end_is_noted(shop: Shop) -> None:
    shop.drop("orders.csv", f"{HEADER}\n{ROW}\n2,c,pa")
    shop.run()
    assert reasons(shop) == [(3, "too few columns")]
    assert shop.warehouse("SELECT notes FROM ledger.files") == [("the last line has no line end",)]


def test_a_file_with_only_a_header_gives_no_rows_and_no_error(shop: Shop) -> None:
    shop.drop_orders("orders.csv")
    assert shop.run().status == "succeeded" and bronze(shop) == [] and balanced(shop)


# ---------------------------------------------------------------- values
def test_values_that_do_not_fit_send_their_row_to_quarantine_with_column_and_raw_text(shop: Shop) -> None:
    shop.drop_orders("orders.csv", "1,c,paid,12.x,2024-01-01", "2,c,paid,1,2024-13-45", " ,c,paid,1,2024-01-01", ROW)
    shop.run()
    listed = shop.cli_json("quarantine", "list")
    assert [(row["line"], row["column"], row["reason"]) for row in listed] == [
        (2, "amount", "amount is not a decimal(18,2)"),
        (3, "updated_at", "updated_at is not a timestamp"),
        (4, "order_id", "order_id is blank but part of the key"),
    ]
    assert {"id", "file", "line", "source", "reason", "column"} == set(listed[0]) and listed[0]["file"] == "orders.csv"
    raws = [shop.cli_json("quarantine", "show", str(row["id"]))["raw"] for row in listed]
    assert raws == ["1,c,paid,12.x,2024-01-01", "2,c,paid,1,2024-13-45", " ,c,paid,1,2024-01-01"]


def test_on_error_null_keeps_the_row(shop: Shop) -> None:
    shop.write("sql/bronze/orders.yml", ORDERS_YML.replace('"decimal(18,2)"', '"decimal(18,2)", on_error: "null"'))
    shop.drop_orders("orders.csv", "1,c,paid,12.x,2024-01-01")
    shop.run()
    assert bronze(shop) == [("1", "c", "paid", None)] and shop.quarantine() == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "12", 12), ("integer", "12.0", 12), ("integer", "12.6", None), ("integer", "0x1F", None), ("integer", "1_000", None),
        ('"decimal(18,2)"', "12.345", None), ('"decimal(18,2)"', "12.340", Decimal("12.34")), ('"decimal(18,2)"', "NaN", None),
        ('"decimal(18,2)"', "1e309", None), ('"decimal(18,2)"', "9" * 40, None), ('"decimal(18,2)"', "-0", Decimal("0.00")),
        ('"decimal(18,2)", format: decimal_comma', '"1.234,50"', Decimal("1234.50")),
        ('"decimal(18,2)", format: decimal_comma', '"12,90 EUR"', Decimal("12.90")),
        ('"decimal(18,2)", format: [decimal_point, decimal_comma]', "1.234", None),
        ('"decimal(18,2)", format: [decimal_point, decimal_comma]', '"1,230"', None),
        ('"decimal(18,3)", format: [decimal_point, decimal_comma]', '"1,234"', None),
        ('"decimal(18,3)", format: [decimal_comma, decimal_point]', "0.234", Decimal("0.234")),
        ('"decimal(18,3)", format: [decimal_point, decimal_comma]', "1.234.567", Decimal("1234567.000")),
        ('"decimal(18,3)", format: decimal_comma', "1.234", Decimal("1234.000")),
        ("integer, format: decimal_comma", "1.000", 1000), ("integer, format: [decimal_point, decimal_comma]", "1.000", None),
        ("double, format: decimal_comma", "1.234", 1234.0), ("double, format: [decimal_point, decimal_comma]", "1.234", None),
        ("double", "1e309", None), ("double", "NaN", None), ("date", "2024-02-29", datetime(2024, 2, 29).date()), ("date", "2023-02-29", None),
        ("date", "0000-01-01", None), ("date", "9999-12-31", datetime(9999, 12, 31).date()), ("timestamp", "infinity", None),
        ("timestamp", "2024-01-01 00:00+02", datetime(2023, 12, 31, 22)), ("timestamp", "2024-01-01T10:00:00Z", datetime(2024, 1, 1, 10)),
        ('timestamp, format: ["%d/%m/%Y %H:%M"]', "13/02/2024 10:11", datetime(2024, 2, 13, 10, 11)),
        ('timestamp, format: ["%d/%m/%Y %H:%M"]', "2024-02-13 10:11", None),
    ],
)  # fmt: skip
def test_h10_a_value_is_what_it_says_or_is_set_aside_never_rounded_or_guessed(shop: Shop, kind: str, text: str, value: Any) -> None:
    shop.write("sql/bronze/orders.yml", f'files: "orders*.csv"\ncolumns:\n  id: {{type: varchar}}\n  v: {{type: {kind}}}\n')
    shop.write("sql/silver/orders.sql", "/* ---\ndescription: x\n--- */\nSELECT id, v AS status, 1 AS amount FROM bronze.orders\n")
    shop.drop("orders.csv", f"id,v\n1,{text}\n")
    shop.run()
    assert bronze(shop, "v") == ([] if value is None else [(value,)])
    assert len(shop.quarantine()) == (value is None)


# ---------------------------------------------------------------- names, places, time
def test_h5_odd_names_are_read_as_names_and_nothing_else(shop: Shop) -> None:
    names = ["orders[1].csv", "orders'; DROP TABLE x;--.csv", 'orders".csv', "orders *?.csv", "orders\nbreak.csv", "ordersé.csv", "orders" + "x" * 200 + ".csv"]
    names += [os.fsdecode(b"orders\xff.csv"), "orders -rf.csv", "orders$(touch x)`id`.csv", "orders\\.csv", "orders\x1b[31m.csv", "orders\u202egpj.csv", "\u043erders.csv"]
    for number, name in enumerate(names):
        shop.drop_orders(name, ROW.replace("1,c", f"{number},c"))
    shop.run()
    assert len(bronze(shop)) == len(names) - 1 and [path.name for path in (shop.home / "landing").iterdir()] == names[-1:]  # a Cyrillic o
    done = shop.cli("status")
    assert done.returncode == 0 and "matches no source: \u043erders.csv" in done.stdout
    assert (r"orders\xff.csv",) in shop.warehouse("SELECT path FROM ledger.files")


def test_h5_links_pipes_and_unfinished_files_are_never_touched(shop: Shop) -> None:
    landing = shop.drop_orders("orders.csv", ROW).parent
    outside = shop.home / "outside.csv"
    outside.write_text(f"{HEADER}\n9,c,paid,1,2024-01-01\n")
    (landing / "orders_link.csv").symlink_to(outside)
    os.mkfifo(landing / "orders_pipe.csv")
    for name in (".orders_hidden.csv", "orders_1.csv.tmp", "orders_2.csv.part"):
        shop.drop_orders(name, ROW.replace("1,c", "8,c"))
    shop.run()
    assert [row[0] for row in bronze(shop)] == ["1"] and outside.exists()
    assert sorted(path.name for path in landing.iterdir()) == [
        ".orders_hidden.csv", "orders_1.csv.tmp", "orders_2.csv.part", "orders_link.csv", "orders_pipe.csv",
    ]  # fmt: skip


def test_subfolders_are_searched(shop: Shop) -> None:
    shop.drop_orders("year=2024/month=01/day=05/orders.csv", ROW)
    shop.run()
    assert shop.warehouse("SELECT path FROM ledger.files") == [("year=2024/month=01/day=05/orders.csv",)]


def test_files_of_no_source_or_of_several_stay_and_are_listed(shop: Shop) -> None:
    shop.write("sql/bronze/others.yml", 'files: "*_x.csv"\ncolumns:\n  a: {type: varchar}\n')
    shop.drop("notes.txt", "hello")
    shop.drop_orders("orders_x.csv", ROW)
    notes = shop.run().notes
    assert "orders_x.csv matches several sources (orders, others) and was left" in notes or notes == ()
    said = shop.cli("status").stdout
    assert "matches no source: notes.txt" in said and "matches several sources: orders_x.csv (orders, others)" in said
    assert (shop.home / "landing/notes.txt").exists() and (shop.home / "landing/orders_x.csv").exists()


def test_i1_a_file_counts_once_whatever_its_name_and_packing(shop: Shop) -> None:
    text = f"{HEADER}\n{ROW}\n"
    shop.drop("orders.csv", text)
    shop.drop("orders_copy.csv", text)
    shop.run()
    shop.drop("orders_again.csv.gz", gzip.compress(text.encode()))
    shop.drop("orders.csv", text)
    assert "orders_again.csv.gz is a duplicate of a file taken before" in shop.run().notes
    assert len(bronze(shop)) == 1
    assert shop.warehouse("SELECT outcome, count(*) FROM ledger.deliveries GROUP BY 1 ORDER BY 1") == [("duplicate", 3), ("loaded", 1)]


def test_i1_the_same_content_for_another_source_is_refused_with_the_reason(shop: Shop) -> None:
    shop.write("sql/bronze/others.yml", ORDERS_YML.replace("orders*", "others*"))
    for name in ("orders.csv", "others.csv"):
        shop.drop_orders(name, ROW)
        shop.run()
    assert "its content is that of orders.csv, which came in as orders, and a content counts once" in rejection(shop, "others.csv")
    assert len(bronze(shop)) == 1 and shop.run().status == "nothing_to_do"


def test_i1_the_same_name_with_new_bytes_is_a_new_version_of_the_file(shop: Shop) -> None:
    shop.drop_orders("orders.csv", ROW)
    shop.run()
    shop.drop_orders("orders.csv", ROW.replace("1.50", "9.99"))
    shop.run()
    assert shop.warehouse("SELECT file_id, replaces FROM ledger.files ORDER BY 1") == [(1, None), (2, 1)]
    assert shop.warehouse("SELECT amount FROM silver.orders") == [(Decimal("9.99"),)]


def test_the_archive_gives_the_file_back_byte_for_byte(shop: Shop) -> None:
    import hashlib
    import subprocess

    content = f"{HEADER}\r\n1,Zoë,paid,1,2024-01-01\r\n".encode("cp1252")
    shop.drop("orders.csv", content)
    shop.run()
    path = shop.home / "archive" / f"{hashlib.sha256(content).hexdigest()}.csv.zst"
    assert subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout == content


def test_h3_a_file_that_still_grows_waits_and_is_taken_whole_by_the_next_run(shop: Shop) -> None:
    shop.environ["GOLDFEED_SETTLE_SECONDS"] = "0.5"
    path, stop = shop.drop_orders("orders.csv", ROW), threading.Event()

    def grow() -> None:
        number = 2
        while not stop.is_set():
            with open(path, "a") as file:
                file.write(f"{number},c,paid,1,2024-01-01\n")
            number += 1
            time.sleep(0.02)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        notes = shop.run().notes
    finally:
        stop.set()
        writer.join()
    assert "orders.csv is still growing" in notes and path.exists() and bronze(shop) == []
    lines = len(path.read_text().splitlines())
    shop.run()
    assert len(bronze(shop)) == lines - 1 and not path.exists()


# ---------------------------------------------------------------- laws
# without control characters: a file full of them is refused as binary
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\n\r\t")
FIELDS = st.text(LETTERS, max_size=12)


@examples(10)
@given(rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=12), end=st.sampled_from(["\n", "\r\n"]))
@example(rows=[("", "\n"), ("", "\ufffd")], end="\n")  # in a UTF-8 file U+FFFD is a character like another
def test_law_bronze_holds_exactly_the_rows_that_a_csv_reader_sees(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    shop = plain_shop(tmp_path_factory)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(("id", "a", "b"))
    writer.writerows((f"k{number}", *row) for number, row in enumerate(rows))
    shop.drop("orders.csv", text.getvalue())
    shop.run()
    found = shop.warehouse("SELECT id, coalesce(a, ''), coalesce(b, '') FROM bronze.orders ORDER BY _line")
    assert found == [(f"k{number}", *row) for number, row in enumerate(rows)]
    assert shop.quarantine() == []


@examples(12)
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(list(b'",\n\r\0;x1\xff\xc3'))), max_size=6), cut=st.integers(0, 60))
def test_h11_whatever_happens_to_its_bytes_every_line_of_a_file_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    shop = plain_shop(tmp_path_factory)
    lines = ["id,a,b", *(f'k{number},"x, {number}",y{number}' if number % 3 == 0 else f"k{number},x{number},y{number}" for number in range(25))]
    content = bytearray("\n".join(lines).encode() + b"\n")
    for place, byte in changes:
        content[place % len(content)] = byte
    shop.drop("orders.csv", bytes(content[: len(content) - cut]))
    result = shop.run()
    assert result.tasks[0].status == "succeeded", result.tasks[0].error
    rejected = (shop.home / "rejected/orders.csv").exists()
    taken = shop.warehouse("SELECT count(*) FROM ledger.files")[0][0]
    assert rejected != bool(taken) and balanced(shop)


def plain_shop(factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(factory.mktemp("law"))
    shop.write("goldfeed.yml", "name: law\n")
    shop.write("sql/bronze/orders.yml", 'files: "orders*.csv"\nkey: [id]\ndrift: ignore\ncolumns:\n  id: {type: varchar}\n  a: {type: varchar}\n  b: {type: varchar}\n')
    return shop


LINES = st.sampled_from(
    ["k,a,b", 'k,"a",b', 'k,"a ""b""",c', "k,a", "k,a,b,c", 'k,a"b,c', 'k,"a,b', 'k,"a\nb",c', "", "k,é,\ufffd", " ", "\t", " ,,", ",,", '"","",""', "k,a,"]
)


@examples(6)
@given(lines=st.lists(LINES, min_size=1, max_size=12))
def test_law_both_readers_see_the_same_rows_and_the_same_broken_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    """One other line end, at the header, and the whole file goes the careful way."""
    seen = []
    for end in ("\n", "\r\n"):
        shop = plain_shop(tmp_path_factory)
        shop.drop("orders.csv", f"id,a,b{end}" + "".join(f"{line}\n" for line in lines))
        shop.run()
        broken = [(line, reason) for _, line, reason, _ in shop.quarantine()]
        seen.append((shop.warehouse("SELECT _line, id, a, b FROM bronze.orders ORDER BY _line"), broken))
    assert seen[0] == seen[1]
