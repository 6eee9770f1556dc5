/* ---
description: The figures of each day with an invoice
kind: incremental
key: [order_date]
foreign_keys:
  order_date: gold.dim_date.date
columns:
  order_date:          Day of the invoice
  orders:              Invoices
  items:               Pieces on the invoices not canceled
  revenue:             Money of the invoices not canceled
  average_order_value: Revenue per invoice not canceled
  new_customers:       Known customers whose first invoice is of this day
  returning_customers: Known customers with an invoice on an earlier day
  cancellation_rate:   Share of the invoices that are cancellations
  refunds:             Money of the canceled invoices of the day, as a positive number
--- */
WITH known AS (
    SELECT o.order_id, c.customer_id
    FROM gold.fact_orders AS o
    INNER JOIN gold.dim_customers AS c ON c.customer_key = o.customer_key
    WHERE c.customer_id IS NOT NULL
),

first_orders AS (
    SELECT k.customer_id, min(o.order_date) AS first_date
    FROM known AS k
    INNER JOIN gold.fact_orders AS o ON o.order_id = k.order_id
    GROUP BY k.customer_id
)

SELECT
    o.order_date,
    count(*) AS orders,
    CAST(coalesce(sum(o.item_count) FILTER (WHERE o.status <> 'canceled'), 0) AS BIGINT) AS items,
    CAST(coalesce(sum(o.total_amount) FILTER (WHERE o.status <> 'canceled'), 0) AS DECIMAL(18, 3)) AS revenue,
    CAST(
        sum(o.total_amount) FILTER (WHERE o.status <> 'canceled')
        / nullif(count(*) FILTER (WHERE o.status <> 'canceled'), 0) AS DECIMAL(18, 2)
    ) AS average_order_value,
    count(DISTINCT k.customer_id) FILTER (WHERE f.first_date = o.order_date) AS new_customers,
    count(DISTINCT k.customer_id) FILTER (WHERE f.first_date < o.order_date) AS returning_customers,
    CAST(count(*) FILTER (WHERE o.status = 'canceled') / nullif(count(*), 0) AS DECIMAL(9, 4)) AS cancellation_rate,
    CAST(coalesce(-sum(o.total_amount) FILTER (WHERE o.status = 'canceled'), 0) AS DECIMAL(18, 3)) AS refunds
FROM gold.fact_orders AS o
LEFT JOIN known AS k ON k.order_id = o.order_id
LEFT JOIN first_orders AS f ON f.customer_id = k.customer_id
GROUP BY o.order_date
