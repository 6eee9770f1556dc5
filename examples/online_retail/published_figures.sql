-- Figures that others have published for this data set, each with the query that gives it: name, expected, SQL.

-- name: rows
-- expected: 541909
SELECT count(*) FROM fact_order_items;

-- name: invoices
-- expected: 25900
SELECT count(*) FROM fact_orders;

-- name: customers
-- expected: 4372
SELECT count(DISTINCT customer_id) FROM dim_customers;

-- name: rows without a customer
-- expected: 135080
SELECT count(*) FROM fact_order_items WHERE customer_key = -1;

-- name: stock codes
-- expected: 4070
SELECT count(DISTINCT raw_stock_code) FROM fact_order_items;

-- name: countries
-- expected: 38
SELECT count(*) FROM mart_country_sales;

-- name: sum of quantity x price over all rows
-- expected: 9747747.934
SELECT sum(line_amount) FROM fact_order_items;

-- name: exact duplicate rows
-- expected: 5268
SELECT count(*) FROM fact_order_items WHERE copy_number > 1;

-- name: rows without duplicates
-- expected: 536641
SELECT count(*) FROM fact_order_items WHERE copy_number = 1;

-- name: rows of cancellations
-- expected: 9288
SELECT count(*) FROM fact_cancellations;

-- name: rows with a negative quantity
-- expected: 10624
SELECT count(*) FROM fact_order_items WHERE quantity < 0;

-- name: rows with a price of 0 or less
-- expected: 2517
SELECT count(*) FROM fact_order_items WHERE unit_price <= 0;

-- name: known customers, no cancellation, quantity and price above 0, rows
-- expected: 397884
SELECT count(*) FROM fact_order_items AS i WHERE i.customer_key <> -1 AND NOT i.is_cancellation AND i.quantity > 0 AND i.unit_price > 0;

-- name: known customers, no cancellation, quantity and price above 0, amount
-- expected: 8911407.904
SELECT sum(i.line_amount) FROM fact_order_items AS i WHERE i.customer_key <> -1 AND NOT i.is_cancellation AND i.quantity > 0 AND i.unit_price > 0;

-- name: known customers, no cancellation, quantity and price above 0, invoices
-- expected: 18532
SELECT count(DISTINCT i.order_id) FROM fact_order_items AS i WHERE i.customer_key <> -1 AND NOT i.is_cancellation AND i.quantity > 0 AND i.unit_price > 0;

-- name: known customers, no cancellation, quantity and price above 0, customers
-- expected: 4338
SELECT count(DISTINCT c.customer_id) FROM fact_order_items AS i JOIN dim_customers AS c ON c.customer_key = i.customer_key WHERE i.customer_key <> -1 AND NOT i.is_cancellation AND i.quantity > 0 AND i.unit_price > 0;

-- name: known customers, no cancellation, quantity and price above 0, stock codes
-- expected: 3665
SELECT count(DISTINCT i.raw_stock_code) FROM fact_order_items AS i WHERE i.customer_key <> -1 AND NOT i.is_cancellation AND i.quantity > 0 AND i.unit_price > 0;

-- name: quantity and price above 0, rows
-- expected: 530104
SELECT count(*) FROM fact_order_items WHERE quantity > 0 AND unit_price > 0;

-- name: quantity and price above 0, amount
-- expected: 10666684.544
SELECT sum(line_amount) FROM fact_order_items WHERE quantity > 0 AND unit_price > 0;

-- name: quantity and price above 0, invoices
-- expected: 19960
SELECT count(DISTINCT order_id) FROM fact_order_items WHERE quantity > 0 AND unit_price > 0;

-- name: United Kingdom
-- expected: 8187806.364
SELECT CAST(amount AS DECIMAL(18, 3)) FROM mart_country_sales WHERE country = 'United Kingdom';

-- name: Netherlands
-- expected: 284661.54
SELECT CAST(amount AS DECIMAL(18, 2)) FROM mart_country_sales WHERE country = 'Netherlands';

-- name: EIRE
-- expected: 263276.82
SELECT CAST(amount AS DECIMAL(18, 2)) FROM mart_country_sales WHERE country = 'EIRE';

-- name: Germany
-- expected: 221698.21
SELECT CAST(amount AS DECIMAL(18, 2)) FROM mart_country_sales WHERE country = 'Germany';
