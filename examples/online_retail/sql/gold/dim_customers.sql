/* ---
description: Customers, one row per version, the country they had at the time
key: [valid_from, customer_id]
surrogate_key: customer_key
unknown_member: true
columns:
  customer_key: Number of this version of the customer; -1 unknown
  customer_id:  Number of the customer; NULL if unknown
  country:      Country
  valid_from:   When this version began
  valid_to:     When the next version began; 9999-12-31 for the current one
  is_current:   Whether this is the version of today
--- */
WITH steps AS (
    SELECT
        customer_id,
        country,
        invoiced_at,
        lag(country) OVER (PARTITION BY customer_id ORDER BY invoiced_at) AS before,
        row_number() OVER (PARTITION BY customer_id ORDER BY invoiced_at) AS place
    FROM silver.customer_countries
),

changes AS (
    SELECT customer_id, country, invoiced_at AS valid_from
    FROM steps
    WHERE place = 1 OR country IS DISTINCT FROM before
)

SELECT
    customer_id,
    country,
    valid_from,
    coalesce(
        lead(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from), CAST('9999-12-31 00:00:00' AS TIMESTAMP)
    ) AS valid_to,
    lead(valid_from) OVER (PARTITION BY customer_id ORDER BY valid_from) IS NULL AS is_current
FROM changes
