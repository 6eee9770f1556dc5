/* ---
description: One row per customer and moment, the country on the invoices of that moment
key: [customer_id, invoiced_at]
columns:
  customer_id: Number of the customer; NULL if unknown
  invoiced_at: When the invoice was written
  country:     Country
--- */
SELECT customer_id, invoiced_at, min(country) AS country
FROM silver.lines
WHERE customer_id IS NOT NULL
GROUP BY customer_id, invoiced_at
