/* ---
description: Orders with their money
kind: incremental
key: [order_id]
foreign_keys:
  customer_key: gold.dim_customers.customer_key
  order_date: gold.dim_date.date
measures:
  Freight Share:
    expression: DIVIDE(SUM('Orders'[Freight Amount]), SUM('Orders'[Total Amount]))
    format: "0.0%"
    description: Share of the freight in the money of the orders
columns:
  order_id:       The shop's number of the order
  customer_key:   Version of the customer that was valid at the time of the order; -1 unknown
  order_date:     Day of the order (UTC)
  ordered_at:     When the order was placed (UTC)
  status:         created, paid, shipped, delivered or canceled
  item_count:     Pieces in the order
  items_amount:   Quantity times price over all lines
  freight_amount: Freight over all lines
  total_amount:   Items plus freight
--- */
WITH items AS (
    SELECT
        order_id,
        CAST(sum(quantity) AS BIGINT) AS item_count,
        CAST(sum(line_amount) AS DECIMAL(18, 2)) AS items_amount,
        CAST(sum(freight_amount) AS DECIMAL(18, 2)) AS freight_amount
    FROM gold.fact_order_items
    GROUP BY order_id
)

SELECT
    o.order_id,
    coalesce(c.customer_key, -1) AS customer_key,
    CAST(o.ordered_at AS DATE) AS order_date,
    o.ordered_at,
    o.status,
    coalesce(items.item_count, 0) AS item_count,
    CAST(coalesce(items.items_amount, 0) AS DECIMAL(18, 2)) AS items_amount,
    CAST(coalesce(items.freight_amount, 0) AS DECIMAL(18, 2)) AS freight_amount,
    CAST(coalesce(items.items_amount, 0) + coalesce(items.freight_amount, 0) AS DECIMAL(18, 2)) AS total_amount
FROM silver.orders AS o
LEFT JOIN items ON items.order_id = o.order_id
LEFT JOIN gold.dim_customers AS c
    ON c.customer_id = o.customer_id AND o.ordered_at >= c.valid_from AND o.ordered_at < c.valid_to
