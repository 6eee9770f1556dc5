"""A Parquet file of an older one's columns and of some newer ones, read back by DuckDB and by Polars."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import duckdb
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.steps.splice import splice
from pipeline.steps.thrift import BINARY, BYTE, DOUBLE, FALSE, I64, LIST, STRUCT, TRUE, read_struct, write_struct

FORMAT = "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v1)"
COLUMNS = {
    "number": "i", "word": "'w' || i % {mod}", "one": "'same'", "blank": "CASE WHEN i % 7 < {mod} THEN i END",
    "money": "CAST(i * {mod} / 100 AS DECIMAL(18, 2))", "day": "DATE '2024-01-01' + CAST(i % {mod} AS INTEGER)", "yes": "i % {mod} = 0",
}


def write(path: Path, rows: int, mod: int, names: list[str]) -> None:
    columns = ", ".join(f"{COLUMNS[name].format(mod=mod)} AS {name}" for name in names)
    duckdb.sql(f"COPY (SELECT {columns} FROM range({rows}) t(i) ORDER BY i) TO '{path}' {FORMAT}")


def rows_of(source: str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM {source}").fetchall()


def footer(path: Path) -> bytes:
    data = path.read_bytes()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


@settings(max_examples=25, deadline=None)
@given(
    rows=some.sampled_from([1, 3, 122_880, 122_881, 200_000]), before=some.integers(1, 9), after=some.integers(1, 9),
    taken=some.sets(some.sampled_from(list(COLUMNS)), min_size=1),
)
def test_the_columns_that_are_taken_are_new_and_all_others_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: int, before: int, after: int, taken: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("splice")
    old, new, path = folder / "old.parquet", folder / "new.parquet", folder / "spliced.parquet"
    write(old, rows, before, list(COLUMNS))
    write(new, rows, after, sorted(taken | {"number"}))
    splice(old, new, path, keys=["number"])
    columns = ", ".join(f"{'n' if name in taken else 'o'}.{name}" for name in COLUMNS)
    wanted = f"(SELECT {columns} FROM '{old}' o POSITIONAL JOIN '{new}' n)"
    assert rows_of(f"'{path}'") == rows_of(wanted)
    assert polars.read_parquet(path).rows() == rows_of(wanted)
    assert read_struct(footer(path)).keys() == read_struct(footer(old)).keys()


def test_its_statistics_and_bloom_filters_are_those_of_the_columns_it_has(tmp_path: Path) -> None:
    old, new, path = tmp_path / "old.parquet", tmp_path / "new.parquet", tmp_path / "spliced.parquet"
    write(old, 130_000, 3, ["number", "word", "one"])
    write(new, 130_000, 9, ["number", "word"])
    splice(old, new, path, keys=["number"])
    asked = "SELECT path_in_schema, stats_min_value, stats_max_value, num_values FROM parquet_metadata('{}') WHERE path_in_schema = '{}' ORDER BY row_group_id"
    assert duckdb.sql(asked.format(path, "word")).fetchall() == duckdb.sql(asked.format(new, "word")).fetchall()
    assert duckdb.sql(asked.format(path, "number")).fetchall() == duckdb.sql(asked.format(old, "number")).fetchall()
    for word, groups in (("w8", 0), ("w88", 2)):  # the groups of rows that the filters leave out
        assert duckdb.sql(f"SELECT count(*) FROM parquet_bloom_probe('{path}', 'word', '{word}') WHERE bloom_filter_excludes").fetchall() == [(groups,)]
        assert len(rows_of(f"'{path}' WHERE word = '{word}'")) == (0 if groups else 14_444)


@pytest.mark.parametrize("nulls", [(False, True), (True, False), (True, True), (False, False)])
def test_a_column_that_had_no_null_may_have_some_and_the_other_way_round(tmp_path: Path, nulls: tuple[bool, bool]) -> None:
    old, new, path = tmp_path / "old.parquet", tmp_path / "new.parquet", tmp_path / "spliced.parquet"
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT i, i AS filled, nullif(i, 3) AS blank, 'x' AS word FROM range(10) t(i)")
    for file, columns, blank in ((old, "i, word, ", nulls[0]), (new, "i, ", nulls[1])):
        connection.execute(f"COPY (SELECT {columns}{'blank' if blank else 'filled'} AS value FROM t ORDER BY i) TO '{file}' {FORMAT}")
    splice(old, new, path, keys=["i"])
    assert rows_of(f"'{path}'") == [(i, "x", None if nulls[1] and i == 3 else i) for i in range(10)]
    assert polars.read_parquet(path).rows() == rows_of(f"'{path}'")


def test_a_column_that_is_made_of_several_is_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS a, {{'x': 1}} AS b) TO '{old}' {FORMAT}")
    duckdb.sql(f"COPY (SELECT 2 AS a) TO '{new}' {FORMAT}")
    with pytest.raises(ValueError, match="a column is made of several"):
        splice(old, new, tmp_path / "spliced.parquet", keys=[])


@pytest.mark.parametrize("order", ["i DESC", "i % 5, i"])
def test_rows_that_lie_in_another_order_are_refused(tmp_path: Path, order: str) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write(old, 10, 3, ["number", "word"])
    duckdb.sql(f"COPY (SELECT i AS number, 'x' AS word FROM range(10) t(i) ORDER BY {order}) TO '{new}' {FORMAT}")
    with pytest.raises(ValueError, match=r"new\.parquet has other keys than old\.parquet, or in another order"):
        splice(old, new, tmp_path / "spliced.parquet", keys=["number"])


def test_files_with_other_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write(old, 10, 3, ["number", "word"])
    write(new, 11, 3, ["word"])
    with pytest.raises(ValueError, match=r"new\.parquet is not cut as old\.parquet is"):
        splice(old, new, tmp_path / "spliced.parquet", keys=[])


def test_a_column_that_the_old_file_lacks_is_refused(tmp_path: Path) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write(old, 10, 3, ["number"])
    write(new, 10, 3, ["word"])
    with pytest.raises(ValueError, match="a column is not as it was"):
        splice(old, new, tmp_path / "spliced.parquet", keys=[])


@settings(max_examples=200, deadline=None)
@given(cut=some.integers(1, 10_000))
def test_a_footer_that_is_cut_off_is_an_error_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "whole.parquet"
    if not path.exists():
        write(path, 10, 3, list(COLUMNS))
    data = footer(path)
    with pytest.raises(ValueError, match="Thrift"):
        read_struct(data[: -(cut % len(data) or 1)])


number, text = some.integers(-(2**63), 2**63 - 1), some.binary(max_size=20)
alone = some.one_of(
    number.map(lambda n: (I64, n)), text.map(lambda t: (BINARY, t)), some.floats().map(lambda f: (DOUBLE, struct.pack("<d", f))),
    some.integers(0, 255).map(lambda n: (BYTE, n)), some.booleans().map(lambda b: (TRUE, True) if b else (FALSE, False)),
    some.lists(number, max_size=40).map(lambda many: (LIST, (I64, many))),
)
structs = some.recursive(
    some.dictionaries(some.integers(1, 300), alone, max_size=5),
    lambda inner: some.dictionaries(some.integers(1, 40), some.one_of(alone, inner.map(lambda s: (STRUCT, s)), some.lists(inner, max_size=3).map(lambda many: (LIST, (STRUCT, many)))), max_size=5),
    max_leaves=10,
)


@settings(deadline=None)
@given(written=structs)
def test_what_is_written_is_read_again(written: dict[int, Any]) -> None:
    assert read_struct(write_struct(written)) == written


def test_a_footer_of_the_engine_is_written_as_it_was_byte_for_byte(tmp_path: Path) -> None:
    write(tmp_path / "old.parquet", 250_000, 5, list(COLUMNS))
    data = footer(tmp_path / "old.parquet")
    assert write_struct(read_struct(data)) == data
