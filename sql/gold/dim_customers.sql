/* ---
description: Customers, one row per version, who they were at the time
kind: scd2
key: [customer_id]
valid_from: valid_from
surrogate_key: customer_key
columns:
  customer_key: Number of this version of the customer; -1 is the unknown customer
  customer_id:  The shop's number of the customer
  email_token:  Stands for the e-mail address, to join by
  first_name:   Given name, masked
  last_name:    Family name, masked
  email:        E-mail address, masked
  city:         Town
  country:      Country code
  segment:      Kind of customer
  signed_up_at: When the customer signed up (UTC)
  valid_from:   When this version began (UTC)
  valid_to:     When the next version began; 9999-12-31 for the current one
  is_current:   Whether this is the version of today
--- */
SELECT
    customer_id,
    email_token,
    first_name,
    last_name,
    email,
    city,
    country,
    segment,
    signed_up_at,
    updated_at AS valid_from
FROM silver.customer_versions
