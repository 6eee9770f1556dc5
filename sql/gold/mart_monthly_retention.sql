/* ---
description: Of the customers who first ordered in a month, how many ordered again in later ones
kind: incremental
key: [cohort_month, months_since]
columns:
  cohort_month:     First day of the month of the customer's first order
  months_since:     Months between cohort and order month
  cohort_size:      Customers of the cohort
  active_customers: Customers of the cohort who ordered in the month
  retention_rate:   Share of the cohort that ordered in the month
--- */
WITH sizes AS (
    SELECT cohort_month, count(*) AS cohort_size
    FROM gold.fact_customer_retention
    WHERE months_since = 0
    GROUP BY cohort_month
)

SELECT
    r.cohort_month,
    r.months_since,
    max(s.cohort_size) AS cohort_size,
    count(*) AS active_customers,
    CAST(count(*) / nullif(max(s.cohort_size), 0) AS DECIMAL(9, 4)) AS retention_rate
FROM gold.fact_customer_retention AS r
INNER JOIN sizes AS s ON s.cohort_month = r.cohort_month
GROUP BY r.cohort_month, r.months_since
