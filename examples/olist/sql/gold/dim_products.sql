/* ---
description: One row per product
key: [product_id]
surrogate_key: product_key
columns:
  product_key:      Number of the product
  product_id:       The shop's number of the product
  category:         Group of products, Portuguese
  category_english: Group of products, English
  photos:           Number of photos
  weight_g:         Weight in grams
  length_cm:        Length in cm
  height_cm:        Height in cm
  width_cm:         Width in cm
--- */
SELECT p.product_id, p.category, coalesce(n.category_english, p.category) AS category_english, p.photos, p.weight_g, p.length_cm, p.height_cm, p.width_cm
FROM silver.products AS p
LEFT JOIN silver.category_names AS n ON n.category = p.category
