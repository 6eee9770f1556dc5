"""Values out of line with their own history: a robust z-score on median and MAD, aware of trend and weekday.

For each series the value of the last run is compared with a forecast from the
runs before it. Four forecasts are tried on the history and the one with the
smallest spread is taken: the level or the last value plus the usual step (for
tables that grow), each for all days together or for the same weekday. The
spread is the median absolute deviation of the residuals times 1.4826, which is
the standard deviation for normal noise and does not mind outliers (Iglewicz
and Hoaglin 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

RUNS = 14  # runs before a value is judged
WINDOW = 180  # runs looked back at
THRESHOLD = 3.1  # standard deviations, once the history is long
_SHORT, _WIDEST = (
    33,
    1.5,
)  # a short history knows its spread badly: the band is wider by (33 / runs) cubed, at most so much
_SIGMA = 1.4826  # of a MAD, for normal noise
_FIFTH = 1.2816  # of normal noise, four fifths lie within so many standard deviations
_SIMPLER = 0.75  # a forecast that knows more is taken only if it leaves less than this share of the spread
_WEEKS = 3  # values of one weekday before weekdays are told apart
_QUIET = 0.01  # of the usual value: a series that never moved may move so much


@dataclass(frozen=True)
class Anomaly:
    """A value out of line: where it should have been, and how far off it is in standard deviations."""

    series: str
    value: float
    low: float
    high: float
    score: float


def anomalies(history: pl.DataFrame) -> list[Anomaly]:
    """The series whose last value is out of line.

    Args:
        history: series (str), at (datetime), value (float), in any order; NULL values are left out.
    """
    frame = (
        history.drop_nulls("value")
        .sort("series", "at")
        .with_columns(
            pl.int_range(pl.len()).over("series").alias("n"),
            pl.len().over("series").alias("runs"),
            pl.col("at").dt.weekday().alias("day"),
        )
    )
    frame = frame.filter((pl.col("runs") > RUNS) & (pl.col("runs") - pl.col("n") <= WINDOW + 1))
    if frame.is_empty():
        return []
    frame = frame.with_columns(
        (pl.col("n") == pl.col("runs") - 1).alias("last"),
        (pl.col("value") - pl.col("value").shift(1).over("series")).alias("step"),
    )
    judged = _chosen(_with_forecasts(frame))
    return [Anomaly(*row) for row in judged.iter_rows()]


# ---------------------------------------------------------------- forecasts
def _median(column: str, *groups: str) -> pl.Expr:
    """The median of the history: the last value is left out."""
    return pl.when(~pl.col("last")).then(pl.col(column)).median().over("series", *groups)


def _with_forecasts(frame: pl.DataFrame) -> pl.DataFrame:
    """Residuals of each forecast (r_level, r_level_day, r_trend, r_trend_day, r_step, r_step_day)."""
    frame = frame.with_columns(_slope().alias("slope"))
    frame = frame.with_columns((pl.col("value") - pl.col("slope") * pl.col("n")).alias("flat"))
    # a weekday counts once there are enough values of it
    held = (~pl.col("last")).sum().over("series", "day") >= _WEEKS
    frame = frame.with_columns(pl.when(held).then(pl.col("day")).otherwise(0).alias("day"))
    return frame.with_columns(
        (pl.col("value") - _median("value")).alias("r_level"),
        (pl.col("value") - _median("value", "day")).alias("r_level_day"),
        (pl.col("flat") - _median("flat")).alias("r_trend"),
        (pl.col("flat") - _median("flat", "day")).alias("r_trend_day"),
        (pl.col("step") - _median("step")).alias("r_step"),
        (pl.col("step") - _median("step", "day")).alias("r_step_day"),
    )


def _slope() -> pl.Expr:
    """The usual change a run: the median over pairs half the history apart, in whole weeks where there are some."""
    half = pl.min_horizontal(pl.col("runs") - 1, WINDOW) // 2
    lag = pl.when(half >= 7).then(half // 7 * 7).otherwise(pl.max_horizontal(half, pl.lit(1)))
    place = pl.col("n") - pl.col("n").min().over("series")
    earlier = (place - lag).cast(pl.Int64)
    then = pl.col("value").gather(pl.max_horizontal(earlier, pl.lit(0))).over("series")
    change = pl.when((earlier >= 0) & ~pl.col("last")).then((pl.col("value") - then) / lag)
    return change.median().over("series").fill_null(0.0)


def _spread(off: pl.Expr) -> pl.Expr:
    """The standard deviation by the MAD; where most residuals are the same, by their fourth fifth."""
    return pl.max_horizontal(off.median() * _SIGMA, off.quantile(0.8) / _FIFTH * 0.8)


FORECASTS = ("r_level", "r_trend", "r_step", "r_level_day", "r_trend_day", "r_step_day")


def _chosen(frame: pl.DataFrame) -> pl.DataFrame:
    """(series, value, low, high, score) of the last values that are out of line by the forecast that fits best."""
    spreads = (
        frame.filter(~pl.col("last"))
        .group_by("series", maintain_order=True)
        .agg(
            *[_spread(pl.col(name).abs()).alias(f"s{name}") for name in FORECASTS],
            pl.col("value").median().abs().alias("usual"),
        )
    )
    last = frame.filter("last").join(spreads, on="series")
    best, spread = pl.col("r_level"), pl.col("sr_level")
    for name in FORECASTS[1:]:
        better = pl.col(f"s{name}") < spread * _SIMPLER
        best = pl.when(better).then(pl.col(name)).otherwise(best)
        spread = pl.when(better).then(pl.col(f"s{name}")).otherwise(spread)
    wider = 1 + pl.min_horizontal((_SHORT / (pl.col("runs") - 1)) ** 3, pl.lit(_WIDEST))
    last = last.select("series", "value", "usual", best.alias("off"), (spread * wider).alias("spread"))
    floor = pl.max_horizontal(pl.col("usual"), pl.lit(1.0)) * _QUIET / THRESHOLD
    still = pl.col("spread") <= 1e-9 * pl.max_horizontal(pl.col("usual"), pl.lit(1.0))
    last = last.with_columns(pl.when(still).then(floor).otherwise(pl.col("spread")).alias("spread"))
    last = last.with_columns((pl.col("off") / pl.col("spread")).alias("score"))
    return last.filter(pl.col("score").abs() > THRESHOLD).select(
        "series",
        "value",
        (pl.col("value") - pl.col("off") - THRESHOLD * pl.col("spread")).alias("low"),
        (pl.col("value") - pl.col("off") + THRESHOLD * pl.col("spread")).alias("high"),
        "score",
    )
