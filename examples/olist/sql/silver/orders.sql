/* ---
description: One row per order
kind: upsert
key: [order_id]
columns:
  order_id:     The shop's number of the order
  customer_id:  Number of the customer in one order
  status:       Where the order stands, as in the file
  purchased_at: When it was placed
  approved_at:  When the payment was approved
  carrier_at:   When the carrier got it
  delivered_at: When the customer got it
  estimated_at: When it was promised
--- */
SELECT
    order_id,
    customer_id,
    lower(trim(status)) AS status,
    purchased_at,
    approved_at,
    carrier_at,
    delivered_at,
    estimated_at
FROM bronze.orders
