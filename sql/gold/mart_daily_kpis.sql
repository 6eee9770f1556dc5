/* ---
description: The figures of each day that has an order or a refund
kind: incremental
key: [order_date]
foreign_keys:
  order_date: gold.dim_date.date
columns:
  order_date:          The day (UTC)
  orders:              Number of orders
  items:               Pieces in the orders not canceled
  revenue:             Items plus freight of the orders not canceled
  average_order_value: Revenue per order not canceled, half a cent rounded up by whole numbers; NULL if there is none
  new_customers:       Customers whose first order is of this day
  returning_customers: Customers who had ordered on an earlier day
  cancellation_rate:   Share of the orders that are canceled; NULL if there is none
  refunds:             Money paid back on this day
--- */
WITH days AS (
    SELECT
        x.order_date,
        count(*) AS orders,
        count(*) FILTER (WHERE x.status = 'canceled') AS canceled,
        CAST(coalesce(sum(x.item_count) FILTER (WHERE x.status <> 'canceled'), 0) AS BIGINT) AS items,
        CAST(coalesce(sum(x.total_amount) FILTER (WHERE x.status <> 'canceled'), 0) AS DECIMAL(18, 2)) AS revenue,
        count(DISTINCT o.customer_id) FILTER (WHERE f.first_date = x.order_date) AS new_customers,
        count(DISTINCT o.customer_id) FILTER (WHERE f.first_date < x.order_date) AS returning_customers
    FROM gold.fact_orders AS x
    INNER JOIN silver.orders AS o ON o.order_id = x.order_id AND o.order_date = x.order_date
    -- always so; a new customer then has the orders since the first one looked at, not all
    LEFT JOIN silver.first_orders AS f ON f.customer_id = o.customer_id AND o.order_date >= f.first_date
    GROUP BY x.order_date
),

refunds AS (
    SELECT paid_date, CAST(-sum(amount) AS DECIMAL(18, 2)) AS refunds
    FROM gold.fact_payments
    WHERE payment_type = 'refund'
    GROUP BY paid_date
)

SELECT
    coalesce(d.order_date, r.paid_date) AS order_date,
    coalesce(d.orders, 0) AS orders,
    coalesce(d.items, 0) AS items,
    CAST(coalesce(d.revenue, 0) AS DECIMAL(18, 2)) AS revenue,
    CAST(
        CAST(
            (CAST(d.revenue * 100 AS BIGINT) * 2 + (d.orders - d.canceled)) // nullif(2 * (d.orders - d.canceled), 0)
            AS DECIMAL(18, 0)
        ) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)
    ) AS average_order_value,
    coalesce(d.new_customers, 0) AS new_customers,
    coalesce(d.returning_customers, 0) AS returning_customers,
    CAST(
        CAST((d.canceled * 20000 + d.orders) // nullif(2 * d.orders, 0) AS DECIMAL(9, 0)) * CAST(0.0001 AS DECIMAL(5, 4))
        AS DECIMAL(9, 4)
    ) AS cancellation_rate,
    CAST(coalesce(r.refunds, 0) AS DECIMAL(18, 2)) AS refunds
FROM days AS d
FULL JOIN refunds AS r ON r.paid_date = d.order_date
