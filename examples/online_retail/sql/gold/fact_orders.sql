/* ---
description: Invoices with their money
kind: incremental
key: [order_id]
foreign_keys:
  customer_key: gold.dim_customers.customer_key
  order_date: gold.dim_date.date
columns:
  order_id:       Number of the invoice
  customer_key:   Version of the customer at the time; -1 unknown
  order_date:     Day of the invoice
  ordered_at:     When the invoice was written
  status:         completed, canceled (C invoices) or adjusted (A invoices)
  lines:          Number of lines
  item_count:     Pieces on the invoice
  items_amount:   Quantity times price over all lines
  freight_amount: "Always 0: the file has none"
  total_amount:   "The same: there is no freight"
--- */
WITH first_lines AS (
    SELECT invoice_no, min(invoiced_at) AS ordered_at
    FROM silver.lines
    GROUP BY invoice_no
)

SELECT
    i.order_id,
    max(i.customer_key) AS customer_key,
    CAST(min(f.ordered_at) AS DATE) AS order_date,
    min(f.ordered_at) AS ordered_at,
    CASE
        WHEN i.order_id LIKE 'C%' THEN 'canceled'
        WHEN i.order_id LIKE 'A%' THEN 'adjusted'
        ELSE 'completed'
    END AS status,
    count(*) AS lines,
    CAST(sum(i.quantity) AS BIGINT) AS item_count,
    CAST(sum(i.line_amount) AS DECIMAL(18, 3)) AS items_amount,
    CAST(0 AS DECIMAL(18, 3)) AS freight_amount,
    CAST(sum(i.line_amount) AS DECIMAL(18, 3)) AS total_amount
FROM gold.fact_order_items AS i
INNER JOIN first_lines AS f ON f.invoice_no = i.order_id
GROUP BY
    i.order_id,
    CASE
        WHEN i.order_id LIKE 'C%' THEN 'canceled'
        WHEN i.order_id LIKE 'A%' THEN 'adjusted'
        ELSE 'completed'
    END
