/* ---
description: One row per seller
key: [seller_id]
surrogate_key: seller_key
columns:
  seller_key:      Number of the seller
  seller_id:       Number of the seller
  zip_code_prefix: First five digits of the zip code, zeros kept
  city:            Town
  state:           State
--- */
SELECT seller_id, zip_code_prefix, city, state
FROM silver.sellers
