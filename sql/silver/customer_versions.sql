/* ---
description: Every delivered version of a customer, cleaned
kind: append
rules:
  has_time: updated_at IS NOT NULL
columns:
  customer_id:  The shop's number of the customer
  email_token:  Stands for the e-mail address, to join by
  first_name:   Given name, masked
  last_name:    Family name, masked
  email:        E-mail address, masked
  city:         Town
  country:      Country code
  segment:      Kind of customer
  signed_up_at: When the customer signed up (UTC)
  updated_at:   When the shop last changed it (UTC)
--- */
SELECT
    trim(customer_id) AS customer_id,
    pii_token(nullif(lower(trim(email)), '')) AS email_token,
    mask_name(nullif(trim(first_name), '')) AS first_name,
    mask_name(nullif(trim(last_name), '')) AS last_name,
    mask_email(nullif(trim(email), '')) AS email,
    nullif(trim(city), '') AS city,
    nullif(upper(trim(country)), '') AS country,
    nullif(lower(trim(segment)), '') AS segment,
    signed_up_at,
    updated_at
FROM bronze.customers
