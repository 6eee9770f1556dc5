/* ---
description: One row per line of an order
kind: upsert
key: [order_id, line_number]
columns:
  order_id:          The shop's number of the order
  line_number:       Number of the line within the order
  product_id:        The shop's number of the product
  seller_id:         Number of the seller
  shipping_limit_at: Until when the seller must ship
  unit_price:        Price of one piece
  freight_amount:    Freight
--- */
SELECT
    order_id,
    order_item_id AS line_number,
    product_id,
    seller_id,
    shipping_limit_at,
    price AS unit_price,
    freight_value AS freight_amount
FROM bronze.order_items
