/* ---
description: What was sold of each product in each month, canceled orders left out
kind: incremental
key: [product_id, month]
columns:
  product_id: The product, or unknown
  month:      First day of the month
  orders:     Orders that hold the product
  quantity:   Pieces sold
  revenue:    Quantity times price
--- */
SELECT
    coalesce(p.product_id, 'unknown') AS product_id,
    CAST(date_trunc('month', i.order_date) AS DATE) AS month,
    count(DISTINCT i.order_id) AS orders,
    CAST(sum(i.quantity) AS BIGINT) AS quantity,
    CAST(sum(i.line_amount) AS DECIMAL(18, 2)) AS revenue
FROM gold.fact_order_items AS i
INNER JOIN gold.fact_orders AS o ON o.order_id = i.order_id AND o.order_date = i.order_date
INNER JOIN gold.dim_products AS p ON p.product_key = i.product_key
WHERE o.status <> 'canceled'
GROUP BY coalesce(p.product_id, 'unknown'), CAST(date_trunc('month', i.order_date) AS DATE)
