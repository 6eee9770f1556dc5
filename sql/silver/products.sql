/* ---
description: One row per product, the latest version
kind: upsert
key: [product_id]
latest_by: [updated_at]
columns:
  product_id: The shop's number of the product
  name:       Name
  category:   Group of products
  price:      List price
  updated_at: When the shop last changed it (UTC)
--- */
SELECT product_id, name, category, price, updated_at
FROM silver.product_versions
