"""The fifths of gold.mart_rfm_scores, against how they are defined: by rank."""

from __future__ import annotations

from decimal import Decimal

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from pipeline.project.model import read_model
from tests.conftest import ROOT

MODEL = read_model(ROOT / "sql/gold/mart_rfm_scores.sql")


def scores(amounts: list[Decimal]) -> dict[int, int]:
    """Value -> score of the monetary measure, for customers who spent so much."""
    with duckdb.connect() as engine:
        engine.execute("CREATE SCHEMA gold")
        engine.execute("CREATE TABLE gold.fact_customer_totals (last_order_date DATE, frequency BIGINT, monetary DECIMAL(18, 2))")
        engine.executemany("INSERT INTO gold.fact_customer_totals VALUES (DATE '2024-01-01', 1, ?)", [[a] for a in amounts])
        rows = engine.execute(f"SELECT value, score FROM ({MODEL.said.sql}) WHERE measure = 'monetary'").fetchall()
    return dict(rows)


@given(st.lists(st.decimals(0, 120, places=2), min_size=1, max_size=40))
def test_the_fifth_of_a_value_is_five_times_its_rank_over_the_customers_rounded_up(amounts: list[Decimal]) -> None:
    tens = [int(amount // 10) for amount in amounts]
    ranks = {value: sum(other <= value for other in tens) for value in tens}
    assert scores(amounts) == {value: -(-rank * 5 // len(tens)) for value, rank in ranks.items()}
