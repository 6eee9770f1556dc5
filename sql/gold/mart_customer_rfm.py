"""Customers by recency, frequency and money.

---
description: One row per customer with orders, scored 1 to 5 for how lately, how often and for how much they buy
kind: incremental
key: [customer_id]
columns:
  customer_id:     The shop's number of the customer
  last_order_date: Day of the last order that was not canceled
  frequency:       Orders that were not canceled
  monetary:        Their items plus freight
  recency_score:   5 for the fifth of the customers who bought last
  frequency_score: 5 for the fifth who buy most often
  monetary_score:  5 for the fifth who spend most, in tens
  segment:         champions, loyal, new, at risk, lost or regular
select: |
  SELECT
      t.customer_id,
      t.last_order_date,
      t.frequency,
      t.monetary,
      r.score AS recency_score,
      f.score AS frequency_score,
      m.score AS monetary_score
  FROM gold.fact_customer_totals AS t
  LEFT JOIN gold.mart_rfm_scores AS r
      ON r.measure = 'recency' AND r.value = CAST(t.last_order_date - DATE '1970-01-01' AS BIGINT)
  LEFT JOIN gold.mart_rfm_scores AS f
      ON f.measure = 'frequency' AND f.value = t.frequency
  LEFT JOIN gold.mart_rfm_scores AS m
      ON m.measure = 'monetary' AND m.value = CAST(floor(t.monetary) AS BIGINT) // 10
---
"""

import polars as pl


def model(scored: pl.LazyFrame) -> pl.LazyFrame:
    """One row per customer with orders that were not canceled; unknown customers are left out.

    No column counts the days up to today: a customer whose scores stay keeps his row, and a day costs the day.
    """
    return scored.with_columns(segment().alias("segment"))


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
