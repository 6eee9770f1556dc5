/* ---
description: What each known customer has bought so far, orders not canceled
kind: incremental
key: [customer_id]
columns:
  customer_id:     The shop's number of the customer
  last_order_date: Day of the last order
  frequency:       Number of orders
  monetary:        Items plus freight
--- */
SELECT
    c.customer_id,
    max(x.order_date) AS last_order_date,
    count(*) AS frequency,
    CAST(sum(x.total_amount) AS DECIMAL(18, 2)) AS monetary
FROM gold.fact_orders AS x
INNER JOIN gold.dim_customers AS c ON c.customer_key = x.customer_key
WHERE x.status <> 'canceled' AND c.customer_id IS NOT NULL
GROUP BY c.customer_id
