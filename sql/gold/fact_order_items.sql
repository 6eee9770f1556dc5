/* ---
description: Lines of orders; a line whose order has not come yet waits in silver
kind: incremental
key: [order_id, line_number]
foreign_keys:
  product_key: gold.dim_products.product_key
  order_id: gold.fact_orders.order_id
  order_date: gold.dim_date.date
columns:
  order_id:       The shop's number of the order
  line_number:    Number of the line within the order
  product_key:    Version of the product that was valid at the time of the order; -1 unknown
  order_date:     Day of the order (UTC)
  quantity:       Pieces
  unit_price:     Price of one piece
  freight_amount: Freight
  line_amount:    Quantity times price
--- */
SELECT
    i.order_id,
    i.line_number,
    coalesce(p.product_key, -1) AS product_key,
    CAST(o.ordered_at AS DATE) AS order_date,
    i.quantity,
    i.unit_price,
    i.freight_amount,
    CAST(i.quantity * i.unit_price AS DECIMAL(18, 2)) AS line_amount
FROM silver.order_items AS i
INNER JOIN silver.orders AS o ON o.order_id = i.order_id
LEFT JOIN gold.dim_products AS p
    ON p.product_id = i.product_id AND o.ordered_at >= p.valid_from AND o.ordered_at < p.valid_to
