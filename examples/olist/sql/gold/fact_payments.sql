/* ---
description: Payments
kind: incremental
key: [order_id, payment_number]
foreign_keys:
  order_id: gold.fact_orders.order_id
refresh_by: paid_at
columns:
  order_id:             The shop's number of the order
  payment_number:       Number of the payment within the order
  payment_type:         How it was paid
  amount:               Money
  paid_at:              When the payment was approved, or the order placed
  payment_installments: Number of instalments
--- */
SELECT
    p.order_id,
    p.payment_number,
    p.payment_type,
    p.amount,
    coalesce(o.approved_at, o.purchased_at) AS paid_at,
    p.payment_installments
FROM silver.payments AS p
INNER JOIN silver.orders AS o ON o.order_id = p.order_id
