/* ---
description: Payments and refunds; one whose order has not come yet waits in silver
kind: incremental
key: [order_id, payment_number]
foreign_keys:
  order_id: gold.fact_orders.order_id
  paid_date: gold.dim_date.date
columns:
  order_id:       The shop's number of the order
  payment_number: Number of the payment within the order
  payment_type:   credit_card, paypal, bank_transfer, voucher or refund
  amount:         Money; a refund is negative
  paid_at:        When the money moved (UTC)
  paid_date:      Day the money moved (UTC)
--- */
SELECT
    p.order_id,
    p.payment_number,
    p.payment_type,
    p.amount,
    p.paid_at,
    CAST(p.paid_at AS DATE) AS paid_date
FROM silver.payments AS p
INNER JOIN silver.orders AS o ON o.order_id = p.order_id
