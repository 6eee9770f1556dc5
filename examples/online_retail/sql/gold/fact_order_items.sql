/* ---
description: Lines of invoices, exact copies counted by copy_number
kind: incremental
key: [order_id, line_number]
foreign_keys:
  order_id: gold.fact_orders.order_id
  product_key: gold.dim_products.product_key
  customer_key: gold.dim_customers.customer_key
columns:
  order_id:        Number of the invoice
  line_number:     Number of the line within the invoice, by its content
  copy_number:     1 for a line, 2 and up for its exact copies
  product_key:     Version of the article at the time; -1 unknown
  customer_key:    Version of the customer at the time; -1 unknown
  order_date:      Day of the invoice
  raw_stock_code:  Code of the article as delivered
  country:         Country
  is_cancellation: Whether the invoice number begins with C
  quantity:        Pieces; negative when taken back
  unit_price:      Price of one piece, pounds
  freight_amount:  "Always 0: the file has none"
  line_amount:     Quantity times price, pounds
--- */
WITH numbered AS (
    SELECT
        invoice_no,
        raw_stock_code,
        stock_code,
        description,
        quantity,
        invoiced_at,
        unit_price,
        customer_id,
        country,
        is_cancellation,
        CAST(row_number() OVER (
            PARTITION BY invoice_no
            ORDER BY invoiced_at, raw_stock_code, description, quantity, unit_price, customer_id, country
        ) AS INTEGER) AS line_number
    FROM silver.lines
),

counted AS (
    SELECT
        invoice_no,
        raw_stock_code,
        stock_code,
        quantity,
        invoiced_at,
        unit_price,
        customer_id,
        country,
        is_cancellation,
        line_number,
        CAST(row_number() OVER (
            PARTITION BY invoice_no, raw_stock_code, description, quantity, invoiced_at, unit_price, customer_id, country
            ORDER BY line_number
        ) AS INTEGER) AS copy_number
    FROM numbered
)

SELECT
    n.invoice_no AS order_id,
    n.line_number,
    n.copy_number,
    coalesce(p.product_key, -1) AS product_key,
    coalesce(c.customer_key, -1) AS customer_key,
    CAST(n.invoiced_at AS DATE) AS order_date,
    n.raw_stock_code,
    n.country,
    n.is_cancellation,
    n.quantity,
    n.unit_price,
    CAST(0 AS DECIMAL(18, 3)) AS freight_amount,
    CAST(n.quantity * n.unit_price AS DECIMAL(18, 3)) AS line_amount
FROM counted AS n
LEFT JOIN gold.dim_products AS p
    ON p.stock_code = n.stock_code AND n.invoiced_at >= p.valid_from AND n.invoiced_at < p.valid_to
LEFT JOIN gold.dim_customers AS c
    ON c.customer_id = n.customer_id AND n.invoiced_at >= c.valid_from AND n.invoiced_at < c.valid_to
