/* ---
description: One row per product
kind: upsert
key: [product_id]
columns:
  product_id:         The shop's number of the product
  category:           Group of products, Portuguese
  name_length:        Letters in the name
  description_length: Letters in the description
  photos:             Number of photos
  weight_g:           Weight in grams
  length_cm:          Length in cm
  height_cm:          Height in cm
  width_cm:           Width in cm
--- */
SELECT
    product_id,
    nullif(trim(category), '') AS category,
    name_length,
    description_length,
    photos,
    weight_g,
    length_cm,
    height_cm,
    width_cm
FROM bronze.products
