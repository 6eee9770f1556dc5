-- The shop by hand: what a competent person writes for the same files, without ledger, quarantine,
-- archive, line numbers or publication protocol. $landing and $out are put in by bench/plain.py.

CREATE SCHEMA bronze; CREATE SCHEMA silver; CREATE SCHEMA gold;
CREATE MACRO ts(t) AS coalesce(TRY_CAST(t AS TIMESTAMP), try_strptime(t, '%d/%m/%Y %H:%M'));
CREATE MACRO money(t) AS coalesce(TRY_CAST(t AS DECIMAL(18, 2)),
  TRY_CAST(replace(replace(regexp_extract(t, '[-0-9.,]+'), '.', ''), ',', '.') AS DECIMAL(18, 2)));

CREATE TABLE bronze.customers AS SELECT trim(customer_id) AS customer_id, trim(first_name) AS first_name,
  trim(last_name) AS last_name, lower(trim(email)) AS email, trim(city) AS city, trim(country) AS country,
  trim(segment) AS segment, ts(signed_up_at) AS signed_up_at, ts(updated_at) AS updated_at
FROM read_csv('$landing/*/*/*/customers_[0-9]*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'customer_id': 'VARCHAR', 'first_name': 'VARCHAR', 'last_name': 'VARCHAR', 'email': 'VARCHAR', 'city': 'VARCHAR', 'country': 'VARCHAR', 'segment': 'VARCHAR', 'signed_up_at': 'VARCHAR', 'updated_at': 'VARCHAR'});
CREATE TABLE bronze.products AS SELECT trim(product_id) AS product_id, trim(name) AS name, trim(category) AS category,
  money(price) AS price, ts(updated_at) AS updated_at
FROM read_csv('$landing/*/*/*/products_[0-9]*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'product_id': 'VARCHAR', 'name': 'VARCHAR', 'category': 'VARCHAR', 'price': 'VARCHAR', 'updated_at': 'VARCHAR'});
CREATE TABLE bronze.orders AS SELECT trim(order_id) AS order_id, trim(customer_id) AS customer_id,
  lower(trim(status)) AS status, ts(ordered_at) AS ordered_at, ts(updated_at) AS updated_at
FROM read_csv('$landing/*/*/*/orders_[0-9]*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'order_id': 'VARCHAR', 'customer_id': 'VARCHAR', 'status': 'VARCHAR', 'ordered_at': 'VARCHAR', 'updated_at': 'VARCHAR'});
CREATE TABLE bronze.order_items AS SELECT trim(order_id) AS order_id, TRY_CAST(line_number AS INTEGER) AS line_number,
  trim(product_id) AS product_id, TRY_CAST(quantity AS INTEGER) AS quantity, money(unit_price) AS unit_price,
  money(freight_amount) AS freight_amount, ts(updated_at) AS updated_at
FROM read_csv('$landing/*/*/*/order_items_[0-9]*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'order_id': 'VARCHAR', 'line_number': 'VARCHAR', 'product_id': 'VARCHAR', 'quantity': 'VARCHAR', 'unit_price': 'VARCHAR', 'freight_amount': 'VARCHAR', 'updated_at': 'VARCHAR'});
CREATE TABLE bronze.payments AS SELECT trim(order_id) AS order_id, TRY_CAST(payment_number AS INTEGER) AS payment_number,
  lower(trim(payment_type)) AS payment_type, money(amount) AS amount, ts(paid_at) AS paid_at, ts(updated_at) AS updated_at
FROM read_csv('$landing/*/*/*/payments_[0-9]*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'order_id': 'VARCHAR', 'payment_number': 'VARCHAR', 'payment_type': 'VARCHAR', 'amount': 'VARCHAR', 'paid_at': 'VARCHAR', 'updated_at': 'VARCHAR'});

CREATE TABLE silver.orders AS SELECT * FROM bronze.orders
  WHERE order_id IS NOT NULL AND ordered_at IS NOT NULL AND updated_at IS NOT NULL
    AND status IN ('created', 'paid', 'shipped', 'delivered', 'canceled')
  QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY updated_at DESC) = 1 ORDER BY order_id;
CREATE TABLE silver.order_items AS SELECT * FROM bronze.order_items
  WHERE order_id IS NOT NULL AND line_number IS NOT NULL AND quantity > 0 AND unit_price >= 0 AND freight_amount >= 0
    AND updated_at IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY order_id, line_number ORDER BY updated_at DESC) = 1 ORDER BY order_id, line_number;
CREATE TABLE silver.payments AS SELECT * FROM bronze.payments
  WHERE order_id IS NOT NULL AND payment_number IS NOT NULL AND amount IS NOT NULL AND paid_at IS NOT NULL
    AND updated_at IS NOT NULL AND payment_type IN ('credit_card', 'paypal', 'bank_transfer', 'voucher', 'refund')
  QUALIFY row_number() OVER (PARTITION BY order_id, payment_number ORDER BY updated_at DESC) = 1 ORDER BY order_id, payment_number;
CREATE TABLE silver.customers AS SELECT * FROM bronze.customers
  WHERE customer_id IS NOT NULL AND updated_at IS NOT NULL AND signed_up_at IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY updated_at DESC) = 1 ORDER BY customer_id;
CREATE TABLE silver.products AS SELECT * FROM bronze.products
  WHERE product_id IS NOT NULL AND price IS NOT NULL AND updated_at IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY updated_at DESC) = 1 ORDER BY product_id;

CREATE TABLE gold.dim_customers AS
WITH one AS (SELECT * FROM bronze.customers WHERE customer_id IS NOT NULL AND updated_at IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY customer_id, updated_at) = 1),
  steps AS (SELECT *, lag(row(first_name, last_name, email, city, country, segment, signed_up_at)) OVER w AS b, row_number() OVER w AS n
    FROM one WINDOW w AS (PARTITION BY customer_id ORDER BY updated_at)),
  kept AS (SELECT * FROM steps WHERE n = 1 OR b IS DISTINCT FROM row(first_name, last_name, email, city, country, segment, signed_up_at))
SELECT CAST(row_number() OVER (ORDER BY updated_at, customer_id) AS INTEGER) AS customer_key, customer_id, first_name, last_name,
  email, city, country, segment, signed_up_at, updated_at AS valid_from,
  coalesce(lead(updated_at) OVER (PARTITION BY customer_id ORDER BY updated_at), TIMESTAMP '9999-12-31') AS valid_to FROM kept
ORDER BY customer_id, valid_from;
CREATE TABLE gold.dim_products AS
WITH one AS (SELECT * FROM bronze.products WHERE product_id IS NOT NULL AND price IS NOT NULL AND updated_at IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY product_id, updated_at) = 1),
  steps AS (SELECT *, lag(row(name, category, price)) OVER w AS b, row_number() OVER w AS n
    FROM one WINDOW w AS (PARTITION BY product_id ORDER BY updated_at)),
  kept AS (SELECT * FROM steps WHERE n = 1 OR b IS DISTINCT FROM row(name, category, price))
SELECT CAST(row_number() OVER (ORDER BY updated_at, product_id) AS INTEGER) AS product_key, product_id, name, category, price,
  updated_at AS valid_from,
  coalesce(lead(updated_at) OVER (PARTITION BY product_id ORDER BY updated_at), TIMESTAMP '9999-12-31') AS valid_to FROM kept
ORDER BY product_id, valid_from;
CREATE TABLE gold.fact_order_items AS
SELECT i.order_id, i.line_number, coalesce(p.product_key, -1) AS product_key, CAST(o.ordered_at AS DATE) AS order_date, i.quantity,
  i.unit_price, i.freight_amount, CAST(i.quantity * i.unit_price AS DECIMAL(18, 2)) AS line_amount
FROM silver.order_items i JOIN silver.orders o ON o.order_id = i.order_id
LEFT JOIN gold.dim_products p ON p.product_id = i.product_id AND o.ordered_at >= p.valid_from AND o.ordered_at < p.valid_to
ORDER BY i.order_id, i.line_number;
CREATE TABLE gold.fact_orders AS
WITH t AS (SELECT order_id, CAST(sum(quantity) AS BIGINT) AS item_count, CAST(sum(line_amount) AS DECIMAL(18, 2)) AS items_amount,
    CAST(sum(freight_amount) AS DECIMAL(18, 2)) AS freight_amount FROM gold.fact_order_items GROUP BY order_id)
SELECT o.order_id, coalesce(c.customer_key, -1) AS customer_key, CAST(o.ordered_at AS DATE) AS order_date, o.ordered_at, o.status,
  coalesce(t.item_count, 0) AS item_count, coalesce(t.items_amount, 0) AS items_amount, coalesce(t.freight_amount, 0) AS freight_amount,
  CAST(coalesce(t.items_amount, 0) + coalesce(t.freight_amount, 0) AS DECIMAL(18, 2)) AS total_amount
FROM silver.orders o LEFT JOIN t ON t.order_id = o.order_id
LEFT JOIN gold.dim_customers c ON c.customer_id = o.customer_id AND o.ordered_at >= c.valid_from AND o.ordered_at < c.valid_to
ORDER BY o.order_id;
CREATE TABLE gold.fact_payments AS SELECT p.order_id, p.payment_number, p.payment_type, p.amount, p.paid_at, CAST(p.paid_at AS DATE) AS paid_date
FROM silver.payments p JOIN silver.orders o ON o.order_id = p.order_id ORDER BY p.order_id, p.payment_number;
CREATE TABLE gold.fact_customer_retention AS
WITH f AS (SELECT customer_id, date_trunc('month', min(ordered_at)) AS cohort FROM silver.orders GROUP BY customer_id)
SELECT o.customer_id, CAST(f.cohort AS DATE) AS cohort_month, CAST(date_trunc('month', o.ordered_at) AS DATE) AS order_month,
  count(*) AS orders, CAST(sum(x.total_amount) AS DECIMAL(18, 2)) AS revenue
FROM silver.orders o JOIN f ON f.customer_id = o.customer_id JOIN gold.fact_orders x ON x.order_id = o.order_id
GROUP BY 1, 2, 3 ORDER BY 1, 3;
CREATE TABLE gold.dim_date AS SELECT CAST(d AS DATE) AS date, year(d) AS year, month(d) AS month FROM
  (SELECT unnest(generate_series((SELECT min(order_date) FROM gold.fact_orders), (SELECT max(order_date) FROM gold.fact_orders), INTERVAL 1 DAY)) AS d);
CREATE TABLE gold.mart_daily_kpis AS
WITH f AS (SELECT customer_id, CAST(min(ordered_at) AS DATE) AS first_day FROM silver.orders GROUP BY customer_id),
  d AS (SELECT x.order_date, count(*) AS orders, sum(item_count) FILTER (x.status <> 'canceled') AS items,
    sum(total_amount) FILTER (x.status <> 'canceled') AS revenue,
    count(DISTINCT o.customer_id) FILTER (f.first_day = x.order_date) AS new_customers,
    count(DISTINCT o.customer_id) FILTER (f.first_day < x.order_date) AS returning_customers,
    count(*) FILTER (x.status = 'canceled') AS canceled
    FROM gold.fact_orders x JOIN silver.orders o ON o.order_id = x.order_id JOIN f ON f.customer_id = o.customer_id GROUP BY 1),
  r AS (SELECT paid_date, -sum(amount) AS refunds FROM gold.fact_payments WHERE payment_type = 'refund' GROUP BY 1)
SELECT coalesce(d.order_date, r.paid_date) AS order_date, coalesce(orders, 0) AS orders, coalesce(items, 0) AS items,
  coalesce(revenue, 0) AS revenue, CAST(revenue / nullif(orders - canceled, 0) AS DECIMAL(18, 2)) AS average_order_value,
  coalesce(new_customers, 0) AS new_customers, coalesce(returning_customers, 0) AS returning_customers,
  CAST(canceled / nullif(orders, 0) AS DECIMAL(9, 4)) AS cancellation_rate, coalesce(refunds, 0) AS refunds
FROM d FULL JOIN r ON d.order_date = r.paid_date ORDER BY 1;
CREATE TABLE gold.mart_monthly_retention AS
WITH s AS (SELECT cohort_month, count(DISTINCT customer_id) AS cohort_size FROM gold.fact_customer_retention GROUP BY 1)
SELECT c.cohort_month, c.order_month, max(s.cohort_size) AS cohort_size, count(DISTINCT c.customer_id) AS active_customers
FROM gold.fact_customer_retention c JOIN s ON s.cohort_month = c.cohort_month GROUP BY 1, 2 ORDER BY 1, 2;
CREATE TABLE gold.mart_product_sales AS
SELECT product_key, CAST(date_trunc('month', order_date) AS DATE) AS month, sum(quantity) AS quantity, sum(line_amount) AS revenue
FROM gold.fact_order_items GROUP BY 1, 2 ORDER BY 1, 2;
CREATE TABLE gold.mart_customer_rfm AS
WITH r AS (SELECT o.customer_id, max(x.order_date) AS last_day, count(*) AS frequency, sum(x.total_amount) AS monetary
  FROM gold.fact_orders x JOIN silver.orders o ON o.order_id = x.order_id WHERE x.status <> 'canceled' GROUP BY 1)
SELECT *, ntile(5) OVER (ORDER BY last_day) AS r_score, ntile(5) OVER (ORDER BY frequency) AS f_score, ntile(5) OVER (ORDER BY monetary) AS m_score
FROM r ORDER BY customer_id;
