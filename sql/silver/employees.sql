/* ---
description: One row per person; people who share a name are told apart by age
kind: upsert
key: [first_name, last_name, age]
columns:
  first_name:    The first word of the name
  last_name:     The rest of the name
  age:           Age in years
  team:          Team
  position:      Position in the team
  height_inches: Height in inches
  weight_lbs:    Weight in pounds
--- */
SELECT
    split_part(trim(name), ' ', 1) AS first_name,
    trim(substr(trim(name), length(split_part(trim(name), ' ', 1)) + 1)) AS last_name,
    age,
    nullif(trim(team), '') AS team,
    nullif(trim(position), '') AS position,
    height_inches,
    weight_lbs
FROM bronze.employees
