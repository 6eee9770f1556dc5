/* ---
description: One row per customer, the latest version
kind: upsert
key: [customer_id]
latest_by: [updated_at]
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
SELECT customer_id, email_token, first_name, last_name, email, city, country, segment, signed_up_at, updated_at
FROM silver.customer_versions
