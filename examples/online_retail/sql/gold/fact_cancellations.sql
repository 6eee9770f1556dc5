/* ---
description: Lines of cancellations
kind: incremental
key: [order_id, line_number]
foreign_keys:
  product_key: gold.dim_products.product_key
  customer_key: gold.dim_customers.customer_key
columns:
  order_id:     Number of the invoice
  line_number:  Number of the line within the invoice, by its content
  product_key:  Version of the article at the time; -1 unknown
  customer_key: Version of the customer at the time; -1 unknown
  order_date:   Day of the invoice
  quantity:     Pieces; negative when taken back
  unit_price:   Price of one piece, pounds
  line_amount:  Quantity times price, pounds
--- */
SELECT order_id, line_number, product_key, customer_key, order_date, quantity, unit_price, line_amount
FROM gold.fact_order_items
WHERE is_cancellation
