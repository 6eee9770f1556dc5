-- The shop by hand: what a competent person writes to have the same tables of the same files (bench.full_run compares their rows),
-- without ledger, quarantine, archive, line numbers, contracts or publication protocol. $landing is put in by bench/plain.py.

CREATE SCHEMA bronze; CREATE SCHEMA silver; CREATE SCHEMA gold;
CREATE MACRO ts(t) AS coalesce(TRY_CAST(t AS TIMESTAMP), try_strptime(t, '%d/%m/%Y %H:%M'));
CREATE MACRO money(t) AS coalesce(TRY_CAST(t AS DECIMAL(18, 2)),
  TRY_CAST(replace(replace(regexp_extract(t, '[-0-9.,]+'), '.', ''), ',', '.') AS DECIMAL(18, 2)));

CREATE MACRO hidden_name(t) AS regexp_replace(t, '(\S)\S*', '\1***', 'g');
CREATE MACRO hidden_email(t) AS CASE WHEN contains(t, '@') THEN concat(regexp_extract(t, '^\s*([^\s@])', 1), '***@',
  regexp_extract(t, '@([^\s@.])', 1), '***', lower(regexp_extract(t, '(\.[A-Za-z]{2,12})\s*$', 1))) WHEN t IS NOT NULL THEN '***' END;
CREATE MACRO token(t) AS sha256('a secret' || t);

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
CREATE TABLE bronze.employees AS SELECT trim(name) AS name, trim(team) AS team, trim(position) AS position,
  TRY_CAST(trim(height) AS INTEGER) AS height_inches, TRY_CAST(trim(weight) AS INTEGER) AS weight_lbs, TRY_CAST(trim(age) AS DECIMAL(5, 2)) AS age
FROM read_csv('$landing/employees*.csv', header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
  store_rejects = true, columns = {'name': 'VARCHAR', 'team': 'VARCHAR', 'position': 'VARCHAR', 'height': 'VARCHAR', 'weight': 'VARCHAR', 'age': 'VARCHAR'});

CREATE TABLE silver.orders AS SELECT order_id, customer_id, status, ordered_at, CAST(ordered_at AS DATE) AS order_date, updated_at FROM bronze.orders
  WHERE order_id IS NOT NULL AND ordered_at IS NOT NULL AND updated_at IS NOT NULL
    AND status IN ('created', 'paid', 'shipped', 'delivered', 'canceled')
  QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY updated_at DESC) = 1 ORDER BY order_id;
CREATE TABLE silver.order_items AS SELECT * REPLACE (coalesce(freight_amount, 0) AS freight_amount) FROM bronze.order_items
  WHERE order_id IS NOT NULL AND line_number IS NOT NULL AND quantity > 0 AND unit_price >= 0 AND coalesce(freight_amount, 0) >= 0
  QUALIFY row_number() OVER (PARTITION BY order_id, line_number ORDER BY updated_at DESC NULLS LAST) = 1 ORDER BY order_id, line_number;
CREATE TABLE silver.payments AS SELECT * FROM bronze.payments
  WHERE order_id IS NOT NULL AND payment_number IS NOT NULL AND amount IS NOT NULL AND paid_at IS NOT NULL
    AND payment_type IN ('credit_card', 'paypal', 'bank_transfer', 'voucher', 'refund')
  QUALIFY row_number() OVER (PARTITION BY order_id, payment_number ORDER BY updated_at DESC NULLS LAST) = 1 ORDER BY order_id, payment_number;
CREATE TABLE silver.customer_versions AS SELECT customer_id, token(nullif(lower(email), '')) AS email_token,
    hidden_name(nullif(first_name, '')) AS first_name, hidden_name(nullif(last_name, '')) AS last_name, hidden_email(nullif(email, '')) AS email,
    nullif(city, '') AS city, nullif(upper(country), '') AS country, nullif(lower(segment), '') AS segment, signed_up_at, updated_at
  FROM bronze.customers WHERE customer_id IS NOT NULL AND updated_at IS NOT NULL;
CREATE TABLE silver.customers AS SELECT * FROM silver.customer_versions
  QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY updated_at DESC) = 1 ORDER BY customer_id;
CREATE TABLE silver.product_versions AS SELECT product_id, nullif(name, '') AS name, nullif(lower(category), '') AS category, price, updated_at
  FROM bronze.products WHERE product_id IS NOT NULL AND updated_at IS NOT NULL AND (price IS NULL OR price >= 0);
CREATE TABLE silver.products AS SELECT * FROM silver.product_versions
  QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY updated_at DESC) = 1 ORDER BY product_id;
CREATE TABLE silver.employees AS SELECT token(regexp_replace(name, '\s+', ' ', 'g')) AS name_token, hidden_name(split_part(name, ' ', 1)) AS first_name,
    hidden_name(trim(substr(name, length(split_part(name, ' ', 1)) + 1))) AS last_name, age, nullif(team, '') AS team,
    nullif(position, '') AS position, height_inches, weight_lbs
  FROM bronze.employees WHERE name IS NOT NULL AND age IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY name_token, age) = 1 ORDER BY name_token, age;
CREATE TABLE silver.first_orders AS SELECT customer_id, min(ordered_at) AS first_ordered_at, CAST(min(ordered_at) AS DATE) AS first_date,
    CAST(date_trunc('month', min(ordered_at)) AS DATE) AS cohort_month
  FROM silver.orders WHERE customer_id IS NOT NULL GROUP BY customer_id ORDER BY customer_id;

CREATE TABLE gold.dim_customers AS
WITH one AS (SELECT * FROM silver.customer_versions QUALIFY row_number() OVER (PARTITION BY customer_id, updated_at) = 1),
  steps AS (SELECT *, lag(row(email_token, first_name, last_name, email, city, country, segment, signed_up_at)) OVER w AS b, row_number() OVER w AS n
    FROM one WINDOW w AS (PARTITION BY customer_id ORDER BY updated_at)),
  kept AS (SELECT * FROM steps WHERE n = 1 OR b IS DISTINCT FROM row(email_token, first_name, last_name, email, city, country, segment, signed_up_at))
SELECT CAST(row_number() OVER (ORDER BY updated_at, customer_id) AS INTEGER) AS customer_key, customer_id, email_token, first_name, last_name,
  email, city, country, segment, signed_up_at, updated_at AS valid_from,
  coalesce(lead(updated_at) OVER (PARTITION BY customer_id ORDER BY updated_at), TIMESTAMP '9999-12-31') AS valid_to, valid_to = TIMESTAMP '9999-12-31' AS is_current
FROM kept UNION ALL BY NAME SELECT -1 AS customer_key, 'Unknown' AS email_token, 'Unknown' AS first_name, 'Unknown' AS last_name, 'Unknown' AS email,
  'Unknown' AS city, 'Unknown' AS country, 'Unknown' AS segment, TIMESTAMP '0001-01-01' AS valid_from, TIMESTAMP '9999-12-31' AS valid_to, true AS is_current
ORDER BY customer_id, valid_from;
CREATE TABLE gold.dim_products AS
WITH one AS (SELECT * FROM silver.product_versions QUALIFY row_number() OVER (PARTITION BY product_id, updated_at) = 1),
  steps AS (SELECT *, lag(row(name, category, price)) OVER w AS b, row_number() OVER w AS n
    FROM one WINDOW w AS (PARTITION BY product_id ORDER BY updated_at)),
  kept AS (SELECT * FROM steps WHERE n = 1 OR b IS DISTINCT FROM row(name, category, price))
SELECT CAST(row_number() OVER (ORDER BY updated_at, product_id) AS INTEGER) AS product_key, product_id, name, category, price, updated_at AS valid_from,
  coalesce(lead(updated_at) OVER (PARTITION BY product_id ORDER BY updated_at), TIMESTAMP '9999-12-31') AS valid_to, valid_to = TIMESTAMP '9999-12-31' AS is_current
FROM kept UNION ALL BY NAME SELECT -1 AS product_key, 'Unknown' AS name, 'Unknown' AS category, TIMESTAMP '0001-01-01' AS valid_from, TIMESTAMP '9999-12-31' AS valid_to, true AS is_current
ORDER BY product_id, valid_from;
CREATE TABLE gold.dim_employees AS SELECT CAST(row_number() OVER (ORDER BY name_token, age) AS INTEGER) AS employee_key, * FROM silver.employees;
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
SELECT o.customer_id, f.cohort_month, CAST(date_trunc('month', o.order_date) AS DATE) AS order_month,
  CAST((year(o.order_date) - year(f.cohort_month)) * 12 + month(o.order_date) - month(f.cohort_month) AS INTEGER) AS months_since,
  count(*) AS orders, CAST(coalesce(sum(x.total_amount) FILTER (x.status <> 'canceled'), 0) AS DECIMAL(18, 2)) AS revenue
FROM silver.orders o JOIN silver.first_orders f ON f.customer_id = o.customer_id JOIN gold.fact_orders x ON x.order_id = o.order_id
GROUP BY ALL ORDER BY o.customer_id, order_month;
CREATE TABLE gold.dim_date AS
SELECT CAST(strftime(d, '%Y%m%d') AS INTEGER) AS date_key, CAST(d AS DATE) AS date, CAST(year(d) AS INTEGER) AS year, CAST(quarter(d) AS INTEGER) AS quarter,
  CAST(month(d) AS INTEGER) AS month_number, monthname(d) AS month_name, CAST(date_trunc('month', d) AS DATE) AS month, CAST(day(d) AS INTEGER) AS day_of_month,
  CAST(isodow(d) AS INTEGER) AS day_of_week, isodow(d) >= 6 AS is_weekend
FROM (SELECT unnest(generate_series(
  least((SELECT CAST(min(ordered_at) AS DATE) FROM silver.orders), (SELECT CAST(min(paid_at) AS DATE) FROM silver.payments)),
  greatest((SELECT CAST(max(ordered_at) AS DATE) FROM silver.orders), (SELECT CAST(max(paid_at) AS DATE) FROM silver.payments)), INTERVAL 1 DAY)) AS d);
CREATE TABLE gold.mart_daily_kpis AS
WITH d AS (SELECT x.order_date, count(*) AS orders, sum(item_count) FILTER (x.status <> 'canceled') AS items,
    sum(total_amount) FILTER (x.status <> 'canceled') AS revenue,
    count(DISTINCT o.customer_id) FILTER (f.first_date = x.order_date) AS new_customers,
    count(DISTINCT o.customer_id) FILTER (f.first_date < x.order_date) AS returning_customers,
    count(*) FILTER (x.status = 'canceled') AS canceled
    FROM gold.fact_orders x JOIN silver.orders o ON o.order_id = x.order_id LEFT JOIN silver.first_orders f ON f.customer_id = o.customer_id GROUP BY 1),
  r AS (SELECT paid_date, -sum(amount) AS refunds FROM gold.fact_payments WHERE payment_type = 'refund' GROUP BY 1)
SELECT coalesce(d.order_date, r.paid_date) AS order_date, coalesce(orders, 0) AS orders, CAST(coalesce(items, 0) AS BIGINT) AS items,
  CAST(coalesce(revenue, 0) AS DECIMAL(18, 2)) AS revenue, CAST(revenue / nullif(orders - canceled, 0) AS DECIMAL(18, 2)) AS average_order_value,
  coalesce(new_customers, 0) AS new_customers, coalesce(returning_customers, 0) AS returning_customers,
  CAST(canceled / nullif(orders, 0) AS DECIMAL(9, 4)) AS cancellation_rate, CAST(coalesce(refunds, 0) AS DECIMAL(18, 2)) AS refunds
FROM d FULL JOIN r ON d.order_date = r.paid_date ORDER BY 1;
CREATE TABLE gold.mart_monthly_retention AS
WITH s AS (SELECT cohort_month, count(*) AS cohort_size FROM gold.fact_customer_retention WHERE months_since = 0 GROUP BY 1)
SELECT c.cohort_month, c.months_since, max(s.cohort_size) AS cohort_size, count(*) AS active_customers,
  CAST(count(*) / max(s.cohort_size) AS DECIMAL(9, 4)) AS retention_rate
FROM gold.fact_customer_retention c JOIN s ON s.cohort_month = c.cohort_month GROUP BY 1, 2 ORDER BY 1, 2;
CREATE TABLE gold.mart_product_sales AS
SELECT coalesce(p.product_id, 'unknown') AS product_id, CAST(date_trunc('month', i.order_date) AS DATE) AS month, count(DISTINCT i.order_id) AS orders,
  CAST(sum(i.quantity) AS BIGINT) AS quantity, CAST(sum(i.line_amount) AS DECIMAL(18, 2)) AS revenue
FROM gold.fact_order_items i JOIN gold.fact_orders o ON o.order_id = i.order_id JOIN gold.dim_products p ON p.product_key = i.product_key
WHERE o.status <> 'canceled' GROUP BY 1, 2 ORDER BY 1, 2;
CREATE TABLE gold.fact_customer_totals AS
SELECT c.customer_id, max(x.order_date) AS last_order_date, count(*) AS frequency, CAST(sum(x.total_amount) AS DECIMAL(18, 2)) AS monetary
FROM gold.fact_orders x JOIN gold.dim_customers c ON c.customer_key = x.customer_key
WHERE x.status <> 'canceled' AND c.customer_id IS NOT NULL GROUP BY 1 ORDER BY 1;
CREATE TABLE gold.mart_rfm_scores AS
WITH v AS (SELECT 'recency' AS measure, last_order_date - DATE '1970-01-01' AS value FROM gold.fact_customer_totals UNION ALL
    SELECT 'frequency', frequency FROM gold.fact_customer_totals UNION ALL SELECT 'monetary', CAST(floor(monetary) AS BIGINT) // 10 FROM gold.fact_customer_totals),
  n AS (SELECT measure, value, count(*) AS n FROM v GROUP BY ALL)
SELECT measure, value, CAST(ceil(5 * sum(n) OVER (PARTITION BY measure ORDER BY value) / sum(n) OVER (PARTITION BY measure)) AS INTEGER) AS score
FROM n ORDER BY measure, value;
CREATE TABLE gold.mart_customer_rfm AS
WITH t AS (SELECT t.*, r.score AS recency_score, f.score AS frequency_score, m.score AS monetary_score FROM gold.fact_customer_totals t
  JOIN gold.mart_rfm_scores r ON r.measure = 'recency' AND r.value = t.last_order_date - DATE '1970-01-01'
  JOIN gold.mart_rfm_scores f ON f.measure = 'frequency' AND f.value = t.frequency
  JOIN gold.mart_rfm_scores m ON m.measure = 'monetary' AND m.value = CAST(floor(t.monetary) AS BIGINT) // 10)
SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN 'champions'
  WHEN recency_score >= 4 AND frequency = 1 THEN 'new' WHEN frequency_score >= 4 THEN 'loyal'
  WHEN recency_score <= 2 AND monetary_score >= 4 THEN 'at risk' WHEN recency_score = 1 THEN 'lost' ELSE 'regular' END AS segment
FROM t ORDER BY customer_id;
