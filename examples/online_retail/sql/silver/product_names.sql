/* ---
description: One row per article and moment, the name on the invoices of that moment
key: [stock_code, invoiced_at]
columns:
  stock_code:  Code of the article, upper case
  invoiced_at: When the invoice was written
  description: Name of the article
--- */
SELECT stock_code, invoiced_at, min(description) AS description
FROM silver.lines
WHERE unit_price > 0 AND description IS NOT NULL
GROUP BY stock_code, invoiced_at
