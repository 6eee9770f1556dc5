/* ---
description: One row per person
key: [customer_unique_id]
surrogate_key: customer_key
unknown_member: false
columns:
  customer_key:       Number of the person
  customer_unique_id: Number of the person
  city:               Town of the latest order
  state:              State of the latest order
  zip_code_prefix:    First five digits of the zip code, zeros kept
  first_order_date:   Day of the first order
--- */
SELECT
    c.customer_unique_id,
    max_by(c.city, concat_ws('|', CAST(o.purchased_at AS VARCHAR), c.customer_id)) AS city,
    max_by(c.state, concat_ws('|', CAST(o.purchased_at AS VARCHAR), c.customer_id)) AS state,
    max_by(c.zip_code_prefix, concat_ws('|', CAST(o.purchased_at AS VARCHAR), c.customer_id)) AS zip_code_prefix,
    CAST(min(o.purchased_at) AS DATE) AS first_order_date
FROM silver.customers AS c
LEFT JOIN silver.orders AS o ON o.customer_id = c.customer_id
GROUP BY c.customer_unique_id
