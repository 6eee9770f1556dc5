/* ---
description: What each country bought, all lines
kind: incremental
key: [country]
columns:
  country: Country
  lines:   Number of lines
  orders:  Invoices
  amount:  Quantity times price over all lines, pounds
--- */
SELECT
    country,
    count(*) AS lines,
    count(DISTINCT order_id) AS orders,
    CAST(sum(line_amount) AS DECIMAL(18, 3)) AS amount
FROM gold.fact_order_items
GROUP BY country
