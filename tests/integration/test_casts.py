"""A text written as the engine writes its value is taken at once: no other value, and no other blank, than the strict way."""

from __future__ import annotations

import os
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.project.source import Column
from pipeline.warehouse import casts

EXAMPLES = int(os.environ.get("GOLDFEED_SOAK_EXAMPLES", "40"))
NUMBERS = ["integer", "tinyint", "bigint", "hugeint", "decimal(18,2)", "decimal(5,0)", "decimal(9,3)", "decimal(3,1)", "double"]
STYLES: list[list[str]] = [[], ["decimal_point"], ["decimal_comma"], ["decimal_point", "decimal_comma"], ["decimal_comma", "decimal_point"]]
MOMENTS: list[tuple[str, list[str]]] = [
    ("date", []),
    ("timestamp", []),
    ("date", ["%Y-%m-%d"]),
    ("date", ["%d/%m/%Y", "%Y-%m-%d"]),
    ("date", ["%Y-%m-%d", "%d.%m.%y"]),
    ("date", ["%Y-%d-%m", "%Y-%m-%d"]),
    ("date", ["%Y-%m-%d %H:%M:%S"]),
    ("timestamp", ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M"]),
    ("timestamp", ["%Y-%d-%m %H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    ("timestamp", ["%Y-%m-%d"]),
]
COLUMNS = [
    *(Column(type=kind, format=style) for kind in NUMBERS for style in STYLES),
    *(Column(type=kind, format=style) for kind, style in MOMENTS),
    Column(type="time", format=["%H:%M"]),
    Column(type="boolean"),
]
BLANKS = st.sampled_from(["", "", "", "", " ", "  ", "\t", "\xa0", "\u2003", "\n"])
NUMERALS = st.lists(
    st.sampled_from(["0", "1", "12", "123", "1234", ".", ",", ".00", ".5", ",50", ".345", ",345", "-", "+", "e3", "_", " EUR", "€", "x", " "]),
    min_size=1,
    max_size=5,
).map("".join)
TIMES = st.builds(
    lambda year, month, day, gap, clock: f"{year}-{month}-{day}{gap}{clock}",
    st.sampled_from(["2024", "0001", "0000", "024", "12024", "-044", " 024"]),
    st.sampled_from(["02", "2", "13", " 2"]),
    st.sampled_from(["29", "1", "30", "12", " 1", "1 "]),
    st.sampled_from(["", " ", "T", "  "]),
    st.sampled_from(["", "10:00:00", "10:00:0", "10:00:0 ", "10:00: 0", "24:00:00", "23:59:60", "10:00", "10:00:00.5", "10:00:00Z", "00:00:00"]),
)
ODD = st.sampled_from(["infinity", "-infinity", "epoch", "nan", "NULL", "12/02/2024", "12/02/2024 10:30", "12.02.24", "true", "t", "10:30", "~", "\x7f"])
TEXTS = st.builds(lambda before, text, after: before + text + after, BLANKS, st.one_of(NUMERALS, TIMES, ODD), BLANKS)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1, max_size=60))
@example(["1.234", "1,234", "12.50", "-0", "-0.00", "0.5", "007", "+5", "12.6", "1e3", ".50", "12.345", "1234567.89", " 12.50", "12.50 "])
@example(["2024-02-01 10:00:0 ", " 024-02-01 10:00:00", "2024-02-01", "2024-02-1 ", "2024-02-31", "infinity", "0000-02-01"])
def test_what_is_known_at_once_is_what_the_strict_way_finds(engine: duckdb.DuckDBPyConnection, texts: list[str | None]) -> None:
    engine.execute("CREATE OR REPLACE TEMP TABLE given AS SELECT unnest(?::VARCHAR[]) AS raw", [texts])
    for column in COLUMNS:
        quick, strict = casts.value("raw", column), casts.strictly(casts.given("raw"), column)
        wrong = engine.execute(f"SELECT raw, {quick}, {strict} FROM given WHERE ({quick})::VARCHAR IS DISTINCT FROM ({strict})::VARCHAR").fetchall()
        assert not wrong, (column, wrong)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(st.none(), BLANKS, TEXTS, st.text(max_size=3)), min_size=1, max_size=60))
def test_a_text_is_blank_when_nothing_is_left_of_it(engine: duckdb.DuckDBPyConnection, texts: list[str | None]) -> None:
    wrong = engine.execute(
        f"SELECT raw FROM (SELECT unnest(?::VARCHAR[]) AS raw) WHERE {casts.blank('raw')} <> ({casts.given('raw')} IS NULL)", [texts]
    ).fetchall()
    assert not wrong


def test_the_engine_is_not_asked_for_its_own_writing_where_that_may_be_a_thousand(engine: duckdb.DuckDBPyConnection) -> None:
    both, comma = Column(type="decimal(9,3)", format=["decimal_point", "decimal_comma"]), Column(type="decimal(9,3)", format=["decimal_comma"])
    assert [engine.execute(f"SELECT {casts.value('raw', column)}::VARCHAR FROM (SELECT '1.234' AS raw)").fetchone() for column in (both, comma)] == [
        (None,),
        ("1234.000",),
    ]
