/* ---
description: Each customer's first order
kind: incremental
key: [customer_id]
columns:
  customer_id:      The shop's number of the customer
  first_ordered_at: When the customer first ordered (UTC)
  first_date:       The day of it
  cohort_month:     First day of its month
--- */
SELECT
    customer_id,
    min(ordered_at) AS first_ordered_at,
    CAST(min(ordered_at) AS DATE) AS first_date,
    CAST(date_trunc('month', min(ordered_at)) AS DATE) AS cohort_month
FROM silver.orders
WHERE customer_id IS NOT NULL
GROUP BY customer_id
