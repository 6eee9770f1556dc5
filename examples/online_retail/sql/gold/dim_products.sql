/* ---
description: Articles, one row per version, the name they had at the time
key: [valid_from, stock_code]
surrogate_key: product_key
unknown_member: true
columns:
  product_key: Number of this version of the article; -1 unknown
  stock_code:  Code of the article, upper case
  description: Name of the article
  valid_from:  When this version began
  valid_to:    When the next version began; 9999-12-31 for the current one
  is_current:  Whether this is the version of today
--- */
WITH steps AS (
    SELECT
        stock_code,
        description,
        invoiced_at,
        lag(description) OVER (PARTITION BY stock_code ORDER BY invoiced_at) AS before,
        row_number() OVER (PARTITION BY stock_code ORDER BY invoiced_at) AS place
    FROM silver.product_names
),

changes AS (
    SELECT stock_code, description, invoiced_at AS valid_from
    FROM steps
    WHERE place = 1 OR description IS DISTINCT FROM before
)

SELECT
    stock_code,
    description,
    valid_from,
    coalesce(
        lead(valid_from) OVER (PARTITION BY stock_code ORDER BY valid_from), CAST('9999-12-31 00:00:00' AS TIMESTAMP)
    ) AS valid_to,
    lead(valid_from) OVER (PARTITION BY stock_code ORDER BY valid_from) IS NULL AS is_current
FROM changes
