/* ---
description: Lines of orders
kind: incremental
key: [order_id, line_number]
foreign_keys:
  order_id: gold.fact_orders.order_id
  product_key: gold.dim_products.product_key
  seller_key: gold.dim_sellers.seller_key
  order_date: gold.dim_date.date
columns:
  order_id:       The shop's number of the order
  line_number:    Number of the line within the order
  product_key:    Number of the product; -1 unknown
  seller_key:     Number of the seller; -1 unknown
  order_date:     Day of the order (UTC)
  quantity:       "Always 1: Olist has a line for each piece"
  unit_price:     Price of one piece
  freight_amount: Freight for the line
  line_amount:    Quantity times price
--- */
SELECT
    i.order_id,
    i.line_number,
    coalesce(p.product_key, -1) AS product_key,
    coalesce(s.seller_key, -1) AS seller_key,
    CAST(o.purchased_at AS DATE) AS order_date,
    1 AS quantity,
    i.unit_price,
    i.freight_amount,
    i.unit_price AS line_amount
FROM silver.order_items AS i
INNER JOIN silver.orders AS o ON o.order_id = i.order_id
LEFT JOIN gold.dim_products AS p ON p.product_id = i.product_id
LEFT JOIN gold.dim_sellers AS s ON s.seller_id = i.seller_id
