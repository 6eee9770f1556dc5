"""Values out of line with their own history: a robust z-score, aware of trend and weekday.

For each series the value of the last run is compared with a forecast from the
runs before it. Six forecasts are tried: the level, a straight line, or the last
value plus the usual step (for tables that grow), each for all days together or
for the same weekday; the one with the narrowest band is taken.

A forecast is made in two steps. Medians, and the median absolute deviation from
them (times 1.4826, which is the standard deviation of normal noise; Iglewicz and
Hoaglin 1993), say which runs of the history were out of line themselves. The
others give means and a standard deviation: of a short history these know more
than medians do (a MAD of 30 values is as good as a deviation of 11). How far off
is too far is Student's, so that a short history has a wider band.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

RUNS = 14  # runs before a value is judged
WINDOW = 180  # runs looked back at
_NORMAL = 2.75  # standard deviations of a long history: one value in 170 is further off
_CHOICE = 2.6  # a forecast chosen by a short history fits that better than what comes: the band is wider
_SIGMA = 1.4826  # of a MAD, for normal noise
_FIFTH = 1.2816  # of normal noise, four fifths lie within so many standard deviations
_OUT = 4.5  # robust standard deviations at which a run of the history is left out
_SIMPLER = 0.85  # a forecast that knows more is taken only if its band is narrower than this share
_WEEKS = 2  # values of one weekday before weekdays are told apart
_QUIET = 0.01  # of the usual value: a series that never moved may move so much


@dataclass(frozen=True)
class Anomaly:
    """A value out of line: where it should have been, and how far off it is in standard deviations."""

    series: str
    value: float
    low: float
    high: float
    score: float


@dataclass(frozen=True)
class _Forecast:
    """A way to forecast: of the value or of its step, along a line or not, by weekday or not."""

    of: str
    line: bool
    weekday: bool

    @property
    def groups(self) -> tuple[str, ...]:
        return ("series", "day") if self.weekday else ("series",)


_FORECASTS = tuple(
    _Forecast(of, line, weekday)
    for weekday in (False, True)
    for of, line in (("value", False), ("step", False), ("value", True))
)


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
        pl.col("n").cast(pl.Float64),
        (pl.col("value") - pl.col("value").shift(1).over("series")).alias("step"),
    )
    # a weekday counts once there are enough values of it
    held = (~pl.col("last")).sum().over("series", "day") >= _WEEKS
    frame = frame.with_columns(pl.when(held).then(pl.col("day")).otherwise(0).alias("day"))
    frame = frame.with_columns(_past("value").median().over("series").abs().alias("usual"))
    judged = _judged(_best([_forecast(frame, one) for one in _FORECASTS]))
    return [Anomaly(*row) for row in judged.iter_rows()]


# ---------------------------------------------------------------- forecasts
def _past(column: str) -> pl.Expr:
    """A column of the history: the last value is left out."""
    return pl.when(~pl.col("last")).then(pl.col(column))


def _forecast(frame: pl.DataFrame, one: _Forecast) -> pl.DataFrame:
    """Of each series: how far its last value is `off` the forecast, and its standard error and degrees of freedom."""
    frame = frame.with_columns(pl.col(one.of).alias("y"), pl.lit(0.0).alias("slope"))
    if one.line:
        frame = frame.with_columns(_slope().alias("slope"))
    frame = frame.with_columns((pl.col("y") - pl.col("slope") * pl.col("n")).alias("flat"))
    frame = frame.with_columns((pl.col("flat") - _past("flat").median().over(*one.groups)).alias("rough"))
    counts = _past("rough").count().over("series") / (_past("rough").count().over("series") - _parameters(one)).clip(1)
    frame = frame.with_columns((_spread(_past("rough").abs()) * counts.sqrt()).alias("spread"))
    near = (pl.col("rough").abs() <= _OUT * pl.col("spread")) & ~pl.col("last")
    return _refined(frame.with_columns(near.fill_null(False).alias("kept")), one)


def _parameters(one: _Forecast) -> pl.Expr:
    """How many numbers of the history a forecast takes from it."""
    groups = pl.col("day").n_unique().over("series") if one.weekday else pl.lit(1)
    return groups + int(one.line)


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
    return pl.max_horizontal(off.median().over("series") * _SIGMA, off.quantile(0.8).over("series") / _FIFTH * 0.8)


def _refined(frame: pl.DataFrame, one: _Forecast) -> pl.DataFrame:
    """Least squares over the runs that were not out of line themselves."""

    def kept(column: str) -> pl.Expr:
        return pl.when(pl.col("kept")).then(pl.col(column))

    frame = frame.with_columns(
        (pl.col("n") - kept("n").mean().over(*one.groups)).alias("x"),
        (pl.col("y") - kept("y").mean().over(*one.groups)).alias("y"),
        kept("y").count().over(*one.groups).alias("alike"),
    )
    squares = (kept("x") ** 2).sum().over("series")
    if one.line:
        slope = (pl.when(pl.col("kept")).then(pl.col("x") * pl.col("y"))).sum().over("series") / squares
        frame = frame.with_columns((pl.col("y") - slope.fill_nan(0.0) * pl.col("x")).alias("y"))
    free = kept("y").count().over("series") - _parameters(one)
    lever = 1 / pl.col("alike") + (pl.col("x") ** 2 / squares if one.line else 0.0)
    frame = frame.with_columns(
        free.alias("free"),
        (((kept("y") ** 2).sum().over("series") / free) * (1 + lever)).sqrt().alias("error"),
    )
    return frame.filter("last").select("series", "value", "usual", pl.col("y").alias("off"), "error", "free")


def _best(forecasts: list[pl.DataFrame]) -> pl.DataFrame:
    """Of each series the forecast with the narrowest band; a simpler one unless another is clearly better."""
    best = forecasts[0].with_columns(_reach().alias("reach"))
    for other in forecasts[1:]:
        other = other.with_columns(_reach().alias("reach"))
        better = (other["reach"] < best["reach"] * _SIMPLER) & (other["free"] >= 5)
        better = better.fill_null(False)
        best = best.with_columns(
            *[
                pl.when(better).then(other[name]).otherwise(best[name]).alias(name)
                for name in ("off", "error", "free", "reach")
            ]
        )
    return best


def _reach() -> pl.Expr:
    return pl.col("error") * _student()


def _student() -> pl.Expr:
    """How many standard errors are as rare as `_NORMAL` standard deviations (Cornish and Fisher's expansion)."""
    z, free = _NORMAL, pl.col("free").clip(1)
    return (1 + _CHOICE / free) * (
        z
        + (z**3 + z) / 4 / free
        + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / free**2
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384 / free**3
    )


def _judged(best: pl.DataFrame) -> pl.DataFrame:
    """(series, value, low, high, score) of the values that are outside the band."""
    scale = pl.max_horizontal(pl.col("usual"), pl.lit(1.0))
    still = pl.col("error") <= 1e-9 * scale
    best = best.with_columns(pl.when(still).then(scale * _QUIET).otherwise(pl.col("reach")).alias("reach"))
    return best.filter(pl.col("off").abs() > pl.col("reach")).select(
        "series",
        "value",
        (pl.col("value") - pl.col("off") - pl.col("reach")).alias("low"),
        (pl.col("value") - pl.col("off") + pl.col("reach")).alias("high"),
        (pl.col("off") / (pl.col("reach") / _NORMAL)).alias("score"),
    )
