/* ---
description: Employees, one row per person
key: [first_name, last_name, age]
surrogate_key: employee_key
columns:
  employee_key:  Number of the person
  first_name:    The first word of the name
  last_name:     The rest of the name
  age:           Age in years
  team:          Team
  position:      Position in the team
  height_inches: Height in inches
  weight_lbs:    Weight in pounds
--- */
SELECT first_name, last_name, age, team, position, height_inches, weight_lbs
FROM silver.employees
