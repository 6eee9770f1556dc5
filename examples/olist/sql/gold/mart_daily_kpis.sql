/* ---
description: The figures of each day with an order
kind: incremental
key: [order_date]
foreign_keys:
  order_date: gold.dim_date.date
columns:
  order_date:          Day of the order (UTC)
  orders:              Number of orders
  items:               Pieces in the orders not canceled
  revenue:             Items plus freight of the orders not canceled
  average_order_value: Revenue per order not canceled; NULL if there is none
  new_customers:       Customers whose first order is of this day
  returning_customers: Customers who had ordered on an earlier day
  cancellation_rate:   Share of the orders that are canceled; NULL if there is none
  refunds:             "Always 0: Olist publishes no refunds"
--- */
WITH first_orders AS (
    SELECT customer_key, min(order_date) AS first_date
    FROM gold.fact_orders
    GROUP BY customer_key
),

days AS (
    SELECT
        o.order_date,
        count(*) AS orders,
        count(*) FILTER (WHERE o.status = 'canceled') AS canceled,
        CAST(coalesce(sum(o.item_count) FILTER (WHERE o.status <> 'canceled'), 0) AS BIGINT) AS items,
        CAST(coalesce(sum(o.total_amount) FILTER (WHERE o.status <> 'canceled'), 0) AS DECIMAL(18, 2)) AS revenue,
        count(DISTINCT o.customer_key) FILTER (WHERE f.first_date = o.order_date) AS new_customers,
        count(DISTINCT o.customer_key) FILTER (WHERE f.first_date < o.order_date) AS returning_customers
    FROM gold.fact_orders AS o
    INNER JOIN first_orders AS f ON f.customer_key = o.customer_key
    GROUP BY o.order_date
)

SELECT
    order_date,
    orders,
    items,
    revenue,
    CAST(
        CAST(
            (CAST(revenue * 100 AS BIGINT) * 2 + (orders - canceled)) // nullif(2 * (orders - canceled), 0)
            AS DECIMAL(18, 0)
        ) * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)
    ) AS average_order_value,
    new_customers,
    returning_customers,
    CAST(
        CAST((canceled * 20000 + orders) // nullif(2 * orders, 0) AS DECIMAL(9, 0)) * CAST(0.0001 AS DECIMAL(5, 4))
        AS DECIMAL(9, 4)
    ) AS cancellation_rate,
    CAST(0 AS DECIMAL(18, 2)) AS refunds
FROM days
