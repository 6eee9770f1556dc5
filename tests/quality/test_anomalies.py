"""Anomalies: a value out of line with its own history is a warning with the expected band; nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.anomalies import KINDS, measure
from pipeline.clock import Clock
from pipeline.quality.anomalies import RUNS, Anomaly, anomalies
from tests.conftest import Shop

START = datetime(2024, 1, 1, 2)


def history(values: list[float | None]) -> pl.DataFrame:
    """One series, a value a day."""
    times = [START + timedelta(days=day) for day in range(len(values))]
    schema = {"series": pl.String, "at": pl.Datetime, "value": pl.Float64}
    return pl.DataFrame({"series": ["s"] * len(values), "at": times, "value": values}, schema=schema)


@pytest.mark.parametrize("kind", KINDS)
def test_breaks_of_five_sigma_are_found_and_quiet_growing_and_weekly_series_are_left_alone(kind: str) -> None:
    alarms, found = measure(kind, 200, seed=3)
    assert alarms <= 0.015
    assert found >= 0.94


@pytest.mark.parametrize(("runs", "most", "least"), [(16, 0.02, 0.5), (30, 0.02, 0.8), (60, 0.015, 0.93)])
def test_a_shorter_history_raises_no_more_alarms_and_finds_what_it_can(runs: int, most: float, least: float) -> None:
    found = [measure(kind, 150, runs, seed=3) for kind in KINDS]
    assert sum(one[0] for one in found) / len(found) <= most
    assert sum(one[1] for one in found) / len(found) >= least


@pytest.mark.parametrize("level", [0.0, 1.0, 50_000.0])
def test_a_series_that_never_moves_raises_no_alarm_until_it_does(level: float) -> None:
    assert anomalies(history([level] * 40)) == []
    assert [found.value for found in anomalies(history([level] * 40 + [level + max(level, 1.0)]))] == [
        level + max(level, 1.0)
    ]


def test_there_is_no_judgement_before_fourteen_runs() -> None:
    assert anomalies(history([100.0] * (RUNS - 1) + [9.0])) == []
    assert len(anomalies(history([100.0] * RUNS + [9.0]))) == 1


def test_the_band_says_where_the_value_should_have_been() -> None:
    values = [1000.0 + (run * 37 % 11) for run in range(60)]
    found = anomalies(history([*values, 2000.0]))[0]
    assert found.low < 1000 < 1010 < found.high < 1100 and found.score > 10


def test_a_sunday_is_compared_with_sundays() -> None:
    week = [1000.0, 1010.0, 990.0, 1005.0, 1300.0, 400.0, 100.0]
    values = [week[run % 7] + (run * 7 % 5) for run in range(7 * 12)]
    assert anomalies(history([*values[:-1], 102.0])) == []
    assert len(anomalies(history([*values[:-1], 1000.0]))) == 1


def test_an_outlier_in_the_history_does_not_hide_the_next_one() -> None:
    values = [1000.0 + (run * 37 % 11) for run in range(60)]
    values[20] = values[40] = 90_000.0
    assert len(anomalies(history([*values, 2000.0]))) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), max_size=60))
def test_the_verdict_does_not_depend_on_the_order_of_the_rows(values: list[float | None]) -> None:
    frame = history(values)
    found = anomalies(frame)
    assert anomalies(frame.sample(fraction=1.0, shuffle=True, seed=1)) == found
    assert all(
        isinstance(one, Anomaly) and one.low <= one.high and not one.low <= one.value <= one.high for one in found
    )


# ---------------------------------------------------------------- in a shop
@pytest.mark.slow
def test_a_delivery_out_of_line_is_a_warning_with_the_expected_band_and_is_published(shop: Shop) -> None:
    for day in range(17):
        rows = 60 if day == 16 else 12 + day % 3
        orders = (f"{day * 1000 + number},ann,paid,10.00,2024-01-01" for number in range(rows))
        shop.drop_orders(f"orders_{day}.csv", *orders)
        then = datetime(2024, 1, 1, 2) + timedelta(days=day)
        result = shop.run(clock=Clock(now=lambda then=then: then))
        assert result.status == "succeeded"
        if day < 16:
            assert not [note for note in result.notes if "anomaly.rows" in note]
    assert [
        note
        for note in result.notes
        if note.startswith("unusual: bronze.orders.anomaly.rows (completeness): found 60, expected")
    ]
    found = shop.cli_json("checks", "bronze.orders")
    row = next(check for check in found if check["check"] == "anomaly.rows")
    assert (row["severity"], row["outcome"], row["value"], row["type"]) == ("warn", "failed", 60, "anomaly")


def test_a_table_is_profiled_in_the_run_that_changes_it(shop: Shop) -> None:
    shop.drop_orders("orders1.csv", "1,ann,paid,10.00,2024-01-01", "2,,paid,30.00,2024-01-03")
    now = datetime(2024, 1, 4, tzinfo=UTC).replace(tzinfo=None)
    shop.run(clock=Clock(now=lambda: now))
    held = {
        (measure, column): value
        for measure, column, value in shop.warehouse(
            "SELECT measure, column_name, value FROM ledger.profiles WHERE table_name = 'silver.orders'"
        )
    }
    assert held["rows", ""] == 2 and held["nulls", "customer_id"] == 0.5 and held["distinct", "status"] == 1
    assert held["sum", "amount"] == 40 and held["age", "updated_at"] == 24
