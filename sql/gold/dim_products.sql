/* ---
description: Products, one row per version, what they were at the time
kind: scd2
key: [product_id]
valid_from: valid_from
surrogate_key: product_key
columns:
  product_key: Number of this version of the product; -1 is the unknown product
  product_id:  The shop's number of the product
  name:        Name of the product
  category:    Group of products
  price:       List price
  valid_from:  When this version began (UTC)
  valid_to:    When the next version began; 9999-12-31 for the current one
  is_current:  Whether this is the version of today
--- */
SELECT product_id, name, category, price, updated_at AS valid_from
FROM silver.product_versions
