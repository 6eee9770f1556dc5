/* ---
description: Orders with their money; those without items have 0
kind: incremental
key: [order_id]
foreign_keys:
  customer_key: gold.dim_customers.customer_key
  order_date: gold.dim_date.date
columns:
  order_id:       The shop's number of the order
  customer_key:   The person; -1 unknown
  order_date:     Day of the order (UTC)
  ordered_at:     When the order was placed (UTC)
  status:         Where the order stands, as in the file
  item_count:     Lines of the order
  items_amount:   Prices over all lines
  freight_amount: Freight over all lines
  total_amount:   Items plus freight
  delivered_at:   When the customer got it
  estimated_at:   When it was promised
--- */
WITH items AS (
    SELECT
        order_id,
        count(*) AS item_count,
        CAST(sum(line_amount) AS DECIMAL(18, 2)) AS items_amount,
        CAST(sum(freight_amount) AS DECIMAL(18, 2)) AS freight_amount
    FROM gold.fact_order_items
    GROUP BY order_id
)

SELECT
    o.order_id,
    coalesce(d.customer_key, -1) AS customer_key,
    CAST(o.purchased_at AS DATE) AS order_date,
    o.purchased_at AS ordered_at,
    o.status,
    coalesce(items.item_count, 0) AS item_count,
    CAST(coalesce(items.items_amount, 0) AS DECIMAL(18, 2)) AS items_amount,
    CAST(coalesce(items.freight_amount, 0) AS DECIMAL(18, 2)) AS freight_amount,
    CAST(coalesce(items.items_amount, 0) + coalesce(items.freight_amount, 0) AS DECIMAL(18, 2)) AS total_amount,
    o.delivered_at,
    o.estimated_at
FROM silver.orders AS o
LEFT JOIN items ON items.order_id = o.order_id
LEFT JOIN silver.customers AS c ON c.customer_id = o.customer_id
LEFT JOIN gold.dim_customers AS d ON d.customer_unique_id = c.customer_unique_id
