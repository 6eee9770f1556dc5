/* ---
description: Every delivered version of a product, cleaned
kind: append
rules:
  has_time: updated_at IS NOT NULL
  price_not_negative: price IS NULL OR price >= 0
columns:
  product_id: The shop's number of the product
  name:       Name
  category:   Group of products
  price:      List price
  updated_at: When the shop last changed it (UTC)
--- */
SELECT
    trim(product_id) AS product_id,
    nullif(trim(name), '') AS name,
    nullif(lower(trim(category)), '') AS category,
    price,
    updated_at
FROM bronze.products
