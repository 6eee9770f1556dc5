/* ---
description: Customers by the month of their first order and the months in which they ordered
kind: incremental
key: [order_month, customer_id]
columns:
  customer_id:  The shop's number of the customer
  cohort_month: First day of the month of the customer's first order
  order_month:  First day of a month with orders
  months_since: Months between cohort and order month
  orders:       Number of orders
  revenue:      Items plus freight of the orders not canceled
--- */
SELECT
    o.customer_id,
    f.cohort_month,
    CAST(date_trunc('month', x.order_date) AS DATE) AS order_month,
    CAST((year(x.order_date) - year(f.cohort_month)) * 12 + month(x.order_date) - month(f.cohort_month) AS INTEGER)
        AS months_since,
    count(*) AS orders,
    CAST(coalesce(sum(x.total_amount) FILTER (WHERE x.status <> 'canceled'), 0) AS DECIMAL(18, 2)) AS revenue
FROM silver.orders AS o
-- no order is before the first one: the condition shows it, and a new customer has the orders since looked at, not all
INNER JOIN silver.first_orders AS f ON f.customer_id = o.customer_id AND o.order_date >= f.first_date
INNER JOIN gold.fact_orders AS x ON x.order_id = o.order_id AND x.order_date = o.order_date
GROUP BY
    o.customer_id,
    f.cohort_month,
    CAST(date_trunc('month', x.order_date) AS DATE),
    CAST((year(x.order_date) - year(f.cohort_month)) * 12 + month(x.order_date) - month(f.cohort_month) AS INTEGER)
