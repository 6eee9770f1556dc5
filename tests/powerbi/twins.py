"""Each measure's twin in SQL over gold, for the days from $first to $last: what the DAX must say in that filter."""

from __future__ import annotations

KEPT = "status IS DISTINCT FROM 'canceled'"
DAYS = "order_date BETWEEN $first AND $last"
REVENUE = "SELECT sum(total_amount) FROM fact_orders WHERE {kept} AND {days}"
ITEMS = "FROM fact_order_items i JOIN fact_orders o USING (order_id) WHERE o.{kept} AND o.{days}"
# who ordered when, known customers only, whatever version of the customer the order points to
BOUGHT = "bought AS (SELECT c.{customer} AS id, o.order_date FROM fact_orders o JOIN dim_customers c USING (customer_key) WHERE c.{customer} IS NOT NULL)"
# the same days a month or a year before, as far as the calendar has them; a whole month goes to a whole month
BEFORE = (
    "SELECT count(*) > 0 AND max(date) = last_day(max(date)) AS whole, min(date) AS first, max(date) AS last "
    "FROM dim_date WHERE date BETWEEN $first AND $last"
)
SHIFTED = (
    "shifted AS (SELECT CAST(first - INTERVAL {gap} AS DATE) AS first, "
    "CASE WHEN whole THEN last_day(CAST(last - INTERVAL {gap} AS DATE)) ELSE CAST(last - INTERVAL {gap} AS DATE) END AS last "
    f"FROM ({BEFORE}))"
)
MONTH, YEAR = SHIFTED.replace("{gap}", "'1' MONTH"), SHIFTED.replace("{gap}", "'1' YEAR")
REVENUE_BEFORE = "sum(total_amount) FROM fact_orders, shifted WHERE {kept} AND order_date BETWEEN shifted.first AND shifted.last AND order_date IN (SELECT date FROM dim_date)"
NOW = "now AS (SELECT DISTINCT id FROM bought WHERE {days})"
AGO = "ago AS (SELECT DISTINCT id FROM bought, shifted WHERE order_date BETWEEN shifted.first AND shifted.last)"
# the same for each month of the window by itself
BY_MONTH = (
    "months AS (SELECT month, min(date) AS first, max(date) AS last FROM dim_date WHERE date BETWEEN $first AND $last GROUP BY month), "
    "now AS (SELECT DISTINCT month, id FROM bought JOIN months ON order_date BETWEEN first AND last), "
    "ago AS (SELECT DISTINCT month, id FROM bought JOIN months ON order_date BETWEEN first - INTERVAL '1' MONTH "
    "AND CASE WHEN last = last_day(last) THEN last_day(CAST(first - INTERVAL '1' MONTH AS DATE)) ELSE last - INTERVAL '1' MONTH END)"
)
# from the first of the month of the last day with an order to that day, and a month before
TO_DATE = (
    "ends AS (SELECT CAST(date_trunc('month', max(order_date)) AS DATE) AS first, max(order_date) AS last FROM fact_orders WHERE {days}), "
    "to_date AS (SELECT first, last, CAST(first - INTERVAL '1' MONTH AS DATE) AS ago_first, "
    "CASE WHEN last = last_day(last) THEN first - 1 ELSE CAST(last - INTERVAL '1' MONTH AS DATE) END AS ago_last FROM ends)"
)
NEW = "SELECT id FROM bought GROUP BY id HAVING min(order_date) BETWEEN $first AND $last"

TWINS = {
    "Orders": "SELECT count(*) FROM fact_orders WHERE {days}",
    "Orders Not Canceled": "SELECT count(*) FROM fact_orders WHERE {kept} AND {days}",
    "Revenue": REVENUE,
    "Average Order Value": "SELECT CAST(sum(total_amount) AS DOUBLE) / count(*) FROM fact_orders WHERE {kept} AND {days}",
    "Items": "SELECT sum(item_count) FROM fact_orders WHERE {kept} AND {days}",
    "Items per Order": "SELECT CAST(sum(item_count) AS DOUBLE) / count(*) FROM fact_orders WHERE {kept} AND {days}",
    "Product Revenue": f"SELECT sum(i.line_amount) {ITEMS}",
    "Pieces Sold": f"SELECT sum(i.quantity) {ITEMS}",
    "Cancellation Rate": "SELECT CAST(count(*) FILTER (status = 'canceled') AS DOUBLE) / count(*) FROM fact_orders WHERE {days}",
    "Refunds": "SELECT -sum(amount) FROM fact_payments WHERE payment_type = 'refund' AND paid_date BETWEEN $first AND $last",
    "Customers": "WITH {bought} SELECT count(DISTINCT id) FROM bought WHERE {days}",
    "New Customers": f"WITH {{bought}} SELECT count(*) FROM ({NEW})",
    "Returning Customers": f"WITH {{bought}} SELECT count(DISTINCT id) FROM bought WHERE {{days}} AND id NOT IN ({NEW})",
    "Customers Last Month": f"WITH {{bought}}, {MONTH}, {AGO} SELECT count(*) FROM ago",
    "Retained Customers": f"WITH {{bought}}, {MONTH}, {NOW}, {AGO} SELECT count(*) FROM ago JOIN now USING (id)",
    "Retention %": f"WITH {{bought}}, {BY_MONTH} SELECT CAST(count(now.id) AS DOUBLE) / nullif(count(*), 0) FROM ago LEFT JOIN now USING (month, id)",
    "Cohort Retention %": "SELECT CAST(sum(active_customers) AS DOUBLE) / sum(cohort_size) FROM mart_monthly_retention",
    "Revenue Last Month": f"WITH {MONTH} SELECT {REVENUE_BEFORE}",
    "Revenue Last Year": f"WITH {YEAR} SELECT {REVENUE_BEFORE}",
    "Revenue Growth %": f"WITH {MONTH} SELECT CAST(({REVENUE}) - ago AS DOUBLE) / nullif(ago, 0) FROM (SELECT sum(x) AS ago FROM (SELECT {REVENUE_BEFORE}) t(x))",
    "Revenue Growth on Last Year %": f"WITH {YEAR} SELECT CAST(({REVENUE}) - ago AS DOUBLE) / nullif(ago, 0) FROM (SELECT sum(x) AS ago FROM (SELECT {REVENUE_BEFORE}) t(x))",
    "Revenue Growth MTD %": f"WITH {TO_DATE} SELECT CAST(sum(total_amount) FILTER (order_date BETWEEN first AND last) AS DOUBLE) / nullif(sum(total_amount) FILTER (order_date BETWEEN ago_first AND ago_last), 0) - 1 FROM fact_orders, to_date WHERE {{kept}}",
    "Revenue Running Total": "SELECT sum(total_amount) FROM fact_orders WHERE {kept} AND order_date <= (SELECT max(date) FROM dim_date WHERE date BETWEEN $first AND $last)",
    "Freight Share": "SELECT CAST(sum(freight_amount) AS DOUBLE) / sum(total_amount) FROM fact_orders WHERE {days}",
    "Revenue Rolling 28 Days": "SELECT sum(total_amount) FROM fact_orders, (SELECT max(date) AS last FROM dim_date WHERE date BETWEEN $first AND $last) WHERE {kept} AND order_date BETWEEN last - 27 AND last",
}
REFUNDS = {  # where the payments have no day, or there are none
    "olist": "SELECT -sum(amount) FROM fact_payments JOIN fact_orders USING (order_id) WHERE payment_type = 'refund' AND {days}",
    "online_retail": "SELECT -sum(total_amount) FROM fact_orders WHERE status = 'canceled' AND {days}",
}
CUSTOMER = {"olist": "customer_unique_id"}
# measures over the feed's own tables, which are no part of gold
OF_THE_FEED = {"Published At", "Contracts", "Checks Failed", "Rows Quarantined", "Hours Since Publication"}


def twin(shop: str, measure: str, first: str, last: str) -> str:
    """The SQL for a measure of a shop and a window."""
    text = REFUNDS.get(shop, TWINS[measure]) if measure == "Refunds" else TWINS[measure]
    for _ in range(3):
        text = text.replace("{kept}", KEPT).replace("{days}", DAYS).replace("{bought}", BOUGHT)
    text = text.replace("{customer}", CUSTOMER.get(shop, "customer_id"))
    return text.replace("$first", f"DATE '{first}'").replace("$last", f"DATE '{last}'")
