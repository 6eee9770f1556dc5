/* ---
description: One row per group of products
kind: upsert
key: [category]
columns:
  category:         Group of products, Portuguese
  category_english: Group of products, English
--- */
SELECT
    trim(category) AS category,
    trim(category_english) AS category_english
FROM bronze.category_names
