"""Several sources in one run: each as if it were alone."""

from __future__ import annotations

import pytest

from tests.conftest import Shop

NUMBERS = """
description: Lines that say which line they are
files: "{name}*.csv"
key: [line]
columns:
  line: {{type: integer}}
  text: {{type: varchar}}
"""
SOURCES = ("one", "two", "three")


@pytest.fixture
def sources(shop: Shop) -> Shop:
    for name in SOURCES:
        shop.write(f"sql/bronze/{name}.yml", NUMBERS.format(name=name))
    return shop


def numbered(lines: int, text: str) -> str:
    return "line,text\n" + "".join(f"{line},{text}\n" for line in range(2, lines + 2))


def test_every_row_bears_the_line_it_stood_on(sources: Shop) -> None:
    for name in SOURCES[:2]:
        sources.drop(f"{name}.csv", numbered(150_000, name * 60))  # so large that the engine shares it out to threads
    sources.run()
    for name in SOURCES[:2]:
        rows = f"SELECT count(*), count_if(line = _line) FROM bronze.{name}"
        assert sources.warehouse(rows) == [(150_000, 150_000)]


def test_files_and_rows_set_aside_have_numbers_of_their_own(sources: Shop) -> None:
    for name in SOURCES:
        for number in range(5):
            sources.drop(f"{name}{number}.csv", f"line,text\n2,{name}\nx,{number}\n4,\"{name}\n")
    assert sources.run().status == "succeeded"
    files, rows = "ledger.files", "ledger.quarantine"
    assert sources.warehouse(f"SELECT count(*), count(DISTINCT file_id) FROM {files}") == [(15, 15)]
    assert sources.warehouse(f"SELECT count(*), count(DISTINCT quarantine_id) FROM {rows}") == [(30, 30)]


def test_i1_the_same_bytes_under_the_names_of_two_sources_count_once(sources: Shop) -> None:
    for name in SOURCES:
        sources.drop(f"{name}.csv", numbered(3, "same"))
    sources.run()
    rows = " UNION ALL ".join(f"SELECT * FROM bronze.{name}" for name in SOURCES)
    assert sources.warehouse(f"SELECT count(*) FROM ({rows})") == [(3,)]
    outcomes = "SELECT outcome, count(*) FROM ledger.deliveries GROUP BY ALL ORDER BY ALL"
    assert sources.warehouse(outcomes) == [("loaded", 1), ("rejected", 2)]  # and say whose content it is
    assert len(list((sources.home / "rejected").glob("*.csv"))) == 2


def test_bytes_that_one_source_refuses_another_takes_in_the_same_run(sources: Shop) -> None:
    other = NUMBERS.format(name="other").replace("[line]", "[number]").replace("  line:", "  number:")
    sources.write("sql/bronze/other.yml", other)
    for name in ("other", "one"):
        sources.drop(f"{name}.csv", numbered(3, "same"))
    sources.run()
    assert sources.warehouse("SELECT count(*) FROM bronze.one") == [(3,)]
    assert (sources.home / "rejected/other.csv").exists()
