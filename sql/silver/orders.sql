/* ---
description: One row per order, the latest version of it
kind: upsert
key: [order_id]
rules:
  known_status: status IN ('created', 'paid', 'shipped', 'delivered', 'canceled')
  has_time: ordered_at IS NOT NULL AND updated_at IS NOT NULL
columns:
  order_id:    The shop's number of the order
  customer_id: Who ordered
  status:      created, paid, shipped, delivered or canceled
  ordered_at:  When the order was placed (UTC)
  order_date:  Its day, by which the tables by day and month find the orders of theirs
  updated_at:  When the shop last changed it (UTC)
--- */
SELECT
    trim(order_id) AS order_id,
    trim(customer_id) AS customer_id,
    lower(trim(status)) AS status,
    ordered_at,
    CAST(ordered_at AS DATE) AS order_date,
    updated_at
FROM bronze.orders
