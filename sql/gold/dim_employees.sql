/* ---
description: Employees, one row per person
key: [name_token, age]
surrogate_key: employee_key
columns:
  employee_key:  Number of the person
  name_token:    Stands for the name, to tell people apart and to join by
  first_name:    The first word of the name, masked
  last_name:     The rest of the name, masked
  age:           Age in years
  team:          Team
  position:      Position in the team
  height_inches: Height in inches
  weight_lbs:    Weight in pounds
--- */
SELECT name_token, age, first_name, last_name, team, position, height_inches, weight_lbs
FROM silver.employees
