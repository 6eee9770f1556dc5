/* ---
description: One row per payment or refund, the latest version
kind: upsert
key: [order_id, payment_number]
rules:
  known_type: payment_type IN ('credit_card', 'paypal', 'bank_transfer', 'voucher', 'refund')
  has_amount: amount IS NOT NULL AND paid_at IS NOT NULL
columns:
  order_id:       The shop's number of the order
  payment_number: Number of the payment within the order
  payment_type:   credit_card, paypal, bank_transfer, voucher or refund
  amount:         Money; a refund is negative
  paid_at:        When the money moved (UTC)
  updated_at:     When the shop last changed it (UTC)
--- */
SELECT
    trim(order_id) AS order_id,
    payment_number,
    lower(trim(payment_type)) AS payment_type,
    amount,
    paid_at,
    updated_at
FROM bronze.payments
