"""Customers by recency, frequency and money.

---
description: One row per customer with orders, scored 1 to 5 for how lately, how often and for how much they buy
key: [customer_id]
columns:
  customer_id:     The shop's number of the customer
  last_order_date: Day of the last order that was not canceled
  frequency:       Orders that were not canceled
  monetary:        Their items plus freight
  recency_score:   5 for the fifth of the customers who bought last
  frequency_score: 5 for the fifth who buy most often
  monetary_score:  5 for the fifth who spend most
  segment:         champions, loyal, new, at risk, lost or regular
---
"""

import polars as pl


def model(fact_customer_totals: pl.LazyFrame) -> pl.LazyFrame:
    """One row per customer with orders that were not canceled; unknown customers are left out.

    No column counts the days up to today: a customer whose scores stay keeps his row, and a day costs the day.
    """
    scored = fact_customer_totals.select(
        "customer_id",
        "last_order_date",
        "frequency",
        "monetary",
        fifth(pl.col("last_order_date")).alias("recency_score"),
        fifth(pl.col("frequency")).alias("frequency_score"),
        fifth((pl.col("monetary") * 100).cast(pl.Int64)).alias("monetary_score"),  # whole numbers are sorted in a quarter of the time
    )
    return scored.with_columns(segment().alias("segment"))


def fifth(value: pl.Expr) -> pl.Expr:
    """The fifth of all rows a value is in, 5 the highest; equal values are in one fifth, the highest of theirs.

    Four values part the fifths: each is the least up to which more than a fifth, two, three or four of the rows lie.
    """
    cuts = value.sort().gather(pl.int_range(1, 5) * pl.len() // 5, null_on_oob=True)
    return cuts.search_sorted(value, side="right").cast(pl.Int32) + 1


def segment() -> pl.Expr:
    """A name for the scores, the first that fits."""
    recency, frequency, monetary = (pl.col(f"{name}_score") for name in ("recency", "frequency", "monetary"))
    return (
        pl.when((recency >= 4) & (frequency >= 4) & (monetary >= 4)).then(pl.lit("champions"))
        .when((recency >= 4) & (pl.col("frequency") == 1)).then(pl.lit("new"))
        .when(frequency >= 4).then(pl.lit("loyal"))
        .when((recency <= 2) & (monetary >= 4)).then(pl.lit("at risk"))
        .when(recency == 1).then(pl.lit("lost"))
        .otherwise(pl.lit("regular"))
    )
