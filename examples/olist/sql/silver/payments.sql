/* ---
description: One row per payment
kind: upsert
key: [order_id, payment_number]
columns:
  order_id:             The shop's number of the order
  payment_number:       Number of the payment within the order
  payment_type:         How it was paid
  payment_installments: Number of instalments
  amount:               Money
--- */
SELECT
    order_id,
    payment_sequential AS payment_number,
    payment_type,
    payment_installments,
    payment_value AS amount
FROM bronze.payments
