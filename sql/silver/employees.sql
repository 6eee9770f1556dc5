/* ---
description: One row per person; people who share a name are told apart by age
kind: upsert
key: [name_token, age]
columns:
  name_token:    Stands for the name, to tell people apart and to join by
  first_name:    The first word of the name, masked
  last_name:     The rest of the name, masked
  age:           Age in years
  team:          Team
  position:      Position in the team
  height_inches: Height in inches
  weight_lbs:    Weight in pounds
--- */
SELECT
    pii_token(regexp_replace(trim(name), '\s+', ' ', 'g')) AS name_token,
    mask_name(split_part(trim(name), ' ', 1)) AS first_name,
    mask_name(trim(substr(trim(name), length(split_part(trim(name), ' ', 1)) + 1))) AS last_name,
    age,
    nullif(trim(team), '') AS team,
    nullif(trim(position), '') AS position,
    height_inches,
    weight_lbs
FROM bronze.employees
