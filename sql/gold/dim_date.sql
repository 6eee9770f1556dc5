/* ---
description: Every day from the first to the last order or payment
key: [date]
columns:
  date_key:     The day as a number, YYYYMMDD
  date:         The day
  year:         Year
  quarter:      Quarter, 1 to 4
  month_number: Month, 1 to 12
  month_name:   Name of the month
  month:        First day of the month
  day_of_month: Day, 1 to 31
  day_of_week:  1 Monday to 7 Sunday
  is_weekend:   Saturday or Sunday
--- */
-- the first and the last of a table sorted, not min() and max(): these read it from end to end once a row has changed
WITH bounds AS (
    SELECT
        least(
            (SELECT o.ordered_at FROM silver.orders AS o ORDER BY o.ordered_at LIMIT 1),
            (SELECT p.paid_at FROM silver.payments AS p ORDER BY p.paid_at NULLS LAST LIMIT 1)
        ) AS first_time,
        greatest(
            (SELECT o.ordered_at FROM silver.orders AS o ORDER BY o.ordered_at DESC LIMIT 1),
            (SELECT p.paid_at FROM silver.payments AS p ORDER BY p.paid_at DESC NULLS LAST LIMIT 1)
        ) AS last_time
),

days AS (
    SELECT CAST(unnest(generate_series(CAST(first_time AS DATE), CAST(last_time AS DATE), INTERVAL '1' DAY)) AS DATE) AS date
    FROM bounds
)

SELECT
    CAST(year(date) * 10000 + month(date) * 100 + day(date) AS INTEGER) AS date_key,
    date,
    CAST(year(date) AS INTEGER) AS year,
    CAST(floor((month(date) + 2) / 3) AS INTEGER) AS quarter,
    CAST(month(date) AS INTEGER) AS month_number,
    CASE month(date)
        WHEN 1 THEN 'January' WHEN 2 THEN 'February' WHEN 3 THEN 'March' WHEN 4 THEN 'April' WHEN 5 THEN 'May'
        WHEN 6 THEN 'June' WHEN 7 THEN 'July' WHEN 8 THEN 'August' WHEN 9 THEN 'September' WHEN 10 THEN 'October'
        WHEN 11 THEN 'November' ELSE 'December'
    END AS month_name,
    CAST(date_trunc('month', date) AS DATE) AS month,
    CAST(day(date) AS INTEGER) AS day_of_month,
    CAST(datediff('day', CAST(date_trunc('week', date) AS DATE), date) + 1 AS INTEGER) AS day_of_week,
    datediff('day', CAST(date_trunc('week', date) AS DATE), date) >= 5 AS is_weekend
FROM days
