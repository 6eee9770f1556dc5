/* ---
description: Which fifth of the customers a day of a last order, a number of orders and an amount are in
key: [measure, value]
columns:
  measure: recency, frequency or monetary
  value:   The day of the last order in days since 1970-01-01, the number of orders, or the amount in tens
  score:   5 for the highest fifth; customers with equal values are in one, the highest of theirs
--- */
-- how many customers have a value is left out: nearly every row would change each day, and with it every customer's in the mart
SELECT
    measure,
    value,
    CAST((5 * sum(customers) OVER upward + sum(customers) OVER everyone - 1) // sum(customers) OVER everyone AS INTEGER) AS score
FROM (
    SELECT 'recency' AS measure, CAST(last_order_date - DATE '1970-01-01' AS BIGINT) AS value, count(*) AS customers
    FROM gold.fact_customer_totals
    GROUP BY ALL
    UNION ALL
    SELECT 'frequency' AS measure, frequency AS value, count(*) AS customers
    FROM gold.fact_customer_totals
    GROUP BY ALL
    UNION ALL
    SELECT 'monetary' AS measure, CAST(floor(monetary) AS BIGINT) // 10 AS value, count(*) AS customers
    FROM gold.fact_customer_totals
    GROUP BY ALL
) AS counted
WINDOW
    upward AS (PARTITION BY measure ORDER BY value),
    everyone AS (PARTITION BY measure)
