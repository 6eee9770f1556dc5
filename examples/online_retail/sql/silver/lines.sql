/* ---
description: Every line as delivered, cleaned; exact copies stay
kind: append
columns:
  invoice_no:      Number of the invoice
  stock_code:      Code of the article, upper case
  raw_stock_code:  Code of the article as delivered
  description:     Name of the article
  quantity:        Pieces; negative when taken back
  invoiced_at:     When the invoice was written
  unit_price:      Price of one piece, pounds
  customer_id:     Number of the customer; NULL if unknown
  country:         Country
  is_cancellation: Whether the invoice number begins with C
--- */
SELECT
    trim(invoice_no) AS invoice_no,
    upper(trim(stock_code)) AS stock_code,
    stock_code AS raw_stock_code,
    nullif(trim(description), '') AS description,
    quantity,
    invoiced_at,
    unit_price,
    regexp_replace(nullif(trim(customer_id), ''), '\.0$', '', 'g') AS customer_id,
    nullif(trim(country), '') AS country,
    starts_with(upper(trim(invoice_no)), 'C') AS is_cancellation
FROM bronze.lines
