/* ---
description: Reviews of orders
kind: incremental
key: [review_id, order_id]
foreign_keys:
  order_id: gold.fact_orders.order_id
pii:  # what customers wrote, for roles that may see it
  title: clear
  message: clear
columns:
  review_id:   Number of the review
  order_id:    The shop's number of the order
  score:       1 to 5
  title:       Title
  message:     What the customer wrote, line breaks kept
  created_at:  When it was asked for
  answered_at: When it was written
--- */
SELECT review_id, order_id, score, title, message, created_at, answered_at
FROM silver.reviews
