/* ---
description: One row per line of an order, the latest version
kind: upsert
key: [order_id, line_number]
rules:
  quantity_positive: quantity > 0
  price_not_negative: unit_price >= 0
  freight_not_negative: freight_amount >= 0
columns:
  order_id:       The shop's number of the order
  line_number:    Number of the line within the order
  product_id:     The shop's number of the product
  quantity:       Pieces
  unit_price:     Price of one piece
  freight_amount: Freight for the line; 0 if none was given
  updated_at:     When the shop last changed it (UTC)
--- */
SELECT
    trim(order_id) AS order_id,
    line_number,
    trim(product_id) AS product_id,
    quantity,
    unit_price,
    coalesce(freight_amount, 0) AS freight_amount,
    updated_at
FROM bronze.order_items
