/* ---
description: One row per seller
kind: upsert
key: [seller_id]
columns:
  seller_id:       Number of the seller
  zip_code_prefix: First five digits of the zip code, zeros kept
  city:            Town
  state:           State
--- */
SELECT
    seller_id,
    zip_code_prefix,
    nullif(trim(city), '') AS city,
    upper(trim(state)) AS state
FROM bronze.sellers
