"""The fifths of gold.mart_customer_rfm, against how they are defined: by rank."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl
from hypothesis import given
from hypothesis import strategies as st


def shipped_model() -> ModuleType:
    path = Path(__file__).parents[2] / "sql/gold/mart_customer_rfm.py"
    spec = importlib.util.spec_from_file_location("mart_customer_rfm", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rfm = shipped_model()


@given(st.lists(st.integers(-3, 12)))
def test_the_fifth_of_a_value_is_five_times_its_rank_over_the_rows_rounded_up(values: list[int]) -> None:
    frame = pl.DataFrame({"value": values}, schema={"value": pl.Int64})
    found = frame.lazy().select(rfm.fifth(pl.col("value"))).collect().to_series().to_list()
    ranks = [sum(other <= value for other in values) for value in values]
    assert found == [-(-rank * 5 // len(values)) for rank in ranks]
