/* ---
description: One row per customer of an order
kind: upsert
key: [customer_id]
columns:
  customer_id:        Number of the customer in one order
  customer_unique_id: Number of the person
  zip_code_prefix:    First five digits of the zip code, zeros kept
  city:               Town
  state:              State
--- */
SELECT
    customer_id,
    customer_unique_id,
    zip_code_prefix,
    nullif(trim(city), '') AS city,
    upper(trim(state)) AS state
FROM bronze.customers
